"""What an expression stands for: names and attribute chains back to the imports they come from."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import replace

from sdbackends.oneflow_host.check.scope import Scope, Target
from sdbackends.oneflow_host.check.tensors import TENSOR, gives_tensor

_BUILTINS = frozenset(dir(builtins))


def targets(node: ast.expr | None, scope: Scope, stars: Sequence[str]) -> tuple[Target, ...]:
    """Every imported thing that `node` may stand for; none for anything else.

    `stars` are the modules of `from module import *`: a name that nothing binds comes from one.
    """
    if isinstance(node, ast.Name):
        bound = scope.lookup(node.id)
        if bound is not None:
            return bound.targets
        return () if node.id in _BUILTINS else tuple(Target(f"{star}.{node.id}") for star in stars)
    if isinstance(node, ast.Attribute):
        return tuple(
            Target(f"{owner.name}.{node.attr}", owner.guards)
            for owner in targets(node.value, scope, stars)
        )
    if isinstance(node, ast.Call):
        return _result(node, scope, stars)
    return ()


def constant_getattr(node: ast.Call) -> str | None:
    """The word in `getattr(owner, "word")`."""
    if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
        word = node.args[1]
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            return word.value
    return None


def constant_import(node: ast.Call) -> str | None:
    """The module in `importlib.import_module("module")` or `__import__("module")`."""
    func = node.func
    called = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
    if called in ("import_module", "__import__") and len(node.args) == 1:
        word = node.args[0]
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            return None if word.value.startswith(".") else word.value
    return None


def annotated(node: ast.expr | None, scope: Scope) -> tuple[Target, ...]:
    """An instance, where an annotation says `torch.Tensor`, `… | None` or `Optional[…]`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        if isinstance(node.right, ast.Constant) and node.right.value is None:
            return annotated(node.left, scope)
    elif isinstance(node, ast.Subscript):
        word = node.value.id if isinstance(node.value, ast.Name) else ""
        return annotated(node.slice, scope) if word == "Optional" else ()
    elif any(target.name == TENSOR for target in targets(node, scope, ())):
        return (Target(TENSOR, instance=True),)
    return ()


def _result(node: ast.Call, scope: Scope, stars: Sequence[str]) -> tuple[Target, ...]:
    word = constant_getattr(node)
    if word is not None:
        return tuple(
            replace(owner, name=f"{owner.name}.{word}", instance=False)
            for owner in targets(node.args[0], scope, stars)
        )
    module = constant_import(node)
    if module is not None:
        return (Target(module),)
    if any(gives_tensor(called.name) for called in targets(node.func, scope, stars)):
        return (Target(TENSOR, instance=True),)
    return ()
