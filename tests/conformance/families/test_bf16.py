"""bf16: an engine's error is at most half as much again as that of torch's own bf16.

Weights and inputs are rounded to bf16 first and then widened for the fp32 reference, so that only
what the computation itself loses is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import pytest
import torch

from sdbackends.catalog import backend_files
from tests.conformance.families import models  # noqa: F401  (registers the families)
from tests.conformance.families.calls import ModelCall, model_calls
from tests.conformance.families.catalog import FAMILIES
from tests.conformance.families.conftest import chosen
from tests.conformance.families.judging import Figures, on

#: The engine's error over torch's.
BAR = 1.5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    pairs = [
        pytest.param(name, family, id=f"{name}-{family}-bf16")
        for name, cases in chosen(metafunc.config)
        if name != "torch" and "bf16" in backend_files.require(name).precisions_on("cpu")
        for family in FAMILIES
        if fnmatchcase(f"{family}-bf16", cases)
    ]
    metafunc.parametrize(("engine", "family"), pairs)


def test_bf16(engine: str, family: str, record_property: Callable[[str, object], None]) -> None:
    worse = []
    for call in model_calls(FAMILIES[family]):
        rounded = call.to(torch.bfloat16)
        exact = rounded.to(torch.float32)()
        own, engines = error(rounded(), exact), error(on_engine(engine, rounded), exact)
        record_property(call.name, f"{engines:.2e}, torch {own:.2e}")
        if not 0 < engines <= BAR * own:
            worse.append(f"{call.name}: {engines:.2e}, torch {own:.2e}")
    assert not worse, "; ".join(worse)


def on_engine(engine: str, call: ModelCall) -> list[torch.Tensor]:
    """What comes out on the engine; falling back raises."""
    figures = Figures()
    with on(engine, figures):
        result = call()
    assert len(figures.models) == 1, f"{call.name} was not on the engine"
    return result


def error(result: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]) -> float:
    """Root mean square of the difference, of that of the exact result; the mean of all outputs."""
    assert [x.shape for x in result] == [x.shape for x in exact]
    parts = [
        ((x.double() - y.double()).square().mean() / y.double().square().mean()).item()
        for x, y in zip(result, exact, strict=True)
    ]
    return (sum(parts) / len(parts)) ** 0.5
