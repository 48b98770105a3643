"""Which calls are known to give a `torch.Tensor`, so that their methods can be checked too.

Only what is certain without a run: torch's own creation functions, and methods that give a tensor
again.
"""

from __future__ import annotations

_CREATION = """
    arange as_tensor bernoulli cat concat empty empty_like eye from_numpy full full_like linspace
    logspace matmul normal ones ones_like rand rand_like randint randn randn_like randperm stack
    tensor tril triu where zeros zeros_like
"""
_KEEPING = """
    abs bool byte clamp clone contiguous cos cpu cuda detach double exp expand flatten float
    half int long log masked_fill permute pow repeat requires_grad_ reshape round sigmoid sin
    sqrt squeeze t tanh to transpose type_as unsqueeze view
"""
_GIVES_TENSOR = frozenset(
    [f"torch.{name}" for name in _CREATION.split()]
    + [f"torch.Tensor.{name}" for name in _KEEPING.split()]
)


def gives_tensor(called: str) -> bool:
    """Whether calling the function of this dotted name returns a tensor."""
    return called in _GIVES_TENSOR
