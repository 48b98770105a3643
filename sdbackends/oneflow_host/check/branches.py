"""The visitors of everything that decides whether code is reached: if, and, try, with, loops."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sdbackends.oneflow_host.check.try_blocks import caught, suppressed
from sdbackends.oneflow_host.check.visitor import Visitor


class Branches(Visitor):
    def visit_if(self, node: ast.If) -> None:
        self.visit(node.test)
        for wanted, statements in ((True, node.body), (False, node.orelse)):
            with self._where(node.test, wanted) as is_read:
                self.branch(statements if is_read else ())

    def visit_ifexp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        for wanted, value in ((True, node.body), (False, node.orelse)):
            with self._where(node.test, wanted) as is_read:
                self.look(value if is_read else None)

    def visit_boolop(self, node: ast.BoolOp) -> None:
        """`hasattr(torch, "x") and torch.x()`: each part is reached through those before it."""
        goes_on = isinstance(node.op, ast.And)
        before = self.harmless
        for value in node.values:
            self.visit(value)
            known = self.known(value)
            if known is not None and known.value is not goes_on:
                if not known.why:
                    break
                self.harmless = self.harmless or f"guarded: {known.why}"
        self.harmless = before

    def visit_try(self, node: ast.Try) -> None:
        attempt = caught(node.handlers)
        with self.attempt(attempt):
            self.branch(node.body)
        harmless = condition = ""
        if not attempt.failed:
            # A `try` may fail for reasons that have nothing to do with torch.
            if self._is_about_torch(node.body):
                harmless = "guarded: only if the try before it fails"
            else:
                condition = "the try before it fails"
        with self.under(harmless, condition):
            for handler in node.handlers:
                self.visit(handler)
        with self.attempt(attempt):
            self.branch(node.orelse)
        self.body(node.finalbody)

    visit_trystar = visit_try  # `except*`, since Python 3.11

    def visit_excepthandler(self, node: ast.ExceptHandler) -> None:
        self.look(node.type)
        if node.name:
            self.bind(node.name)
        self.branch(node.body)

    def visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item)
        with self.attempt(suppressed(node.items)):
            self.body(node.body)

    visit_asyncwith = visit_with

    def visit_for(self, node: ast.For | ast.AsyncFor) -> None:
        self.look(node.iter, node.target)
        self.branch([*node.body, *node.orelse])

    visit_asyncfor = visit_for

    def visit_while(self, node: ast.While) -> None:
        self.visit(node.test)
        self.branch([*node.body, *node.orelse])

    @contextmanager
    def _where(self, test: ast.expr, wanted: bool) -> Iterator[bool]:
        """Where `test` says `wanted`; False for a branch that is for nobody's run."""
        known = self.known(test)
        if known is None:
            with self.under(condition=_words(test, wanted)):
                yield True
        elif known.value is wanted:
            yield True
        else:
            with self.under(f"guarded: {known.why}"):
                yield bool(known.why)

    def _is_about_torch(self, body: Sequence[ast.stmt]) -> bool:
        """Whether nothing but a missing name of torch can make these statements fail."""
        return all(map(self._is_of_torch, body))

    def _is_of_torch(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Import(names=aliases):
                modules = [alias.name for alias in aliases]
            case ast.ImportFrom(module=module):
                modules = [module or ""]
            case ast.Assign(value=value) | ast.Expr(value=value):
                modules = [found.name for found in self.values(value)]
            case _:
                return isinstance(statement, ast.Pass)
        return bool(modules) and all(name.partition(".")[0] == "torch" for name in modules)


def _words(test: ast.expr, wanted: bool) -> str:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _words(test.operand, not wanted)
    return ast.unparse(test) if wanted else f"not {ast.unparse(test)}"
