"""The figures that every report stands on, against numbers that can be done in the head."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdbackends.matrix import figures
from sdbackends.matrix.results import Ceilings, Timings
from tests.matrix import made_up

SECONDS = st.lists(st.floats(0.01, 100), min_size=1, max_size=9)


def test_percentiles_of_one_to_hundred() -> None:
    found = figures.percentiles([float(n) for n in range(101)])
    assert found == figures.Percentiles(p50=50, p90=90, p99=99, count=101)
    assert figures.percentiles([]) is None


def test_rates() -> None:
    steps = (0.2,) * 40 + (0.4,) * 20
    timings = Timings(images=(4.0, 5.0, 6.0), parts={"step": steps})
    result = made_up.result(cell=made_up.cell(batch=4, steps=20), timings=timings)
    assert figures.images_per_minute(result) == pytest.approx(48)
    assert figures.end_to_end_rate(result) == pytest.approx(4)
    assert figures.loop_rate(result) == pytest.approx(5)


def test_steps_that_were_spared_count_in_no_rate() -> None:
    """img2img at strength 0.8 takes 16 of 20."""
    timings = Timings(images=(4.0,), parts={"step": (0.2,) * 16})
    result = made_up.result(cell=made_up.cell(steps=20), timings=timings)
    assert figures.end_to_end_rate(result) == pytest.approx(4)
    plain = made_up.result(cell=made_up.cell(steps=20), timings=Timings(images=(4.0,)))
    assert figures.end_to_end_rate(plain) == pytest.approx(5)


def test_a_cell_that_drew_nothing_has_no_figures() -> None:
    result = made_up.result(outcome="crashed", timings=Timings(), interleaved=())
    assert figures.of(result, Ceilings(matmul={"fp32": 1e9})) == figures.Figures()


def test_the_ratio_is_how_many_times_as_fast() -> None:
    found = figures.ratio(made_up.result(speed=2))
    assert found is not None
    assert found.value == pytest.approx(2)
    assert 1.8 < found.low < found.value < found.high < 2.2


def test_a_slow_minute_that_hits_both_is_no_noise() -> None:
    drift = (1.0, 3.0, 1.5, 2.0, 9.0)
    own = [0.5 * one for one in drift]
    in_turn = figures.ratio_of_medians(drift, own)
    assert in_turn is not None and in_turn.high - in_turn.low < 1e-9
    apart = figures.ratio_of_medians(drift, own[:4])
    assert apart is not None and apart.high - apart.low > 1


@given(SECONDS, SECONDS)
def test_the_interval_holds_its_value(above: list[float], below: list[float]) -> None:
    found = figures.ratio_of_medians(above, below)
    assert found is not None
    assert found == figures.ratio_of_medians(above, below)
    assert min(above) / max(below) <= found.low <= found.high <= max(above) / min(below)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(7)
    held = 0
    for _ in range(100):
        above, below = np.exp(drawn.normal(0, 0.05, (2, 15)))
        found = figures.ratio_of_medians(list(3 * above), list(below))
        assert found is not None
        held += found.low <= 3 <= found.high
    assert held >= 88


def test_shares_are_of_the_better_ceiling_of_the_device() -> None:
    ceilings = Ceilings(
        matmul={"fp32": 100.0, "bf16": 900.0, "cuda/fp32": 5000.0}, conv={"fp32": 200.0}
    )
    work = {"timings": Timings(parts={"step": (0.5,), "decode": (1.0,)}), "flops": {"step": 50.0}}
    on_cpu = made_up.result(**work)
    assert figures.shares(on_cpu, ceilings) == {"step": 0.5}
    on_gpu = made_up.result(**work, cell=made_up.cell(device="cuda:0"))
    assert figures.shares(on_gpu, ceilings) == {"step": 0.02}
    in_fp16 = made_up.result(**work, cell=made_up.cell(precision="fp16"))
    assert figures.shares(in_fp16, ceilings) == {"step": 0.5}  # by way of fp32
    on_tpu = made_up.result(**work, cell=made_up.cell(device="tpu"))
    assert figures.shares(on_tpu, ceilings) == {}


def test_the_reference_of_a_cell_does_the_same_work() -> None:
    torch = made_up.result(cell=made_up.cell(backend="torch"))
    other = made_up.result(cell=made_up.cell(backend="torch", steps=5))
    run = made_up.run(other, torch, made_up.result())
    assert figures.reference_of(run, made_up.cell()) is torch
    assert figures.reference_of(run, made_up.cell(batch=2)) is None
