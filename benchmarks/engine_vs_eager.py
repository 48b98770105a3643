"""Torch eager and an engine in turn on Stable Diffusion 1.5's parts at full size.

The weights are random: speed does not depend on their values. The two take turns call by call, so
that a machine whose speed drifts treats both alike; the ratio is the median of the turns' ratios.

    python benchmarks/engine_vs_eager.py --engine jax --part unet --threads 4 --repeats 5

With `--alone`, OpenVINO takes a turn too with the part as its own `convert_model` makes it from
`torch.export`, without sdbackends: what the engine costs beside OpenVINO itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PARTS = ("unet", "vae", "clip")
DTYPES = ("float32", "bfloat16", "float16")


def main() -> None:
    options = _options()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
        # XLA takes a thread for each core that it may run on.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    report = measure(options)
    text = json.dumps(report, indent=2)
    if options.json is not None:
        options.json.write_text(text + "\n")
    print(text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from sdbackends import engines
    from sdbackends.capture.direct import capture, weights_of
    from sdbackends.engines.base import EngineContext

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    module, inputs = _part(options.part, getattr(torch, options.dtype))
    captured, capture_s = _timed(lambda: capture(module, inputs))
    weights = weights_of(module, captured.graph)
    expected, _ = _timed(lambda: module(*inputs))
    choices = dict(pair.split("=", 1) for pair in options.option)
    context = EngineContext(options=choices, device=options.device, cache_dir=options.cache)
    engine: Any = engines.create(options.engine, context)
    program, build_s = _timed(lambda: engine.build(captured.graph, weights, captured.constants))
    (result, *_), first_s = _timed(lambda: program(inputs))
    calls = {"eager": lambda: module(*inputs), options.engine: lambda: program(inputs)}
    if options.alone:
        calls["alone"] = _openvino_alone(module, inputs, torch.get_num_threads())
        calls["alone"]()
    turns = [
        {name: _timed(call)[1] for name, call in calls.items()} for _ in range(options.repeats)
    ]
    scale = expected.float().abs().max()
    # How many times as fast as eager torch.
    ratios = {name: _median(turn["eager"] / turn[name] for turn in turns) for name in calls}
    return {
        "part": options.part,
        "dtype": options.dtype,
        "options": choices,
        "threads": torch.get_num_threads(),
        "engine": engine.version(),
        "nodes": len(captured.graph.nodes),
        "capture_s": round(capture_s, 2),
        "build_s": round(build_s, 2),
        "from_cache": program.from_cache,
        "first_call_s": round(first_s, 3),
        "p50_s": {name: _median(turn[name] for turn in turns) for name in calls},
        "ratio_p50": ratios,
        "turns_s": [{name: round(s, 4) for name, s in turn.items()} for turn in turns],
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "error_over_max": float((result.float() - expected.float()).abs().max() / scale),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("jax", "openvino"), required=True)
    parser.add_argument("--part", choices=PARTS, default="unet")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--repeats", type=int, default=5, help="turns of eager and the engine")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--device", help="cpu, cuda, tpu; default: the engine's own choice")
    parser.add_argument("--cache", type=Path, help="keep compiled programs in this folder")
    parser.add_argument("--json", type=Path, help="write the report to this file as well")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the engine, as in its backend file (conv=native)",
    )
    parser.add_argument("--alone", action="store_true", help="OpenVINO without sdbackends, too")
    return parser.parse_args()


def _openvino_alone(module: Any, inputs: tuple[Any, ...], threads: int) -> Callable[[], Any]:
    """The part as OpenVINO's own converter makes it, on as many threads."""
    import openvino as ov
    import torch

    model = ov.convert_model(torch.export.export(module, inputs))
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    given = [tensor.numpy() for tensor in inputs]
    return lambda: request.infer(given, share_inputs=True)


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def _timed(call: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def _part(name: str, dtype: Any) -> tuple[Any, tuple[Any, ...]]:
    """The model and its inputs, batch 2 where a pipeline guides."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    if name == "unet":
        with _uninitialised():
            unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        inputs = (randn(2, 4, 64, 64), torch.tensor(981), randn(2, 77, 768))
        return _first(_random(unet, dtype), "forward"), inputs
    if name == "vae":
        blocks = 4
        with _uninitialised():
            vae = AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * blocks,
                up_block_types=("UpDecoderBlock2D",) * blocks,
                layers_per_block=2,
                sample_size=512,
            )
        return _first(_random(vae, dtype), "decode"), (randn(1, 4, 64, 64),)
    config = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12
    )
    with _uninitialised():
        clip = CLIPTextModel(config)
    inputs = (torch.randint(3, 49000, (2, 77), generator=generator),)
    return _first(_random(clip, dtype), "forward"), inputs


def _first(model: Any, method: str) -> Any:
    """A module that returns the first tensor of a method's result."""
    import torch

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *args: Any) -> Any:
            return getattr(self.model, method)(*args, return_dict=False)[0]

    return First().eval().requires_grad_(False)


def _uninitialised() -> Any:
    """Models are filled by `_random` in one go; torch's own initialisation takes minutes."""
    from transformers.initialization import no_init_weights

    return no_init_weights()


def _random(model: Any, dtype: Any) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            spread = parameter[0].numel() ** -0.5
            parameter.data.normal_(0, spread, generator=generator)
        else:
            parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
    return model.to(dtype)


if __name__ == "__main__":
    main()
