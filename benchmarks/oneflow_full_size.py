"""The UNet of SD 1.5 at full size through OneFlow's eager replay: error, memory, seconds.

    python benchmarks/oneflow_full_size.py [--calls N]

Random weights (neither error nor speed depends on them), fp32, batch 2, 512x512 pixels. The error
is the largest difference from torch as a share of the largest value; the worker's peak is its
resident memory, of which the weights are shared with this process. Half a minute to two per call.
"""

from __future__ import annotations

import argparse
import time

import diffusers
import torch

from sdbackends.capture.direct import capture, weights_of
from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine, OneflowProgram
from sdbackends.runtime.engine_pool import worker_environment

CONFIG = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1)
    calls = parser.parse_args().calls
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(**CONFIG).eval().requires_grad_(False)
    args = (torch.randn(2, 4, 64, 64), torch.tensor(981), torch.randn(2, 77, 768))
    with torch.no_grad():
        expected = unet(*args, return_dict=False)[0]
    captured = capture(unet, args, {"return_dict": False})
    weights = weights_of(unet, captured.graph)
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    engine = OneflowEngine(
        EngineContext({"mode": "graph"}, "cpu", worker=worker_environment("oneflow"))
    )
    try:
        program = engine.build(captured.graph, weights, captured.constants)
        assert isinstance(program, OneflowProgram)
        print(f"weights {size / 1e9:.2f} GB, {len(captured.graph.nodes)} nodes; {program.how}")
        for _ in range(calls):
            start = time.perf_counter()
            (result,) = program(args)
            seconds = time.perf_counter() - start
            error = float((result - expected).abs().max() / expected.abs().max())
            peak = engine._worker.memory().peak_rss
            print(
                f"{seconds:.1f} s, error {error:.1e} of max, "
                f"worker's peak {peak / 1e9:.2f} GB = {peak / size:.2f}x the weights"
            )
    finally:
        engine.close()


if __name__ == "__main__":
    main()
