"""All samples of all OpInfos that JAX's table covers: run by `nox -s opinfo`.

The file's name keeps it out of the daily run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sdbackends.engines.jax.engine import JaxEngine
from tests.conformance import known_failures
from tests.conformance.opinfo.database import DTYPES, Sample, opinfos, samples
from tests.conformance.opinfo.suite import Outcome, run, unexpected

KNOWN = known_failures.of_suite("opinfo", "jax")
#: So many samples show whether the table covers an OpInfo at all; some have thousands.
SCREEN = 24


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("opinfo", opinfos())
def test_opinfo(
    opinfo: str, jax_engine: JaxEngine, record_property: Callable[[str, object], None]
) -> None:
    every = [sample for dtype in DTYPES for sample in samples(opinfo, dtype)]
    outcomes = _covered(jax_engine, every)
    if not outcomes:
        pytest.skip("the table does not cover it")
    record_property("run", len(outcomes))
    record_property("agreed", sum(outcome.wrong is None for outcome in outcomes))
    lines = [line for line in KNOWN if line.pattern.startswith(f"{opinfo}/")]
    unused = [
        f"{line.where}: no sample is called {line.pattern}"
        for line in lines
        if not any(line.names(outcome.sample) for outcome in outcomes)
    ]
    complaints = [*unexpected(outcomes, lines), *unused]
    assert not complaints, "\n".join(complaints)


def test_every_known_failure_names_an_opinfo() -> None:
    assert {line.pattern.split("/")[0] for line in KNOWN} <= set(opinfos())


def _covered(engine: JaxEngine, every: list[Sample]) -> list[Outcome]:
    step = max(1, len(every) // SCREEN)
    if step > 1 and not list(run(engine, every[::step])):
        return []
    return list(run(engine, every))
