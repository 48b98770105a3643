"""One file in, a `Source` out: every use of an imported name, with its line and its guards.

The tree is walked in the order in which Python would run it; the bodies of functions come last,
because they see the module as it is in the end. Nothing of the file is executed.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from sdbackends.oneflow_host.check import lazy
from sdbackends.oneflow_host.check.branches import Branches
from sdbackends.oneflow_host.check.conditions import hasattr_test
from sdbackends.oneflow_host.check.definitions import COMPREHENSIONS, Definitions
from sdbackends.oneflow_host.check.model import (
    Default,
    Has,
    Source,
    Way,
)
from sdbackends.oneflow_host.check.resolve import constant_getattr, constant_import
from sdbackends.oneflow_host.check.scope import Bound, Flag, Target
from sdbackends.oneflow_host.check.visitor import World, lasting


def read(
    text: bytes,
    path: Path,
    module: str,
    world: World,
    *,
    is_package: bool = False,
    is_script: bool = False,
) -> Source:
    """The `Source` of one file.

    Raises:
        SyntaxError, ValueError, RecursionError: the text is not Python, or nested beyond measure.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text, str(path))
    source = Source(path, module)
    package = module if is_package else module.rpartition(".")[0]
    _Reader(source, text, world, package, is_script=is_script).module(tree)
    if is_package and lazy.is_lazy(text):
        source.exports = lazy.exports(tree, path)
    return source


class _Reader(Branches, Definitions):
    """The visitors, one for each kind of node that says something."""

    def __init__(
        self, source: Source, text: bytes, world: World, package: str, *, is_script: bool
    ) -> None:
        super().__init__(source, text, world, is_script=is_script)
        self.package = package
        self.visitors = {
            ast.Import: self.import_,
            ast.ImportFrom: self.import_from,
            ast.Assign: self.assign,
            ast.AnnAssign: self.annotated_assign,
            ast.NamedExpr: self.walrus,
            ast.Global: self.global_,
            ast.Name: self.name,
            ast.ExceptHandler: self.handler,
            ast.MatchAs: self.capture,
            ast.MatchStar: self.capture,
            ast.Attribute: self.attribute,
            ast.Call: self.call,
            ast.If: self.if_,
            ast.IfExp: self.conditional,
            ast.BoolOp: self.and_or,
            ast.Try: self.try_,
            getattr(ast, "TryStar", ast.Try): self.try_,  # since Python 3.11
            ast.With: self.with_,
            ast.AsyncWith: self.with_,
            ast.For: self.for_,
            ast.AsyncFor: self.for_,
            ast.While: self.while_,
            ast.ClassDef: self.class_,
            ast.FunctionDef: self.function_,
            ast.AsyncFunctionDef: self.function_,
            ast.Lambda: self.lambda_,
            **dict.fromkeys(COMPREHENSIONS, self.comprehension),
        }

    def module(self, tree: ast.Module) -> None:
        self.body(tree.body)
        while self.later:
            self.later.popleft()()
        self.source.names = frozenset(self.scope.names)
        for name, bound in self.scope.names.items():
            if names := [target.name for target in bound.targets if not target.instance]:
                self.source.bindings[name] = names
        self.source.run_at_import = self._called_at_import()

    # Imports and bindings

    def import_(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imported(alias.name, None, node.lineno)
            stands_for = alias.name if alias.asname else alias.name.partition(".")[0]
            self.bind(alias.asname or stands_for, [Target(stands_for, imported=True)])

    def import_from(self, node: ast.ImportFrom) -> None:
        module = self._absolute(node)
        if module == "__future__":
            self.postponed |= any(alias.name == "annotations" for alias in node.names)
        elif module:
            for alias in node.names:
                if alias.name == "*":
                    self.imported(module, None, alias.lineno)
                    if self.matters(module):
                        self.source.stars.append(module)
                else:
                    self.imported(module, alias.name, alias.lineno)
                    target = Target(f"{module}.{alias.name}", imported=True)
                    self.bind(alias.asname or alias.name, [target])

    def assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target, node.value)

    def annotated_assign(self, node: ast.AnnAssign) -> None:
        # The annotation of a local variable is never evaluated.
        if not self.postponed and self.function is None:
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self._assign(node.target, node.value)

    def walrus(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._assign(node.target, node.value)

    def global_(self, node: ast.Global) -> None:
        for name in node.names:
            self.scope.elsewhere[name] = self.scope.outermost()

    def name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)
        elif self.source.stars and self.scope.lookup(node.id) is None:
            self.use(self.targets(node), node.lineno, "mention")

    def handler(self, node: ast.ExceptHandler) -> None:
        self.visit(node.type)
        if node.name:
            self.bind(node.name)
        self.body(node.body)

    def capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.children(node)
        if node.name:
            self.bind(node.name)

    # Uses

    def attribute(self, node: ast.Attribute) -> None:
        self._chain(node, "mention")

    def call(self, node: ast.Call) -> None:
        func = node.func
        if isinstance(func, ast.Attribute):
            self._chain(func, "call")
        elif isinstance(func, ast.Name):
            self.calls_function(func.id)
            self.visit(func)
        else:
            self.visit(func)
        self._asks_by_word(node)
        self._asks_for_type(node)
        module = constant_import(node)
        if module is not None:
            self.imported(module, None, node.lineno)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            self.visit(keyword.value)

    def _asks_by_word(self, node: ast.Call) -> None:
        """`getattr(torch, "word")`, and `getattr(torch, word)`, which only a run can answer."""
        if getattr(node.func, "id", "") != "getattr" or len(node.args) < 2:
            return
        default = (Default(),) if len(node.args) > 2 else ()
        owners = self.targets(node.args[0])
        word = constant_getattr(node)
        if word is not None:
            found = [Target(f"{owner.name}.{word}", owner.guards) for owner in owners]
            self.use(found, node.lineno, "getattr", *default)
        elif any(owner.name.partition(".")[0] == "torch" for owner in owners):
            self.computed(node)

    def _asks_for_type(self, node: ast.Call) -> None:
        """`isinstance(x, …)`: then `x` may be something else than its annotation says."""
        asked = node.args[0] if node.args else None
        if getattr(node.func, "id", "") != "isinstance" or not isinstance(asked, ast.Name):
            return
        if any(target.instance for target in self.targets(asked)):
            self.bind(asked.id)

    def _chain(self, node: ast.Attribute, way: Way) -> None:
        """`torch.backends.cudnn.benchmark`, noted once, as a whole."""
        # Setting an attribute asks only for what stands before it.
        asked = node.value if isinstance(node.ctx, ast.Store) else node
        if isinstance(asked, ast.Attribute):
            self.use(self.targets(asked), asked.end_lineno or asked.lineno, way)
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            self.visit(root)

    # Helpers

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            if isinstance(value, ast.Constant) and value.value is None:
                # `torch = None` where the import failed: what it stood for before is what matters.
                if not self.scope.owns(target.id):
                    self.scope.bind(target.id, Bound(is_none=True), branch=False)
                return
            known = hasattr_test(value, self.reading)
            flag = Flag(known.true or (), known.false or ()) if known else None
            self.bind(target.id, self._values(value), flag)
        elif isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            if len(values) != len(target.elts):
                values = []
            for part, its_value in zip_longest(target.elts, values):
                self._assign(part, its_value or ast.Constant(...))
        elif isinstance(target, ast.Starred):
            self._assign(target.value, ast.Constant(...))
        else:
            self.visit(target)

    def _values(self, value: ast.expr) -> list[Target]:
        """What an assigned value stands for, either branch of a conditional one."""
        if isinstance(value, ast.IfExp):
            test = self.test(value.test)
            return [
                replace(found, guards=(*found.guards, *lasting(guards)))
                for part, guards in ((value.body, test.true), (value.orelse, test.false))
                if guards is not None
                for found in self._values(part)
            ]
        with_default = isinstance(value, ast.Call) and len(value.args) > 2
        return [
            replace(found, guards=(*found.guards, Has(found.name, present=True)))
            if with_default and not found.instance
            else found
            for found in self.targets(value)
        ]

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        if node.level > len(parts):
            return ""
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _called_at_import(self) -> frozenset[str]:
        """The module's functions that run while it is imported, as far as it calls them itself."""
        reached: set[str] = set()
        following = list(self.calls.get(None, ()))
        while following:
            name = following.pop()
            if name not in reached:
                reached.add(name)
                following += self.calls.get(name, ())
        return frozenset(reached)
