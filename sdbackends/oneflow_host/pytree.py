"""Nested dicts, lists, tuples and model outputs: taken apart into leaves and put together again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import oneflow as flow

from sdbackends.oneflow_host.registry import provides

#: How a nest was built, less its tensors: hashable where the leaves that stay in it are.
Plan = tuple[Any, ...]


def take_apart(nest: Any, tensors: list[Any]) -> Plan:
    """Append the tensors of `nest` to `tensors`; what comes back puts them together again."""
    if isinstance(nest, flow.Tensor):
        tensors.append(nest)
        return ("tensor", len(tensors) - 1)
    if isinstance(nest, dict):
        parts = tuple((key, take_apart(value, tensors)) for key, value in nest.items())
        return ("dict", type(nest), parts)
    if isinstance(nest, (list, tuple)):
        return ("row", type(nest), tuple(take_apart(value, tensors) for value in nest))
    return ("leaf", nest)


def put_together(plan: Plan, tensors: Any) -> Any:
    """The nest again, around these tensors."""
    kind = plan[0]
    if kind == "tensor":
        return tensors[plan[1]]
    if kind == "leaf":
        return plan[1]
    if kind == "dict":
        found = {key: put_together(part, tensors) for key, part in plan[2]}
        # A model output (an OrderedDict with fields) is made of its fields.
        plain = plan[1] in (dict, OrderedDict)
        return plan[1](found) if plain else plan[1](**found)
    values = [put_together(part, tensors) for part in plan[2]]
    return plan[1](*values) if hasattr(plan[1], "_fields") else plan[1](values)


@provides("torch.utils._pytree.tree_map")
def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of every leaf."""
    if isinstance(tree, dict):
        return type(tree)((key, tree_map(function, value)) for key, value in tree.items())
    if isinstance(tree, (list, tuple)):
        values = [tree_map(function, value) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return function(tree)


@provides("torch.utils._pytree.register_pytree_node", "torch.utils._pytree._register_pytree_node")
def register_pytree_node(*_: Any, **__: Any) -> None:
    """For torch's exporters, of which there is none."""
