"""The visitors of everything that decides whether code is reached: if, and, try, with, loops."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from sdbackends.oneflow_host.check.model import After, Condition, Guards, Rescue, Tried
from sdbackends.oneflow_host.check.try_blocks import caught, suppressed
from sdbackends.oneflow_host.check.visitor import Walk, lasting

#: A `try` may fail for reasons that have nothing to do with torch.
_FAILS = Condition("the try before it fails")


class Branches(Walk):
    """One method for each kind of node."""

    def if_(self, node: ast.If) -> None:
        self.visit(node.test)
        test = self.test(node.test)
        self.branch(node.body, test.true)
        self.branch(node.orelse, test.false)

    def conditional(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        test = self.test(node.test)
        for value, guards in ((node.body, test.true), (node.orelse, test.false)):
            if guards is not None:
                with self.under(guards):
                    self.visit(value)

    def and_or(self, node: ast.BoolOp) -> None:
        """`hasattr(torch, "x") and torch.x()`: each part is reached through those before it."""
        known: Guards = ()
        for value in node.values:
            with self.under(known):
                self.visit(value)
            test = self.test(value)
            guards = test.true if isinstance(node.op, ast.And) else test.false
            if guards is None:
                return
            known += lasting(guards)

    def try_(self, node: ast.Try) -> None:
        found = caught(node.handlers)
        self.blocks += 1
        block = self.blocks
        self.branches += 1
        tried = (Tried(block, found.imports, found.attributes),) if found else ()
        self.body(node.body, tried)
        otherwise = Rescue(block) if self._is_about_torch(node.body) else _FAILS
        for handler in node.handlers:
            with self.under((otherwise,)):
                self.visit(handler)
        self.body(node.orelse, (After(block),) if found else ())
        self.branches -= 1
        self.body(node.finalbody)

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.visit(item.optional_vars)
        found = suppressed(node.items)
        self.blocks += bool(found)
        tried = (Tried(self.blocks, found.imports, found.attributes),) if found else ()
        self.body(node.body, tried)

    def for_(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        self.branch([*node.body, *node.orelse], ())

    def while_(self, node: ast.While) -> None:
        self.visit(node.test)
        self.branch([*node.body, *node.orelse], ())

    def _is_about_torch(self, body: Iterable[ast.stmt]) -> bool:
        """Whether nothing but a missing name of torch can make these statements fail."""
        for statement in body:
            if isinstance(statement, ast.Import):
                modules = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom):
                modules = [statement.module or ""]
            elif isinstance(statement, ast.Assign | ast.Expr):
                modules = self.dotted(statement.value)
            else:
                return isinstance(statement, ast.Pass)
            if not modules or any(name.partition(".")[0] != "torch" for name in modules):
                return False
        return True
