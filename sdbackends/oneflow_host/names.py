"""Which names of torch are there on the OneFlow host, and why the others are not.

`find` gives what a dotted name means; `lacking` gives the reason in words where it means nothing.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from sdbackends.oneflow_host import registry
from sdbackends.oneflow_host.placeholders import PLACEHOLDERS
from sdbackends.oneflow_host.reasons import WITHHELD, reason

#: OneFlow's modules that mean what torch means by that name; with what stands below them, "*".
SHARED = (
    "torch", "torch.amp", "torch.autograd", "torch.autograd.graph", "torch.backends",
    "torch.backends.cudnn", "torch.cuda", "torch.cuda.amp", "torch.distributions.*", "torch.linalg",
    "torch.multiprocessing", "torch.nn", "torch.nn.functional", "torch.nn.init",
    "torch.nn.modules.*", "torch.nn.parallel", "torch.nn.parameter", "torch.nn.utils.*",
    "torch.optim.*", "torch.profiler", "torch.utils", "torch.utils.checkpoint",
    "torch.utils.data.*",
)  # fmt: skip

#: How the reason begins where a name can be imported and mentioned, and raises only when used.
PLACEHOLDER = "a placeholder"


class NotThereError(LookupError):
    """`find` found nothing; the text is the reason."""


def lacking(dotted: str) -> str | None:
    """None where `dotted` ("torch.nn.functional.silu") is there, else the reason in words."""
    try:
        find(dotted)
    except NotThereError as error:
        return in_words(dotted, str(error))
    return None


def in_words(dotted: str, why: str) -> str:
    """Why a name is lacking; of a placeholder, that it can be mentioned."""
    return f"{PLACEHOLDER}: raises when used ({why})" if dotted in PLACEHOLDERS else why


def find(dotted: str) -> Any:
    """The object that `dotted` means on the host; for a module, its own name.

    Raises:
        NotThereError: it means nothing here.
    """
    path = dotted.split(".")
    depth = len(path)
    while depth and (not is_module(at := ".".join(path[:depth])) or is_hollow(at)):
        depth -= 1
    if not depth:
        raise NotThereError(f"{dotted} is no name of torch")
    owner, rest = ".".join(path[:depth]), path[depth:]
    if not rest:
        return owner
    found = member(owner, rest[0])
    for count, name in enumerate(rest[1:], start=depth + 2):
        found = _attribute(found, name, ".".join(path[:count]))
    return found


def member(module: str, name: str) -> Any:
    """What `name` means in the dressed `module`, other modules aside.

    Raises:
        NotThereError: it means nothing there.
    """
    registry.load()
    dotted = f"{module}.{name}"
    if dotted in registry.PROVIDED:
        return registry.PROVIDED[dotted]
    real = oneflow_module(module)
    if real is None or dotted in WITHHELD or not hasattr(real, name):
        raise NotThereError(reason(dotted))
    value = getattr(real, name)
    if isinstance(value, ModuleType) and not name.startswith("__"):
        raise NotThereError(reason(dotted))
    return value


@cache
def is_module(dotted: str) -> bool:
    """Whether `import dotted` works on the host."""
    if dotted in registry.provided_modules() or dotted in _placeholder_modules():
        return True
    return oneflow_module(dotted) is not None


@cache
def is_hollow(dotted: str) -> bool:
    """Whether the module `dotted` holds placeholders and nothing else."""
    filled = dotted in registry.provided_modules() or oneflow_module(dotted) is not None
    return not filled and dotted in _placeholder_modules()


@cache
def oneflow_module(dotted: str) -> ModuleType | None:
    """OneFlow's own module behind the dressed one, where it means the same."""
    shared = dotted in SHARED or any(
        pattern.endswith(".*") and (dotted == pattern[:-2] or dotted.startswith(pattern[:-1]))
        for pattern in SHARED
    )
    if not shared or dotted in WITHHELD:
        return None
    try:
        return import_module("oneflow" + dotted[len("torch") :])
    except ModuleNotFoundError:
        return None


@cache
def _placeholder_modules() -> frozenset[str]:
    parents = set()
    for dotted in PLACEHOLDERS:
        while "." in dotted:
            dotted = dotted.rpartition(".")[0]
            parents.add(dotted)
    return frozenset(parents)


def attributes(owner: Any) -> set[str]:
    """The names that `find` finds below a member of a module."""
    found = {*dir(owner), *dir(type(owner))}
    return {*_added(owner), *(name for name in found if _is_there(owner, name))}


def _is_there(owner: Any, name: str) -> bool:
    try:
        return hasattr(owner, name)
    except Exception:  # a property that this one value has no answer for
        return True


def _attribute(owner: Any, name: str, dotted: str) -> Any:
    """`owner.name` for a class of OneFlow, as it is while the host's additions are applied."""
    added = _added(owner)
    if name in added:
        return added[name]
    if not hasattr(owner, name):
        raise NotThereError(reason(dotted))
    return getattr(owner, name)


def _added(owner: Any) -> dict[str, Any]:
    """What the host adds to a class of OneFlow; the first base that has a name wins."""
    import oneflow

    added = {oneflow.Tensor: registry.TENSOR, oneflow.nn.Module: registry.MODULE}
    found: dict[str, Any] = {}
    for base in reversed(owner.__mro__ if isinstance(owner, type) else ()):
        found |= added.get(base, {})
    return found
