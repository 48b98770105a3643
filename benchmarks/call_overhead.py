"""What a call of a full-size UNet costs before an engine runs: router, guards, arguments, results.

    python benchmarks/call_overhead.py --model sd15
    python benchmarks/call_overhead.py --model sdxl --calls 500

The engine is one that does nothing: it gives the same tensor at every call. Everything of ours is
in the figure: the patched call, the guards of Dynamo and of the classes, the weights that are
handed over and looked at, the check of the result. Processor time of one thread, microseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from sdbackends.capture.export import Capture
from sdbackends.engines.base import GraphEngine, Program
from sdbackends.host import cuda, precision
from sdbackends.host.patches import Patches
from sdbackends.runtime import router
from sdbackends.settings import BackendChoice, Settings

SD15 = {
    "sample_size": 64,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SDXL = {
    "sample_size": 128,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


class Nothing(Program):
    """Gives a tensor of zeros that was made beforehand."""

    def __init__(self, capture: Capture) -> None:
        specs = capture.graph.specs()
        found = [specs[output.name] for output in capture.graph.outputs]
        self._results = [torch.zeros(spec.shape) for spec in found if spec is not None]

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return self._results

    def rebind(self, weights: Mapping[str, torch.Tensor]) -> None: ...


def nothing(
    engine: GraphEngine, label: str, backend: str, capture: Capture, weights: Any
) -> Nothing:
    return Nothing(capture)


def unet(name: str) -> tuple[UNet2DConditionModel, tuple[Any, ...], dict[str, Any]]:
    # Weights are allocated and not written: nothing reads them.
    with torch.device("meta"):
        model = UNet2DConditionModel(**(SD15 if name == "sd15" else SDXL))
    model = model.to_empty(device="cpu").eval()
    sample = torch.zeros(2, 4, model.config.sample_size, model.config.sample_size)
    states = torch.zeros(2, 77, model.config.cross_attention_dim)
    added = {"text_embeds": torch.zeros(2, 1280), "time_ids": torch.zeros(2, 6)}
    keywords = {} if name == "sd15" else {"added_cond_kwargs": added}
    return model, (sample, torch.tensor(7), states), keywords


def measured(call: Any, calls: int) -> list[float]:
    """Microseconds of processor time of each call."""
    times = []
    for _ in range(calls):
        begun = time.thread_time()
        call()
        times.append((time.thread_time() - begun) * 1e6)
    return sorted(times)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", choices=["sd15", "sdxl"], default="sd15")
    arguments.add_argument("--calls", type=int, default=300)
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    model, args, keywords = unet(asked.model)
    patches = Patches()
    settings = Settings(backend=BackendChoice("jax"), fallback="error", log="quiet")
    # As in a script that names "cuda" on a machine without one.
    cuda.apply(patches)
    precision.apply(patches)
    router.install(settings, patches, strategy=nothing)
    model.to("cuda")
    with torch.no_grad():
        begun = time.process_time()
        model(*args, **keywords)
        first = time.process_time() - begun
        for _ in range(20):
            model(*args, **keywords)
        times = measured(lambda: model(*args, **keywords), asked.calls)
    patches.undo()
    print(f"{asked.model}: first call {first:.1f} s of processor time, then a call in µs:")
    print(
        f"min {times[0]:.0f}, median {statistics.median(times):.0f}, "
        f"p90 {times[int(len(times) * 0.9)]:.0f}"
    )


if __name__ == "__main__":
    main()
