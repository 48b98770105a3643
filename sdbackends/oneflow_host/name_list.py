"""Every name of torch that is there on the OneFlow host, as data that can be kept.

`take` makes the list in a Python that has oneflow; `NameList.lacking` answers as `names.lacking`
does. The list goes as far as the attributes of what stands in a module; what comes after those
belongs to a value, and counts as there.
"""

from __future__ import annotations

import pkgutil
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sdbackends.oneflow_host import names, registry
from sdbackends.oneflow_host.reasons import reason


@dataclass(frozen=True, slots=True)
class NameList:
    """Which names OneFlow has, and which OneFlow that is, on which Python."""

    #: By module; each name with the place of its attributes in `attributes`.
    modules: dict[str, dict[str, int]]
    #: Most things have the attributes of many others, so that each list stands here once.
    attributes: list[list[str]]
    oneflow: str
    python: str

    def lacking(self, dotted: str) -> str | None:
        """None where `dotted` ("torch.nn.functional.silu") is there, else the reason in words."""
        path = dotted.split(".")
        depth = len(path)
        while depth and ".".join(path[:depth]) not in self.modules:
            depth -= 1
        if not depth:
            return f"{dotted} is no name of torch"
        owner, rest = self.modules[".".join(path[:depth])], path[depth:]
        if not rest:
            return None
        if rest[0] not in owner:
            return names.in_words(dotted, reason(".".join(path[: depth + 1])))
        if rest[1:] and rest[1] not in self.attributes[owner[rest[0]]]:
            return names.in_words(dotted, reason(".".join(path[: depth + 2])))
        return None


def take() -> NameList:
    """The list of this Python; imports oneflow."""
    import oneflow

    modules: dict[str, dict[str, int]] = {}
    places: dict[tuple[str, ...], int] = {}
    for module in sorted(_modules()):
        modules[module] = {}
        for name in _candidates(module):
            try:
                value = names.member(module, name)
            except names.NotThereError:
                continue
            attributes = tuple(sorted(names.attributes(value)))
            modules[module][name] = places.setdefault(attributes, len(places))
    lists = [list(attributes) for attributes in places]
    return NameList(modules, lists, oneflow.__version__, platform.python_version())


def _modules() -> Iterator[str]:
    yield from registry.provided_modules()
    for pattern in names.SHARED:
        module = pattern.removesuffix(".*")
        real = names.oneflow_module(module)
        if real is None:
            continue
        yield module
        below = getattr(real, "__path__", ()) if pattern.endswith(".*") else ()
        for found in pkgutil.walk_packages(below, f"{real.__name__}."):
            dotted = f"torch{found.name.removeprefix('oneflow')}"
            if names.oneflow_module(dotted) is not None:
                yield dotted


def _candidates(module: str) -> set[str]:
    """Every name that may mean something in a module."""
    owners = (dotted.rpartition(".") for dotted in registry.PROVIDED)
    provided = {name for owner, _, name in owners if owner == module}
    real: Any = names.oneflow_module(module)
    return provided if real is None else {*provided, *dir(real), *dir(type(real))}
