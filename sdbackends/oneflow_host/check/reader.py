"""One file, walked in the order in which Python would run it; nothing of it is executed."""

from __future__ import annotations

import ast
from dataclasses import replace
from itertools import zip_longest

from sdbackends.oneflow_host.check.branches import Branches
from sdbackends.oneflow_host.check.definitions import Definitions
from sdbackends.oneflow_host.check.expressions import constant_import
from sdbackends.oneflow_host.check.finding import Line
from sdbackends.oneflow_host.check.program import Module, ReadProgram
from sdbackends.oneflow_host.check.scope import Bound, NamedValue


def walk(program: ReadProgram, module: Module, tree: ast.Module) -> None:
    """Note every name of torch in the file that OneFlow lacks, and what the file binds."""
    Reader(program, module).body(tree.body)


class Reader(Branches, Definitions):
    """The visitors of imports, bindings and uses."""

    def visit_import(self, node: ast.Import) -> None:
        for alias in node.names:
            followed = self.follow(alias.name, node.lineno)
            self.use([NamedValue(alias.name)], node.lineno, "import")
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            self.bind(alias.asname or name, [NamedValue(name, imported=True)] if followed else [])

    def visit_importfrom(self, node: ast.ImportFrom) -> None:
        name = self._absolute(node)
        if name == "__future__":
            self.postponed |= any(alias.name == "annotations" for alias in node.names)
        elif name:
            followed = self.follow(name, node.lineno)
            module = self.program.load(name) if followed and not self.unreached() else None
            for alias in node.names:
                if alias.name == "*":
                    self._import_star(name, module, alias.lineno)
                    continue
                values: tuple[NamedValue, ...] = ()
                if module is not None:
                    values = self.program.member(module, alias.name)
                elif followed:
                    values = (NamedValue(f"{name}.{alias.name}"),)
                    self.use(values, alias.lineno, "import")
                imported = [replace(value, imported=True) for value in values]
                self.bind(alias.asname or alias.name, imported)

    def visit_assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target, node.value)

    def visit_annassign(self, node: ast.AnnAssign) -> None:
        # The annotation of a local variable is never evaluated.
        if not self.postponed and self.function is None:
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self._assign(node.target, node.value)

    def visit_namedexpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._assign(node.target, node.value)

    def visit_global(self, node: ast.Global) -> None:
        self.scope.elsewhere.update(dict.fromkeys(node.names, self.scope.outermost()))

    def visit_name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)
        elif self.scope.lookup(node.id) is None:
            self.use(self.values(node), node.lineno)

    def visit_matchas(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.parts(node)
        if node.name:
            self.bind(node.name)

    visit_matchstar = visit_matchas

    def visit_attribute(self, node: ast.Attribute) -> None:
        """`torch.backends.cudnn.benchmark`, noted once, as a whole."""
        # Setting an attribute asks only for what stands before it.
        asked = node.value if isinstance(node.ctx, ast.Store) else node
        if isinstance(asked, ast.Attribute):
            self.use(self.values(asked), asked.end_lineno or asked.lineno)
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            self.visit(root)

    def visit_call(self, node: ast.Call) -> None:
        self.parts(node)
        if module := constant_import(node):
            self.follow(module, node.lineno)
            self.use([NamedValue(module)], node.lineno, "import")
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(), *default]):
                without = ast.Call(node.func, node.args[:2], [])
                harmless = "guarded: getattr with a default" if default else ""
                self.use(self.values(without), node.lineno, harmless=harmless)
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, _, *_]):
                if any(value.of_torch for value in self.values(owner)):
                    self.program.computed.append(
                        Line(self.module.path, node.lineno, ast.unparse(node))
                    )
            case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name() as asked, *_]):
                # Then it may be something else than its annotation says.
                if any(value.is_tensor for value in self.values(asked)):
                    self.bind(asked.id)

    def _assign(self, target: ast.expr, value: ast.expr | None) -> None:
        match target:
            case ast.Name(id=name):
                if isinstance(value, ast.Constant) and value.value is None:
                    # `torch = None` where the import failed: what it stood for before matters.
                    if not self.scope.owns(name):
                        self.scope.bind(name, Bound(is_none=True))
                else:
                    known = self.known(value) if isinstance(value, ast.Call | ast.UnaryOp) else None
                    self.bind(name, self.values(value), known)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
                for part, its in zip_longest(parts, values if len(values) == len(parts) else ()):
                    self._assign(part, its)
            case ast.Starred(value=inner):
                self._assign(inner, None)
            case _:
                self.visit(target)

    def _import_star(self, name: str, module: Module | None, line: int) -> None:
        if module is None:
            # Of torch, or of what is not read: that may have any name.
            self.use([NamedValue(name)], line, "import")
            self.module.stars.append(name)
            return
        self.module.stars += module.stars
        for word, bound in list(module.scope.names.items()):
            if not word.startswith("_"):
                self.scope.bind(word, bound, branch=self.branches > 0)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.module.name.split(".")[: None if self.module.is_package else -1]
        if node.level > len(parts):
            return ""
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])
