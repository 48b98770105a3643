"""What a call through a worker costs beside the engine's own work.

The engine does nothing; the inputs and the output have the sizes of Stable Diffusion 1.5's UNet
with guidance. A call is what a program does: copy the inputs into shared memory, ask the worker,
copy the output out of it.

    python benchmarks/worker_overhead.py --python ENVIRONMENT/bin/python
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

INPUTS = ((2, 4, 64, 64), (2, 77, 768))
OUTPUT = (2, 4, 64, 64)


def main() -> None:
    options = _options()
    report = measure(options)
    text = json.dumps(report, indent=2)
    if options.json is not None:
        options.json.write_text(text + "\n")
    print(text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from sdbackends.worker.client import Worker, WorkerSpec

    spec = WorkerSpec(
        name="no-op",
        python=options.python,
        engine="worker_overhead:create",
        path=(Path(__file__).resolve().parent,),
    )
    worker = Worker(spec)
    about, start_s = _timed(worker.describe)
    program, build_s = _timed(lambda: worker.build(_graph(), [], []))
    random = np.random.default_rng(0)
    inputs = [random.standard_normal(shape, "float32") for shape in INPUTS]

    def call() -> Any:
        for place, value in zip(program.inputs, inputs, strict=True):
            place[...] = value
        program.run()
        return program.outputs[0].copy()

    for _ in range(20):
        call()
    calls = [_timed(call)[1] for _ in range(options.repeats)]
    empty = [_timed(program.run)[1] for _ in range(options.repeats)]
    worker.close()
    return {
        "python": about["python"],
        "start_s": round(start_s, 2),
        "build_s": round(build_s, 4),
        "calls": options.repeats,
        "call_p50_ms": _milliseconds(calls, 50),
        "call_p90_ms": _milliseconds(calls, 90),
        "call_p99_ms": _milliseconds(calls, 99),
        "without_copies_p50_ms": _milliseconds(empty, 50),
        "without_copies_p90_ms": _milliseconds(empty, 90),
    }


def create(options: dict[str, Any]) -> Any:
    """The engine that does nothing; this function runs in the worker."""
    return _NoOp()


class _NoOp:
    def describe(self) -> dict[str, Any]:
        return {"python": sys.version.split()[0]}

    def build(self, graph: Any, weights: list[Any], constants: list[Any]) -> Any:
        return _NoOpProgram()


class _NoOpProgram:
    def __init__(self) -> None:
        self.report: dict[str, Any] = {}

    def __call__(self, inputs: list[Any], outputs: list[Any]) -> None:
        pass

    def close(self) -> None:
        pass


def _graph() -> Any:
    from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, Value

    latents, words = (TensorSpec(shape, "float32") for shape in INPUTS)
    result = TensorSpec(OUTPUT, "float32")
    return Graph(
        inputs=(Value("latents", "0", latents), Value("words", "1", words)),
        weights=(),
        constants=(),
        nodes=(Node("y", "no.op", (Ref("latents"), Ref("words")), {}, (result,), False, ""),),
        outputs=(Ref("y"),),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="the worker's interpreter, with numpy; default: this one",
    )
    parser.add_argument("--repeats", type=int, default=1000, help="calls that are measured")
    parser.add_argument("--json", type=Path, help="write the report to this file as well")
    return parser.parse_args()


def _timed(call: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def _milliseconds(seconds: list[float], percent: int) -> float:
    return round(statistics.quantiles(seconds, n=100)[percent - 1] * 1e3, 3)


if __name__ == "__main__":
    main()
