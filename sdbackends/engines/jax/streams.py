"""The order of what torch and JAX do on one GPU, which they do on streams of their own.

DLPack carries it: an import makes JAX's stream wait for what torch was told to do before, and the
export of a result makes torch's stream wait for the program. So whatever torch writes into an input
later comes after the program that reads it, and the host waits for nothing. It needs an input that
is imported at each call, and all of them from this device: JAX copies others there on a stream that
knows nothing of torch, into memory that torch may still read.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import torch

from sdbackends.engines.jax.dlpack import on_same_device


def carried_by_dlpack(device: jax.Device) -> bool:
    """Whether this JAX hands its stream out on this device: without it nothing is ordered."""
    if device.platform not in ("gpu", "cuda"):
        return False
    try:
        device.get_stream_for_external_ready_events()
    except Exception:  # UNIMPLEMENTED, in an error of jaxlib that has changed its name
        return False
    return True


def ordered_by(inputs: Sequence[torch.Tensor], device: jax.Device) -> bool:
    """Whether the imports of these inputs order the call."""
    return bool(inputs) and all(on_same_device(tensor, device) for tensor in inputs)


def wait_for_torch(device: jax.Device) -> None:
    """Return when torch has done on this device what it was told to do so far."""
    if device.platform in ("gpu", "cuda") and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.current_stream(device.local_hardware_id or 0).synchronize()
