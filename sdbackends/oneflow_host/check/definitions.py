"""The visitors of everything that opens a scope: classes, functions, comprehensions."""

from __future__ import annotations

import ast

from sdbackends.oneflow_host.check.scope import Bound, Scope
from sdbackends.oneflow_host.check.visitor import Visitor

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Definitions(Visitor):
    def visit_classdef(self, node: ast.ClassDef) -> None:
        self.look(*node.decorator_list, *node.bases, *node.keywords)
        self.bind(node.name)
        scope = Scope(self.scope, is_class=True)
        with self.inside(scope, self.function, f"{self.qualname}{node.name}."):
            self.body(node.body)

    def visit_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.look(*node.decorator_list)
        self._arguments(node.args)
        if not self.postponed:
            self.look(node.returns)
        self.bind(node.name)
        self._later(node, node.body, f"{self.qualname}{node.name}")

    visit_asyncfunctiondef = visit_functiondef

    def visit_lambda(self, node: ast.Lambda) -> None:
        self._arguments(node.args)
        self._later(node, [ast.Expr(node.body)], f"{self.qualname}<lambda>")

    def comprehension(self, node: _Comprehension) -> None:
        with self.inside(Scope(self.scope), self.function, self.qualname):
            for part in node.generators:
                self.look(part.iter, part.target, *part.ifs)
            self.look(*([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]))

    visit_listcomp = visit_setcomp = visit_dictcomp = visit_generatorexp = comprehension

    def _arguments(self, arguments: ast.arguments) -> None:
        """What is evaluated where the function is defined: defaults and annotations."""
        self.look(*arguments.defaults, *arguments.kw_defaults)
        if not self.postponed:
            self.look(*(argument.annotation for argument in _all_arguments(arguments)))

    def _later(self, node: _Function, body: list[ast.stmt], qualname: str) -> None:
        """Visitor a function's body once the modules have been walked: that is what it will see."""
        harmless, conditions = self.unreached(), self.conditions
        outer = self.scope.around_functions()
        scope = Scope(outer)
        for argument in _all_arguments(node.args):
            scope.bind(argument.arg, Bound(self.annotated(argument.annotation)))

        def walk() -> None:
            # A `try` around the definition catches nothing at the time of a call.
            self.harmless, self.conditions, self.tries, self.branches = harmless, conditions, (), 0
            with self.inside(scope, qualname, f"{qualname}.<locals>."):
                self.body(body)

        self.program.later.append((self.module, walk))


def _all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    stars = [word for word in (arguments.vararg, arguments.kwarg) if word is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]
