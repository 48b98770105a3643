"""A call of a module, and what calls are made of: random weights, tensors and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree


@dataclass
class Call:
    """One model call: what is captured and what it is captured with."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def eager(self) -> Any:
        with torch.no_grad():
            return self.module(*self.args, **self.kwargs)

    def tensors(self) -> list[torch.Tensor]:
        """The graph's inputs, in their order."""
        leaves = pytree.tree_leaves((self.args, dict(sorted(self.kwargs.items()))))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def ready(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Evaluation mode, and random weights of a size that keeps the signal alive.

    Zero initialised layers (adapters, norms) get values too, so that a lost branch shows.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            fan_in = parameter[0].numel()
            parameter.data.normal_(0, fan_in**-0.5, generator=generator)
        else:
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.data.normal_(centre, 0.1, generator=generator)
    return module.eval().requires_grad_(False)


def rand(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tokens(batch: int, length: int, vocabulary: int = 90) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(3, vocabulary, (batch, length), generator=generator)
