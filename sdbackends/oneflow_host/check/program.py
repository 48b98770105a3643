"""The script and the local modules that it imports, each read once, as Python would load them.

An import reads the module before the importing file is read on, so that its names are known;
modules in a circle see of each other what is bound so far. The bodies of functions come after all
modules: they see those as they are in the end.
"""

from __future__ import annotations

import ast
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sdbackends.oneflow_host.check.finding import Finding, Line
from sdbackends.oneflow_host.check.local_modules import LocalModules
from sdbackends.oneflow_host.check.scope import NamedValue, Scope

SCRIPT = "__main__"


class Names(Protocol):
    """The names that OneFlow has; which OneFlow that is, on which Python."""

    @property
    def oneflow(self) -> str: ...

    @property
    def python(self) -> str: ...

    def lacking(self, dotted: str) -> str | None:
        """Why a name of torch is not there; None: it is."""


@dataclass(slots=True)
class Module:
    name: str
    file: Path | None
    is_package: bool = False
    scope: Scope = field(default_factory=Scope)
    #: Modules of `from module import *`, as far as their names are not copied.
    stars: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        assert self.file is not None  # a namespace package has no line that could be named
        return self.file


class ReadProgram:
    """`walk` reads one module's tree; `names` says what OneFlow lacks."""

    def __init__(
        self,
        names: Names,
        local: LocalModules,
        walk: Callable[[ReadProgram, Module, ast.Module], None],
    ) -> None:
        self.names, self.local, self.walk = names, local, walk
        self.modules: dict[str, Module] = {}
        #: The bodies of functions, each with the module that it stands in.
        self.later: deque[tuple[Module, Callable[[], None]]] = deque()
        self.findings: dict[tuple[Path, int, str], Finding] = {}
        self.computed: list[Line] = []
        self.not_found: list[Line] = []
        self.installed: set[str] = set()
        self.unreadable: list[Path] = []

    def run(self, script: Path, tree: ast.Module) -> None:
        module = self.modules[SCRIPT] = Module(SCRIPT, script)
        self._walk(module, lambda: self.walk(self, module, tree))
        while self.later:
            self._walk(*self.later.popleft())

    def load(self, name: str) -> Module | None:
        """The local module, read, and the packages around it."""
        parent = name.rpartition(".")[0]
        if name not in self.modules and (not parent or self.load(parent)):
            found = self.local.find(name)
            if found is not None:
                module = self.modules[name] = Module(name, found.file, bool(found.folders))
                if found.file is not None:
                    self._read(module, found.file)
        return self.modules.get(name)

    def is_followed(self, name: str) -> bool:
        """Whether a dotted name may lead to torch."""
        return self.local.kind(name.partition(".")[0]) in ("torch", "local")

    def member(self, module: Module, name: str) -> tuple[NamedValue, ...]:
        """What `name` of a local module may stand for: a name that it binds, or a submodule."""
        if name in module.scope.names:
            return module.scope.names[name].values
        submodule = self.load(f"{module.name}.{name}")
        return (NamedValue(submodule.name),) if submodule else self.from_stars(module, name)

    def from_stars(self, module: Module, name: str) -> tuple[NamedValue, ...]:
        """A name that nothing binds: of several star imports one must have it, not each."""
        values = [NamedValue(f"{star}.{name}") for star in module.stars]
        if name.startswith("_") or not all(value.of_torch for value in values):
            return ()
        there = [value for value in values if self.names.lacking(value.name) is None]
        return tuple((there or values)[:1])

    def note(self, finding: Finding) -> None:
        """Keep it; of one name in one line, what is needed counts more than what is guarded."""
        place = (finding.file, finding.line, finding.name)
        if place not in self.findings or finding.weight == "own":
            self.findings[place] = finding

    def _read(self, module: Module, file: Path) -> None:
        try:
            tree = parse(file.read_bytes(), file)
        except (OSError, SyntaxError, ValueError, RecursionError):
            self.unreadable.append(file)
        else:
            self._walk(module, lambda: self.walk(self, module, tree))

    def _walk(self, module: Module, walk: Callable[[], None]) -> None:
        try:
            walk()
        except (
            RecursionError
        ):  # an expression, or a chain of imports, that Python cannot run either
            self.unreadable.append(module.path)


def parse(text: bytes, file: Path) -> ast.Module:
    """The tree of a file.

    Raises:
        SyntaxError, ValueError, RecursionError: it is not Python, or nested beyond measure.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, str(file))
