"""How many floating point operations a model call takes: counted on tensors without contents.

`torch.utils.flop_counter` counts products and convolutions; the attention kernel of the CPU is not
in its table and is added here (two products of B*H*L*S*D, two operations each). The call runs on
fake tensors, so counting computes nothing and changes nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

_aten = torch.ops.aten
_nn_call = torch.nn.Module.__call__


class CountedCall:
    """A model call without the contents of its tensors, which would keep memory alive."""

    def __init__(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.module = module
        leaves, self._form = pytree.tree_flatten((args, kwargs))
        self._leaves = [_Shape(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]

    def flops(self) -> float:
        """Of the model's own forward; what stands before models inside it is the caller's care."""
        counter = FlopCounterMode(display=False, custom_mapping=_ATTENTION)
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), counter:
            leaves = [leaf.fake() if isinstance(leaf, _Shape) else leaf for leaf in self._leaves]
            args, kwargs = pytree.tree_unflatten(leaves, self._form)
            _nn_call(self.module, *args, **kwargs)
        return float(counter.get_total_flops())


class _Shape:
    def __init__(self, tensor: torch.Tensor) -> None:
        self._size, self._dtype, self._device = tensor.shape, tensor.dtype, tensor.device

    def fake(self) -> torch.Tensor:
        return torch.empty(self._size, dtype=self._dtype, device=self._device)


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    batch, heads, length, width = query
    keys, out = key[-2], value[-1]
    return 2 * batch * heads * length * keys * (width + out)  # type: ignore[no-any-return]


_ATTENTION = {_aten._scaled_dot_product_flash_attention_for_cpu: _attention}
