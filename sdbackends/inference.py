"""Which calls of a model are inference that an engine can serve, and which are not by their nature.

Training, weights that are not in memory, and the text that a decoder writes token by token: its
cache of keys and values grows from call to call, so that each would be a capture of its own. Such
calls run on eager torch under every backend; that is no failure of an engine.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch


def why_not(module: torch.nn.Module, kwargs: dict[str, Any]) -> str | None:
    """Why this call belongs to eager torch, in words; None where it is an engine's."""
    if module.training:
        return "it is in train mode (model.eval() before inference)"
    if torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters()):
        return "gradients are enabled (call it under torch.no_grad())"
    if any(p.device.type == "meta" for p in module.parameters()):
        return "its weights are not in memory (offloaded by accelerate)"
    if _writes_text(module, kwargs):
        return "it keeps a cache for the next token of a text (use_cache=False: one plain call)"
    return None


def _writes_text(module: torch.nn.Module, kwargs: dict[str, Any]) -> bool:
    """A decoder of transformers with its cache; text encoders have none to keep.

    The encoder of such a pair is built from the same configuration, but its `forward` takes none.
    """
    if not _takes_cache(type(module).forward):
        return False
    if kwargs.get("past_key_values") is not None:
        return True
    config = getattr(module, "config", None)
    decodes = getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False)
    wanted = kwargs.get("use_cache")
    return bool(decodes and (getattr(config, "use_cache", False) if wanted is None else wanted))


@functools.cache
def _takes_cache(forward: Any) -> bool:
    return "use_cache" in inspect.signature(forward).parameters
