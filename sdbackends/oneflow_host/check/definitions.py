"""The visitors of everything that opens a scope: classes, functions, comprehensions."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import partial

from sdbackends.oneflow_host.check.model import Guards, Tried
from sdbackends.oneflow_host.check.resolve import annotated
from sdbackends.oneflow_host.check.scope import Bound, Scope
from sdbackends.oneflow_host.check.visitor import Walk

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Definitions(Walk):
    """One method for each kind of node."""

    def class_(self, node: ast.ClassDef) -> None:
        self._decorators(node.decorator_list)
        for base in (*node.bases, *(word.value for word in node.keywords)):
            self.visit(base)
        self.bind(node.name)
        name = f"{self.qualname}{node.name}."
        with self.inside(Scope(self.scope, is_class=True), self.function, name):
            self.body(node.body)

    def function_(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._decorators(node.decorator_list)
        self._arguments(node.args)
        if not self.postponed:
            self.visit(node.returns)
        self.bind(node.name)
        self._later(node, f"{self.qualname}{node.name}")

    def lambda_(self, node: ast.Lambda) -> None:
        self._arguments(node.args)
        self._later(node, f"{self.qualname}<lambda>")

    def comprehension(self, node: _Comprehension) -> None:
        with self.inside(Scope(self.scope), self.function, self.qualname):
            for part in node.generators:
                self.visit(part.iter)
                self.visit(part.target)
                for test in part.ifs:
                    self.visit(test)
            if isinstance(node, ast.DictComp):
                self.visit(node.key)
                self.visit(node.value)
            else:
                self.visit(node.elt)

    def _decorators(self, decorators: Sequence[ast.expr]) -> None:
        for decorator in decorators:
            if isinstance(decorator, ast.Name):
                self.calls_function(decorator.id)
            self.visit(decorator)

    def _arguments(self, arguments: ast.arguments) -> None:
        """What is evaluated where the function is defined: defaults and annotations."""
        for default in (*arguments.defaults, *arguments.kw_defaults):
            self.visit(default)
        if not self.postponed:
            for argument in _all_arguments(arguments):
                self.visit(argument.annotation)

    def _later(self, node: _Function, qualname: str) -> None:
        """Walk a function's body once the module has been walked: that is what it will see."""
        # No exception at the time of the call is caught by a `try` around the definition.
        guards = tuple(guard for guard in self.guards if not isinstance(guard, Tried))
        outer = self.scope.around_functions()
        scope = Scope(outer)
        for argument in _all_arguments(node.args):
            found = annotated(argument.annotation, outer)
            scope.bind(argument.arg, Bound(found), branch=False)
        self.later.append(partial(self._function_body, node, scope, qualname, guards))

    def _function_body(self, node: _Function, scope: Scope, qualname: str, guards: Guards) -> None:
        with self.inside(scope, qualname, f"{qualname}.<locals>."), self.under(guards):
            if isinstance(node, ast.Lambda):
                self.visit(node.body)
            else:
                self.body(node.body)


def _all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    stars = [word for word in (arguments.vararg, arguments.kwarg) if word is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]
