"""One JAX engine for all samples, whose programs are compiled quickly; the sum of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine


@pytest.fixture(scope="module")
def jax_engine() -> Iterator[JaxEngine]:
    """XLA's own optimisations stay; LLVM's, which take most of the time, are not under test.

    Not for the whole session: the tests of other folders compile in their own ways.
    """
    compile = jax.stages.Lowered.compile

    def quick(lowered: Any) -> Any:
        return compile(lowered, compiler_options={"xla_backend_optimization_level": 0})

    engine = JaxEngine(EngineContext(device="cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", quick)
        yield engine
    engine.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What `every_sample.py` counted, in however many processes."""
    counts: Counter[str] = Counter()
    for report in (one for some in terminalreporter.stats.values() for one in some):
        if getattr(report, "when", None) == "call":
            counts.update(dict(report.user_properties))
    if counts:
        terminalreporter.write_line(
            f"OpInfo: {counts['run']} samples run, {counts['agreed']} agree with torch"
        )
