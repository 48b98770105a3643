"""The op set is what the capture leaves whole, and what it makes of models."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sdbackends.capture.decompositions import KEPT_WHOLE, decompositions, tables
from sdbackends.capture.direct import capture
from sdbackends.capture.opset import FAMILIES, OPSET
from tests import tiny_models

COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
#: A few of those that engines need no lowering of.
BROKEN_UP = [
    "aten.conv1d.default",
    "aten.matmul.default",
    "aten.reshape.default",
    "aten.rms_norm.default",
    "aten.stack.default",
]
MODELS = {
    "unet": lambda: (tiny_models.unet(), tiny_models.unet_inputs()),
    "encoder": lambda: (tiny_models.autoencoder().encoder, (torch.randn(1, 3, 16, 16),)),
    "clip": lambda: (tiny_models.clip_text(), (tiny_models.token_ids(),)),
    "bert": lambda: (tiny_models.bert(), (tiny_models.token_ids(),)),
}


def broken_up(name: str) -> bool:
    """Whether the capture has something smaller in its place."""
    namespace, op, overload = name.split(".")
    found: Any = getattr(getattr(getattr(torch.ops, namespace), op), overload)
    preserved, _ = tables()
    has_composite = torch._C._dispatch_has_kernel_for_dispatch_key(found.name(), COMPOSITE)
    return found in decompositions() or (has_composite and found not in preserved)


def test_no_op_of_the_set_is_broken_up() -> None:
    assert not [name for name in sorted(OPSET) if broken_up(name)]


def test_what_is_broken_up_is_seen() -> None:
    assert all(broken_up(name) for name in BROKEN_UP)


def test_an_op_is_of_one_family() -> None:
    assert sum(map(len, FAMILIES.values())) == len(OPSET)


def test_what_is_kept_whole_is_in_the_set() -> None:
    assert {str(op) for op in KEPT_WHOLE} <= OPSET


@pytest.mark.parametrize("name", MODELS)
def test_a_models_graph_holds_nothing_else(name: str) -> None:
    module, args = MODELS[name]()
    ops = {node.op for node in capture(module, args).graph.nodes}
    assert ops - {"getitem"} <= OPSET
