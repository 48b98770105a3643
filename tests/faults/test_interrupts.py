"""Ctrl-C ends a script also where JAX's callback of Python's collector is what it meets."""

from __future__ import annotations

from tests.scripts import RunScript

#: The callback has JAX's name and place; the signal comes exactly in it.
SCRIPT = """
    import gc, signal, sys, time
    import sdbackends.engines.jax

    signal.signal(signal.SIGINT, signal.default_int_handler)
    waiting = [signal.SIGINT] * 3

    def _xla_gc_callback(phase, info):
        if waiting and phase == "stop":
            signal.raise_signal(waiting.pop())

    gc.callbacks.append(_xla_gc_callback)
    for _ in range(3):
        began = time.monotonic()
        try:
            gc.collect()
            time.sleep(60)
            sys.exit("Ctrl-C was lost")
        except KeyboardInterrupt:
            print(f"{time.monotonic() - began:.1f} s")

    def other(phase, info):
        if phase == "stop":
            raise ValueError("another callback's")

    gc.callbacks[:] = [other]
    gc.collect()
    gc.callbacks.clear()
"""


def test_an_interrupt_in_the_collectors_callback(run_script: RunScript) -> None:
    done = run_script(SCRIPT, shim=False).ok()
    assert len(done.stdout.splitlines()) == 3
    assert "_xla_gc_callback" not in done.stderr
    assert "another callback's" in done.stderr
