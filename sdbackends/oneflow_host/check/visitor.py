"""The state of a walk over one file, and what is written down on the way.

`reader` adds a visitor for each kind of node that says something; here stands where the walk is
(scope, function, guards) and how a use, an import or a binding is noted.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sdbackends.oneflow_host.check import resolve
from sdbackends.oneflow_host.check.conditions import Reading, Test, read_test
from sdbackends.oneflow_host.check.model import (
    After,
    Computed,
    Condition,
    Guard,
    Guards,
    Has,
    Import,
    Source,
    Tried,
    Use,
    Way,
    is_sure,
)
from sdbackends.oneflow_host.check.modules import Kind
from sdbackends.oneflow_host.check.scope import Bound, Flag, Scope, Target
from sdbackends.oneflow_host.check.tensors import TENSOR

#: Kinds of node with nothing in them.
_SILENT = frozenset({str, int, bool, type(None), ast.Constant, ast.Load, ast.Store, ast.Pass})


@dataclass(frozen=True, slots=True)
class World:
    """What a file cannot know of itself."""

    #: Whose a package is.
    kind: Callable[[str], Kind]
    #: Whether a package is installed; None where no package has such a name.
    installed: Callable[[str], bool | None]


class Walk:
    """Where the walk is, and its notes in `source`."""

    def __init__(self, source: Source, text: bytes, world: World, *, is_script: bool) -> None:
        self.source, self.lines, self.world = source, text.splitlines(), world
        self.scope = Scope()
        #: The function that is walked, by its qualified name; None at module level.
        self.function: str | None = None
        self.qualname = ""
        #: Whether annotations are left unevaluated: `from __future__ import annotations`.
        self.postponed = False
        self.guards: Guards = ()
        self.branches = 0
        self.blocks = 0
        #: The bodies of functions, for when the module has been walked to its end.
        self.later: deque[Callable[[], None]] = deque()
        self.calls: dict[str | None, set[str]] = {}
        self.reading = Reading(self.dotted, self.flag, world.installed, self.words, is_script)
        self.visitors: dict[type[ast.AST], Callable[..., None]] = {}

    def visit(self, node: ast.AST | None) -> None:
        if node is None:
            return
        visitor = self.visitors.get(type(node))
        if visitor is not None:
            visitor(node)
        else:
            self.children(node)

    def children(self, node: ast.AST) -> None:
        """Every part of a node that says nothing itself; most time is spent here."""
        visitors = self.visitors
        for name in node._fields:
            value = getattr(node, name)
            for part in value if type(value) is list else (value,):
                kind = type(part)
                visitor = visitors.get(kind)
                if visitor is not None:
                    visitor(part)
                elif kind not in _SILENT and isinstance(part, ast.AST):
                    self.children(part)

    def body(self, statements: Iterable[ast.stmt], guards: Guards = ()) -> None:
        """Statements in their order; after `if not hasattr(…): return` the name is there."""
        before = self.guards
        self.guards = before + guards
        for statement in statements:
            self.visit(statement)
            if type(statement) is ast.If:
                self.guards += self._known_after(statement)
        self.guards = before

    def branch(self, statements: Iterable[ast.stmt], guards: Guards | None) -> None:
        """Statements that may run or not; never, where `guards` is None."""
        if guards is not None:
            self.branches += 1
            self.body(statements, guards)
            self.branches -= 1

    @contextmanager
    def under(self, guards: Guards) -> Iterator[None]:
        before = self.guards
        self.guards = before + guards
        yield
        self.guards = before

    @contextmanager
    def inside(self, scope: Scope, function: str | None, qualname: str) -> Iterator[None]:
        before = self.scope, self.function, self.qualname
        self.scope, self.function, self.qualname = scope, function, qualname
        yield
        self.scope, self.function, self.qualname = before

    def test(self, node: ast.expr) -> Test:
        return read_test(node, self.reading)

    def targets(self, node: ast.expr | None) -> tuple[Target, ...]:
        return resolve.targets(node, self.scope, self.source.stars)

    def use(self, found: Iterable[Target], line: int, way: Way, *more: Guard) -> None:
        """Note a use of everything that the name may stand for."""
        names = [target for target in found if self.matters(target.name)]
        # After several star imports one of the modules must have the name, not each of them.
        either = len(names) > 1 and all(
            target.name.rpartition(".")[0] in self.source.stars for target in names
        )
        others = tuple(target.name for target in names[1:]) if either else ()
        for target in names[:1] if either else names:
            guards = (*self.guards, *target.guards, *more)
            name = _askable(target.name)
            self.source.uses.append(Use(name, line, self.function, way, guards, others))

    def imported(self, module: str, name: str | None, line: int) -> None:
        if self.world.kind(module.partition(".")[0]) == "apart":
            return
        self.source.imports.append(Import(module, name, line, self.function, self.guards))
        dotted = f"{module}.{name}" if name else module
        if dotted.startswith("torch."):
            self.source.uses.append(Use(dotted, line, self.function, "import", self.guards))

    def computed(self, node: ast.Call) -> None:
        text = self.words(node)
        self.source.computed.append(Computed(node.lineno, self.function, text))

    def calls_function(self, name: str) -> None:
        """Note that what is walked calls a function of this module, whatever the conditions."""
        if is_sure(self.guards):
            self.calls.setdefault(self.function, set()).add(name)

    def bind(self, name: str, found: Iterable[Target] = (), flag: Flag | None = None) -> None:
        """`name` stands for `found` from here on, as long as what led here held."""
        led = tuple(
            After(guard.block) if isinstance(guard, Tried) else guard
            for guard in self.guards
            if not isinstance(guard, Condition)
        )
        bound = tuple(
            target if target.name == TENSOR else replace(target, guards=(*target.guards, *led))
            for target in found
        )
        self.scope.bind(name, Bound(bound, flag), branch=self.branches > 0)

    def matters(self, name: str) -> bool:
        """Whether a name may lead to torch."""
        return self.world.kind(name.partition(".")[0]) in ("torch", "local", "library")

    def dotted(self, node: ast.expr) -> list[str]:
        return [target.name for target in self.targets(node) if self.matters(target.name)]

    def flag(self, name: str) -> Test | None:
        bound = self.scope.lookup(name)
        return Test(bound.flag.true, bound.flag.false) if bound and bound.flag else None

    def words(self, node: ast.expr) -> str:
        """The text of an expression, on one line."""
        line = self.lines[node.lineno - 1]
        if node.end_lineno == node.lineno:
            return line[node.col_offset : node.end_col_offset].decode(errors="replace")
        return line[node.col_offset :].decode(errors="replace").rstrip() + " …"

    def _known_after(self, statement: ast.If) -> Guards:
        if statement.orelse or not isinstance(
            statement.body[-1], ast.Return | ast.Continue | ast.Break
        ):
            return ()
        return lasting(self.test(statement.test).false or ())


def lasting(guards: Guards) -> Guards:
    """What still holds wherever the value is used."""
    return tuple(guard for guard in guards if isinstance(guard, Has))


def _askable(name: str) -> str:
    """As much of a dotted name as can be asked about without a run.

    What comes after an attribute of a tensor (`x.device.type`) belongs to a value, and a `__word__`
    is there or not whatever follows it.
    """
    parts = name.split(".")
    if name.startswith(f"{TENSOR}."):
        parts = parts[:3]
    for index, part in enumerate(parts):
        if part.startswith("__") and part.endswith("__"):
            return ".".join(parts[: index + 1])
    return ".".join(parts)
