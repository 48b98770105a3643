"""The state of a walk over one file: what it takes to get to the place, and what is noted."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from sdbackends.oneflow_host.check.expressions import Expressions
from sdbackends.oneflow_host.check.finding import Finding, Line
from sdbackends.oneflow_host.check.program import Module, ReadProgram
from sdbackends.oneflow_host.check.scope import TENSOR, Bound, Known, NamedValue, Scope
from sdbackends.oneflow_host.check.try_blocks import Attempt

_FAILED = "guarded: its try fails over to another way"
_WIDTH = 60


class Visitor(Expressions):
    """`visit_KIND` methods, of the classes below this one, say what a kind of node means."""

    def __init__(self, program: ReadProgram, module: Module) -> None:
        super().__init__(program, module)
        #: The function that is walked, by its qualified name; None at module level.
        self.function: str | None = None
        self.qualname = ""
        #: Whether annotations are left unevaluated: `from __future__ import annotations`.
        self.postponed = False
        #: Why what is lacking here does no harm; "": it does.
        self.harmless = ""
        #: The tests around this place that only a run can answer.
        self.conditions: tuple[str, ...] = ()
        self.tries: tuple[Attempt, ...] = ()
        #: Above 0: what is bound here may not be bound in a run.
        self.branches = 0

    def visit(self, node: ast.AST) -> None:
        visitor = getattr(self, f"visit_{type(node).__name__.lower()}", self.parts)
        visitor(node)

    def parts(self, node: ast.AST) -> None:
        """Every part of a node that says nothing itself."""
        self.look(*ast.iter_child_nodes(node))

    def look(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def body(self, statements: Iterable[ast.stmt]) -> None:
        """Statements in their order; after `if not hasattr(…): return` the name is there."""
        before = self.harmless
        for statement in statements:
            self.visit(statement)
            match statement:
                case ast.If(body=[*_, ast.Return() | ast.Continue() | ast.Break()], orelse=[]):
                    known = self.known(statement.test)
                    if known and known.value and known.why:
                        self.harmless = self.harmless or f"guarded: {known.why}"
        self.harmless = before

    def branch(self, statements: Iterable[ast.stmt]) -> None:
        """Statements that may run or not."""
        self.branches += 1
        self.body(statements)
        self.branches -= 1

    @contextmanager
    def under(self, harmless: str = "", condition: str = "") -> Iterator[None]:
        before = self.harmless, self.conditions
        self.harmless = self.harmless or harmless
        self.conditions += (condition,) if condition else ()
        yield
        self.harmless, self.conditions = before

    @contextmanager
    def attempt(self, attempt: Attempt) -> Iterator[None]:
        before = self.tries
        self.tries += (attempt,)
        yield
        self.tries = before

    @contextmanager
    def inside(self, scope: Scope, function: str | None, qualname: str) -> Iterator[None]:
        before = self.scope, self.function, self.qualname
        self.scope, self.function, self.qualname = scope, function, qualname
        yield
        self.scope, self.function, self.qualname = before

    def unreached(self) -> str:
        """Why no run gets here where OneFlow is torch; "": one may."""
        return self.harmless or (_FAILED if any(each.failed for each in self.tries) else "")

    def use(
        self,
        values: Iterable[NamedValue],
        line: int,
        way: Literal["import", "attribute"] = "attribute",
        harmless: str = "",
    ) -> None:
        """Note those that OneFlow lacks."""
        for name in (_askable(value.name) for value in values if value.of_torch):
            why = self.program.names.lacking(name) if name != "torch" else None
            if why is not None:
                guarded = self.unreached() or harmless or self._caught(way)
                self._note(name, line, why, guarded)

    def bind(
        self, name: str, values: Iterable[NamedValue] = (), known: Known | None = None
    ) -> None:
        """`name` stands for these from here on; where no run gets, nothing is bound again."""
        if not self.unreached():
            self.scope.bind(name, Bound(tuple(values), known), branch=self.branches > 0)
        elif not self.scope.owns(name):
            self.scope.bind(name, Bound())

    def follow(self, name: str, line: int) -> bool:
        """Whether `import name` leads to torch or to a local module, which is read."""
        package = name.partition(".")[0]
        kind = self.program.local.kind(package)
        if kind == "local" and not self.unreached():
            self.program.load(name)
        elif kind == "installed":
            self.program.installed.add(package)
        elif kind == "missing" and not (self.conditions or self.tries or self.unreached()):
            self.program.not_found.append(Line(self.module.path, line, name))
        return kind in ("torch", "local")

    def _caught(self, way: str) -> str:
        for attempt in reversed(self.tries):
            if attempt.imports if way == "import" else attempt.attributes:
                attempt.failed = True
                return _FAILED
        return ""

    def _note(self, name: str, line: int, why: str, guarded: str) -> None:
        function = self.function and self.function.replace("<locals>.", "")
        notes = [f"in {function}"] if function else []
        if guarded:
            notes.append(guarded)
        elif self.conditions:
            # The nearest, rather than what some `else` denies.
            said = [words for words in self.conditions if not words.startswith("not ")]
            notes.append(f"only if {_short((said or self.conditions)[-1])}")
        weight: Literal["own", "guarded"] = "guarded" if guarded else "own"
        module, path = self.module.name, self.module.path
        self.program.note(
            Finding(name, path, line, why, weight, module, function, ", ".join(notes))
        )


def _askable(name: str) -> str:
    """As much of a dotted name as can be asked about without a run.

    What comes after an attribute of a tensor (`x.device.type`) belongs to a value, and a `__word__`
    is there or not whatever follows it.
    """
    parts = name.split(".")
    if name.startswith(f"{TENSOR.name}."):
        parts = parts[:3]
    dunders = (at for at, part in enumerate(parts) if part.startswith("__") and part.endswith("__"))
    return ".".join(parts[: next(dunders, len(parts)) + 1])


def _short(words: str) -> str:
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 2]} …"
