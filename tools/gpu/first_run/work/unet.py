"""One UNet on one engine: built beside others, then measured with the device to itself.

Four questions: is the engine right (against eager torch in float32), how long is a call through the
router, how long is the program alone, and where does the host's time go.
"""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path
from typing import Any

import torch

import sdbackends
from first_run.child import Turn
from first_run.work import models, timing
from sdbackends.runtime import program_cache
from sdbackends.runtime.verify import compare, tensors_of


def main(turn: Turn, *, family: str, backend: str, precision: str, batch: int) -> None:
    with torch.no_grad():
        _main(turn, family, backend, precision, batch)


def _main(turn: Turn, family: str, backend: str, precision: str, batch: int) -> None:
    dtype = models.DTYPES[precision]
    count = 2 if turn.rehearsal else 20
    unet = models.unet(turn, family, dtype)
    given = models.inputs(turn, unet, batch, dtype)
    truth, eager = _in_fp32(turn, family, given), unet(**given)
    turn.figure(eager_off=_off(truth, eager), **timing.memory())

    last = _LastCall()
    session = sdbackends.use(backend, device=models.device(turn), fallback="error", log="debug")
    began = time.perf_counter()
    result = unet(**given)
    timing.wait()
    turn.figure(first_call_s=round(time.perf_counter() - began, 2), off=_off(truth, result))
    # CUDA graphs are recorded at the second call, and replayed from the third on.
    offs = [_off(truth, unet(**given)) for _ in range(3)]
    turn.figure(later_off=offs, programs=len(last.calls))

    turn.wait()
    # `forward` is what the router does not stand before.
    turn.figure(eager_ms=timing.calls(lambda: unet.forward(**given), count))
    turn.figure(router_ms=timing.calls(lambda: unet(**given), count))
    turn.figure(program_ms=timing.calls(last.again, count))
    turn.figure(after_off=_off(truth, unet(**given)), **timing.memory())
    print(timing.profile(lambda: unet(**given), count), flush=True)
    figures, table = timing.kernels(lambda: unet(**given), 3)
    turn.figure(**figures)
    print(table, flush=True)
    _keep(turn, last)
    session.close()


class _LastCall:
    """The programs that the last call of the model ran, with their arguments.

    The router tells nobody of them, and this is the one place that wants to call a program alone.
    """

    def __init__(self) -> None:
        self.calls: dict[int, tuple[Any, tuple[Any, ...]]] = {}
        answer = program_cache._Answer
        run = answer._run

        def seen(one: Any, args: tuple[Any, ...]) -> Any:
            self.calls[id(one)] = (one._program, args)
            return run(one, args)

        answer._run = seen  # type: ignore[method-assign]

    def again(self) -> None:
        for program, args in self.calls.values():
            program(*args)


def _in_fp32(turn: Turn, family: str, given: dict[str, Any]) -> Any:
    """What the same weights, rounded in the same way, give in float32."""
    dtype = given["sample"].dtype
    model = models.unet(turn, family, dtype).float()
    return model(**models.in_fp32(given))


def _off(truth: Any, result: Any) -> str:
    try:
        return str(compare(tensors_of(truth), tensors_of(result)))
    except ValueError as error:
        return str(error)


def _keep(turn: Turn, last: _LastCall) -> None:
    """XLA's optimised program, inductor's generated code."""
    for number, (call, _) in enumerate(last.calls.values()):
        executable = getattr(getattr(call, "program", None), "_run", None)
        if executable is not None:
            _write(turn.kept / f"xla-{number}.txt.gz", executable.as_text())
    for path in Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).glob("??/c*.py"):
        _write(turn.kept / f"{path.name}.gz", path.read_text("utf-8"))


def _write(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))
