"""What JAX reads of torch's memory is counted, and is still held when the process ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import jax
import pytest
import torch

from sdbackends.engines.jax import at_exit
from sdbackends.engines.jax.dlpack import to_jax
from sdbackends.engines.jax.engine import JaxEngine
from tests.engines.calls import Call, rand, ready
from tests.engines.programs import run


def call() -> Call:
    return Call(ready(torch.nn.Linear(64, 64)), (rand(2, 64),))


def test_a_tensor_counts_until_jax_lets_go() -> None:
    gc.collect()
    before = set(at_exit._lent)
    array = to_jax(torch.ones(64), jax.devices("cpu")[0])
    (lent,) = at_exit._lent - before
    assert lent() is not None
    del array
    until = time.monotonic() + 30
    while lent in at_exit._lent and time.monotonic() < until:
        time.sleep(0.01)
    assert lent not in at_exit._lent


def test_what_is_kept_is_all_that_programs_hold(engine: JaxEngine) -> None:
    program, _ = run(engine, call())
    held = engine.arrays()
    assert len(held) == 3, "two weights and the input of the last call"
    program.close()
    assert engine.arrays() == []


def test_what_programs_hold_at_exit_is_never_let_go(engine: JaxEngine) -> None:
    before = set(at_exit._lent)
    program, _ = run(engine, call())
    at_exit._end()
    held = at_exit._lent - before
    program.close()
    del program
    gc.collect()
    time.sleep(0.5)  # XLA's thread would have let go by now
    assert held and held <= at_exit._lent


@pytest.mark.parametrize("model_lives", [True, False])
def test_a_process_that_ends_right_after_a_call_ends_well(model_lives: bool) -> None:
    script = """
    import sys, torch
    sys.path.insert(0, sys.argv[1])
    from tests.engines.jax import test_at_exit
    from sdbackends.engines.base import EngineContext
    from sdbackends.engines.jax.engine import JaxEngine
    from tests.engines.programs import run
    engine, call = JaxEngine(EngineContext()), test_at_exit.call()
    program, result = run(engine, call)
    """
    script = "\n".join(line.strip() for line in script.splitlines())
    script += "" if model_lives else "program.close()\ndel program, call\n"
    root = __file__.rpartition("/tests/")[0]
    done = subprocess.run(
        [sys.executable, "-c", script, root], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
