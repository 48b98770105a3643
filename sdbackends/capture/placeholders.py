"""Which arguments of a graph of Dynamo's are weights of the model.

Dynamo marks them in its placeholders: they stay at their addresses from call to call.
"""

from __future__ import annotations

import torch

_MARK = "_dynamo_static_input_type"


def is_weight(placeholder: torch.fx.Node) -> bool:
    return _MARK in placeholder.meta.get("tensor_dict", {})


def places_of_weights(graph: torch.fx.GraphModule) -> list[int]:
    nodes = graph.graph.find_nodes(op="placeholder")
    return [place for place, node in enumerate(nodes) if is_weight(node)]


def places_of_inputs(graph: torch.fx.GraphModule) -> list[int]:
    """Those of the other arguments: what the call brings, tensors in closures."""
    nodes = graph.graph.find_nodes(op="placeholder")
    return [place for place, node in enumerate(nodes) if not is_weight(node)]
