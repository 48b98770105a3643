"""What the first call of SD 1.5's UNet at full size costs, in a first and in a second process.

    python benchmarks/first_call.py --backend jax

The second process finds in the cache what the first one made. Seconds of processor time (all
threads) and of the clock from the first call's begin to its end, less those of a later call, which
only computes: what is left is tracing, guards, capture, lowering, compiling and loading. Random
weights, fp32, batch 2, 512x512 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from call_overhead import unet


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor time and of the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - processor, time.perf_counter() - clock


def one_process(backend: str, model: str) -> dict[str, float]:
    import torch

    import sdbackends

    sdbackends.use(backend)
    module, args, keywords = unet(model)
    for parameter in module.parameters():
        parameter.data.uniform_(-0.02, 0.02)
    with torch.no_grad():
        first = timed(lambda: module(*args, **keywords))
        second = timed(lambda: module(*args, **keywords))
    return {"processor": first[0] - second[0], "clock": first[1] - second[1], "call": second[1]}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--backend", default="jax")
    arguments.add_argument("--model", choices=["sd15", "sdxl"], default="sd15")
    arguments.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.child:
        print(json.dumps(one_process(asked.backend, asked.model)))
        return
    with tempfile.TemporaryDirectory() as cache:
        for name in ("first", "second"):
            command = [sys.executable, __file__, "--child"]
            command += ["--backend", asked.backend, "--model", asked.model]
            environ = {**os.environ, "SD_CACHE_DIR": cache, "SD_FALLBACK": "error"}
            done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
            took = json.loads(done.stdout)
            print(
                f"{name} process: {took['processor']:.1f} s of processor time, "
                f"{took['clock']:.1f} s, beside a call's own {took['call']:.1f} s"
            )


if __name__ == "__main__":
    main()
