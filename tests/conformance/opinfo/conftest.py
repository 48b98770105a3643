"""One JAX engine for all samples, whose programs are compiled quickly; the sum of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine
from tests.quick_jax import quick_compilation


@pytest.fixture(scope="module")
def jax_engine() -> Iterator[JaxEngine]:
    """Not for the whole session: the tests of other folders compile in their own ways."""
    engine = JaxEngine(EngineContext(device="cpu"))
    with quick_compilation():
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
