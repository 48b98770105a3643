"""What one file says, as plain data: the names that it uses, what it imports, what it binds.

`reader.read` makes a `Source` out of a file's text; `follow` finds the next files in its imports,
and `findings` asks the oracle about its uses. A name is always dotted and absolute, by the import
that it comes from: `F.silu` under `import torch.nn.functional as F` is `torch.nn.functional.silu`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Has:
    """Reached only where `hasattr` finds `name` (or, with `present` false, does not)."""

    name: str
    present: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """In a `try` (or `suppress`) that goes on where a name is missing."""

    block: int
    imports: bool  # a failing import is caught
    attributes: bool  # a missing attribute is caught


@dataclass(frozen=True, slots=True)
class Rescue:
    """In the `except` branch of such a `try`."""

    block: int


@dataclass(frozen=True, slots=True)
class After:
    """In the `else` branch of such a `try`."""

    block: int


@dataclass(frozen=True, slots=True)
class Default:
    """`getattr` with a default."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Under an `if` that only a run can decide."""

    text: str


Guard = Has | Tried | Rescue | After | Default | Condition
Guards = tuple[Guard, ...]


def is_sure(guards: Guards) -> bool:
    """Whether what stands under these guards runs on every machine that has what they ask for."""
    return not any(isinstance(guard, Condition | Rescue | Tried) for guard in guards)


#: Where x is missing, `from torch import x`, `getattr(torch, "x")` and `torch.x()` fail at once; a
#: mention (a default, a list of bases, a decorator) need not.
Way = Literal["import", "getattr", "call", "mention"]


@dataclass(frozen=True, slots=True)
class Use:
    """One name in one place. `function` is None for what runs as soon as the module does."""

    name: str
    line: int
    function: str | None
    way: Way = "mention"
    guards: Guards = ()
    #: After several star imports: the other modules that the name may come from.
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """`import module`, or `from module import name`."""

    module: str
    name: str | None
    line: int
    function: str | None
    guards: Guards = ()


@dataclass(frozen=True, slots=True)
class Computed:
    """`getattr(torch, word)`: which name that is, only a run can tell."""

    line: int
    function: str | None
    text: str


@dataclass(slots=True)
class Source:
    """One file, read."""

    path: Path
    module: str
    uses: list[Use] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    computed: list[Computed] = field(default_factory=list)
    #: Names of the module that stand for imported ones: {"F": ["torch.nn.functional"]}.
    bindings: dict[str, list[str]] = field(default_factory=dict)
    #: Every name that the module binds, whatever it stands for.
    names: frozenset[str] = frozenset()
    #: Modules of `from module import *`.
    stars: list[str] = field(default_factory=list)
    #: Names that a lazy package hands out, and the submodule that has each.
    exports: dict[str, str] = field(default_factory=dict)
    #: Functions of the module that run while it is imported.
    run_at_import: frozenset[str] = frozenset()

    def at_import(self, function: str | None) -> bool:
        """Whether what stands in `function` runs while the module is imported."""
        return function is None or function in self.run_at_import
