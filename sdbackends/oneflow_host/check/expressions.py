"""What an expression stands for, and what a test says, as far as that is sure without a run."""

from __future__ import annotations

import ast
import builtins

from sdbackends.oneflow_host.check.program import SCRIPT, Module, ReadProgram
from sdbackends.oneflow_host.check.scope import TENSOR, Bound, Known, NamedValue
from sdbackends.oneflow_host.check.tensors import gives_tensor


class Expressions:
    """For one file; `scope` is where the walk is."""

    def __init__(self, program: ReadProgram, module: Module) -> None:
        self.program, self.module = program, module
        self.scope = module.scope

    def values(self, node: ast.expr | None) -> tuple[NamedValue, ...]:
        """Everything of torch, and every local module, that `node` may stand for."""
        match node:
            case ast.Name(id=name):
                bound = self.scope.lookup(name)
                if bound is not None:
                    return bound.values
                return () if hasattr(builtins, name) else self.program.from_stars(self.module, name)
            case ast.Attribute(value=owner, attr=name):
                return self._attributes(owner, name)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                known = self.known(test)
                parts = [body, orelse] if known is None else [body if known.value else orelse]
                return tuple(value for part in parts for value in self.values(part))
            case ast.Call():
                return self._result(node)
        return ()

    def lacks(self, value: NamedValue) -> bool:
        return value.of_torch and self.program.names.lacking(value.name) is not None

    def known(self, node: ast.expr) -> Known | None:
        """The answer of a test; None: only a run can tell."""
        match node:
            case ast.Constant(value=value):
                return Known(bool(value))
            case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                return Known(False)
            case ast.Name(id=name):
                return (self.scope.lookup(name) or Bound()).known
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.known(operand)
                return inner and Known(not inner.value, inner.why)
            case ast.BoolOp(op=op, values=parts):
                return _together([self.known(part) for part in parts], isinstance(op, ast.Or))
            case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
                return Known(self.module.name == SCRIPT)
            case ast.Call(func=ast.Name(id="hasattr"), args=[owner, ast.Constant(value=str(word))]):
                return self._has(owner, word)
        return None

    def annotated(self, node: ast.expr | None) -> tuple[NamedValue, ...]:
        """A tensor, where an annotation says `torch.Tensor`, `… | None` or `Optional[…]`."""
        match node:
            case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
                return self.annotated(left)
            case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
                return self.annotated(inner)
            case ast.Name() | ast.Attribute():
                is_tensor = any(value.name == TENSOR.name for value in self.values(node))
                return (TENSOR,) if is_tensor else ()
        return ()

    def _attributes(self, owner: ast.expr, name: str) -> tuple[NamedValue, ...]:
        found: list[NamedValue] = []
        for value in self.values(owner):
            if value.of_torch:
                found.append(NamedValue(f"{value.name}.{name}"))
            elif module := self.program.load(value.name):
                found += self.program.member(module, name)
        return tuple(found)

    def _result(self, node: ast.Call) -> tuple[NamedValue, ...]:
        match node:
            case ast.Call(
                func=ast.Name(id="getattr"),
                args=[owner, ast.Constant(value=str(word)), *default],
            ):
                found = self._attributes(owner, word)
                return tuple(value for value in found if not (default and self.lacks(value)))
        if module := constant_import(node):
            return (NamedValue(module),) if self.program.is_followed(module) else ()
        if any(gives_tensor(value.name) for value in self.values(node.func)):
            return (TENSOR,)
        return ()

    def _has(self, owner: ast.expr, word: str) -> Known | None:
        names = [f"{value.name}.{word}" for value in self.values(owner) if value.of_torch]
        answers = {self.program.names.lacking(name) is None for name in names}
        return Known(answers.pop(), f"asks for {names[0]} first") if len(answers) == 1 else None


def constant_import(node: ast.Call) -> str:
    """The module in `importlib.import_module("module")` or `__import__("module")`, or ""."""
    match node:
        case ast.Call(
            func=ast.Name(id=called) | ast.Attribute(attr=called),
            args=[ast.Constant(value=str(word))],
        ) if called in ("import_module", "__import__") and not word.startswith("."):
            return word
    return ""


def _together(parts: list[Known | None], is_or: bool) -> Known | None:
    """The answer of `and`, `or`: one part may decide, else all must be known."""
    for part in parts:
        if part is not None and part.value is is_or:
            return part
    return parts[0] if None not in parts else None
