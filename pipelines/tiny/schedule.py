"""What both training loops share: the learning rate's course and the averaged weights."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

WARMUP = 100


def learning_rate(step: int, steps: int, peak: float) -> float:
    """A short warm-up, then half a cosine down to zero."""
    return peak * min(1.0, (step + 1) / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group its share (`scale`, one unless the group says so) of the value."""
    for group in optimizer.param_groups:
        group["lr"] = value * group.get("scale", 1.0)


class Average:
    """An exponential moving average of weights, quick at first and slow later."""

    def __init__(self, weights: Iterable[Tensor], decay: float) -> None:
        self.weights = list(weights)
        self.decay = decay
        self.values = [weight.detach().clone() for weight in self.weights]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights as they are now."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        torch._foreach_lerp_(self.values, self.weights, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average; a second call puts them back."""
        kept = [weight.detach().clone() for weight in self.weights]
        torch._foreach_copy_(self.weights, self.values)
        torch._foreach_copy_(self.values, kept)
