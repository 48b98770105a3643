"""Guard whether two things are one and the same object.

Dynamo answers `a is b` for what it finds, and guards nothing: a model that asks whether two of its
layers are one, or two settings, would not see that the script tied them or took them apart. The
same question is behind `in` and `index` of a list.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch._dynamo.variables import builtin
from torch._dynamo.variables.constant import ConstantVariable

from sdbackends.capture.guards.checks import check_text
from sdbackends.capture.guards.opcodes import wrapped

try:
    from torch._dynamo.variables import object_protocol

    _PLACES = [
        place for place in (builtin, object_protocol) if hasattr(place, "vt_identity_compare")
    ]
except ImportError:  # torch 2.11
    _PLACES = []


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    for place in _PLACES:
        yield place, "vt_identity_compare", _guarded(vars(place)["vt_identity_compare"])
    if not _PLACES:
        yield from wrapped("IS_OP", _is_op)


def _guarded(original: Any) -> Any:
    @functools.wraps(original)
    def vt_identity_compare(left: Any, right: Any) -> Any:
        answer = original(left, right)
        if answer is not None:
            _guard(left, right, answer.as_python_constant())
        return answer

    return vt_identity_compare


def _is_op(translator: Any, inst: Any, original: Callable[[Any, Any], None]) -> None:
    left, right = translator.stack[-2:]
    original(translator, inst)
    answer = translator.stack[-1]
    if answer.is_python_constant():
        _guard(left, right, answer.as_python_constant() == (inst.argval == 0))


def _guard(left: Any, right: Any, same: bool) -> None:
    if not left.source or not right.source:
        return
    if isinstance(left.realize(), ConstantVariable) or isinstance(
        right.realize(), ConstantVariable
    ):
        return  # their values are guarded
    words = "is" if same else "is not"
    check_text(left.source, f"{left.source.name} {words} {right.source.name}", right.source)
