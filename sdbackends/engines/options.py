"""Options of an engine, checked: what the yaml says against what the engine accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdbackends.errors import UsageError


def validate_options(
    engine: str, given: Mapping[str, Any], accepted: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """The options with defaults filled in.

    `accepted` maps each option to the values that it may have; the first is the default.

    Raises:
        UsageError: an option is unknown or has a value that is not accepted.
    """
    for name, value in given.items():
        values = accepted.get(name)
        if values is None:
            raise UsageError(
                f"engine {engine!r} has no option {name!r}",
                fix=f"accepted: {', '.join(sorted(accepted)) or 'none'}",
            )
        if not any(value == known and type(value) is type(known) for known in values):
            raise UsageError(
                f"option {name!r} of engine {engine!r} cannot be {value!r}",
                fix=f"accepted: {', '.join(map(repr, values))}",
            )
    return {name: given.get(name, values[0]) for name, values in accepted.items()}
