"""JAX's ops with complex results, on the OpInfo samples of those ops in complex numbers."""

from __future__ import annotations

import pytest

from sdbackends.engines.jax.engine import JaxEngine
from sdbackends.engines.jax.ops.fft import COMPLEX
from tests.conformance.opinfo import witnesses
from tests.conformance.opinfo.database import COMPLEX_DTYPES, Sample, samples
from tests.conformance.opinfo.suite import run_traced
from tests.conformance.opinfo.tracing import Traced, traced

#: Some make complex numbers out of real ones.
DTYPES = ("float32", *COMPLEX_DTYPES)
#: Samples of one OpInfo and dtype.
FIRST = 3
#: OpInfos that are no witness of the overload, because of what else is in their captures.
OTHERS = {"aten._to_copy.default": ("cfloat", "cdouble")}


def candidates(overload: str) -> list[Sample]:
    """Samples of the OpInfos that witness the overload."""
    # What gives several results gives one, which is then taken apart.
    known = "aten.split_with_sizes.default" if overload == "getitem" else overload
    names = [sample.split("/")[0] for sample in witnesses.read()[known]]
    names += OTHERS.get(overload, ())
    return [s for name in dict.fromkeys(names) for d in DTYPES for s in samples(name, d, FIRST)]


def is_complex(overload: str, one: Traced) -> bool:
    """Whether it has the overload with a complex result."""
    nodes = (node for node in one.graph.nodes if node.op == overload)
    found = {spec.dtype for node in nodes for spec in node.results if spec is not None}
    return not found.isdisjoint(COMPLEX_DTYPES)


@pytest.mark.parametrize("overload", sorted(COMPLEX))
def test_complex_results(overload: str, jax_engine: JaxEngine) -> None:
    outcomes = []
    for parts in traced(candidates(overload)):
        having = [one for one in parts if is_complex(overload, one)]
        covered = [one for one in having if not jax_engine.unsupported(one.graph)]
        outcomes += run_traced(jax_engine, covered)
    assert outcomes, "no sample has it"
    assert not {one.sample: one.wrong for one in outcomes if one.wrong}
