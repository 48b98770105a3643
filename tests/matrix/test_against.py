"""What changed since: noise is no change, and each kind of change is told as what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdbackends.errors import ResultsError
from sdbackends.matrix import regressions
from sdbackends.matrix.regressions import Change, Thresholds
from sdbackends.matrix.results import Agreement, CellResult, Outcome, PictureDifference, Timings
from tests.matrix import made_up


def changes(old: CellResult, new: CellResult) -> list[Change]:
    later = made_up.run(new, started="2026-11-21T00:00:00Z")
    return list(regressions.compare([made_up.run(old)], [later]).changes)


def agreement(error: float, **other: Any) -> Agreement:
    parts = {"unet": PictureDifference(max_relative=error, relative_l2=error / 10)}
    return Agreement(**{"parts": parts, "image_max": 1, "psnr": 60.0, "ssim": 1.0, **other})


def kinds(old: CellResult, new: CellResult) -> list[tuple[str, bool]]:
    return [(change.kind, change.beyond) for change in changes(old, new)]


def test_the_same_again_is_no_change() -> None:
    assert changes(made_up.result(), made_up.result()) == []


@pytest.mark.parametrize(
    ("speed", "found"),
    [
        (0.5, [("slower", True)]),
        (0.92, [("slower", False)]),
        (0.97, []),
        (1.04, []),
        (1.5, [("faster", False)]),
    ],
)
def test_speeds(speed: float, found: list[tuple[str, bool]]) -> None:
    assert kinds(made_up.result(1.0), made_up.result(speed)) == found


def test_a_change_is_told_with_its_figures() -> None:
    (change,) = changes(made_up.result(2.0), made_up.result(1.0))
    assert str(change).startswith(f"slower   {made_up.cell().id} on zen5-4c: 2.00 -> 1.00 times")
    assert "x0.50 (" in str(change)


def test_a_slow_day_of_the_machine_is_no_change() -> None:
    old = made_up.result()
    slow = Timings(images=tuple(3 * one for one in old.timings.images))
    same = tuple(3 * one for one in old.interleaved)
    assert changes(old, made_up.result(timings=slow, interleaved=same)) == []


def test_noise_is_no_change() -> None:
    """Twenty pairs of runs of the same code, each with 15% of noise."""
    drawn = np.random.default_rng(3)
    beyond = 0
    for _ in range(20):
        runs = []
        for _ in range(2):
            own, beside = np.exp(drawn.normal(0, 0.15, (2, 5)))
            runs.append(
                made_up.result(timings=Timings(images=tuple(own)), interleaved=tuple(beside))
            )
        beyond += sum(change.beyond for change in changes(*runs))
    assert beyond <= 2


@pytest.mark.parametrize("other", [{"busy": True}, {"interleaved": (2.0, 2.01)}])
def test_doubtful_samples_give_no_verdict(other: dict[str, Any]) -> None:
    (change,) = changes(made_up.result(1.0), made_up.result(0.5, **other))
    assert change.kind == "slower" and not change.beyond and "no verdict" in change.text


@pytest.mark.parametrize(
    ("was", "became", "found"),
    [
        ("ok", "wrong", [("wronger", True)]),
        ("ok", "crashed", [("wronger", True)]),
        ("ok", "unsupported", [("wronger", True)]),
        ("ok", "slow-limit", [("slower", True)]),
        ("slow-limit", "ok", [("faster", False)]),
        ("wrong", "ok", [("righter", False)]),
        ("crashed", "out-of-memory", []),
        ("ok", "not-installed", []),
        ("not-installed", "wrong", []),
    ],
)
def test_outcomes(was: Outcome, became: Outcome, found: list[tuple[str, bool]]) -> None:
    # of one run each: in a merge the older, measured one would stand for "not-installed"
    assert kinds(made_up.result(outcome=was), made_up.result(outcome=became)) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (agreement(1e-4), agreement(4e-4), [("wronger", True)]),
        (agreement(4e-4), agreement(1e-4), [("righter", False)]),
        (agreement(1e-4), agreement(1.5e-4), []),
        (agreement(1e-7), agreement(1e-5), []),  # rounding, far below what fp32 is allowed
        (agreement(0, psnr=None), agreement(0, psnr=50.0), [("wronger", True)]),
        (agreement(0, judged=1.0), agreement(0, judged=0.75), [("wronger", True)]),
        (agreement(0, judged=0.5), agreement(0, judged=1.0), [("righter", False)]),
    ],
)
def test_errors(old: Agreement, new: Agreement, found: list[tuple[str, bool]]) -> None:
    assert kinds(made_up.result(agreement=old), made_up.result(agreement=new)) == found


def test_the_worst_comes_first() -> None:
    torch = made_up.cell(backend="torch")
    old = made_up.run(made_up.result(1.0), made_up.result(cell=torch))
    new = made_up.run(made_up.result(2.0), made_up.result(cell=torch, outcome="wrong"))
    found = regressions.compare([old], [new])
    assert [change.kind for change in found.changes] == ["wronger", "faster"]
    assert found.worse == 1


def test_cells_that_one_side_lacks_are_counted() -> None:
    torch, bf16 = made_up.cell(backend="torch"), made_up.cell(precision="bf16")
    old = made_up.run(made_up.result(), made_up.result(cell=torch))
    new = made_up.run(made_up.result(), made_up.result(cell=bf16))
    found = regressions.compare([old], [new])
    assert (found.both, found.gone, found.added, found.changes) == (1, 1, 1, ())


def test_the_thresholds_decide_what_is_too_much() -> None:
    old, new = made_up.run(made_up.result(1.0)), made_up.run(made_up.result(0.8))
    for share, worse in ((0.1, 1), (0.3, 0)):
        assert regressions.compare([old], [new], Thresholds(slower=share)).worse == worse
    old = made_up.run(made_up.result(agreement=agreement(1e-4)))
    new = made_up.run(made_up.result(agreement=agreement(3e-4)))
    for times, worse in ((2.0, 1), (4.0, 0)):
        assert regressions.compare([old], [new], Thresholds(wronger=times)).worse == worse


def test_other_machines_cannot_be_compared() -> None:
    here = made_up.run(made_up.result())
    there = made_up.run(made_up.result(), machine=made_up.machine(name="h100", gpu="NVIDIA H100"))
    with pytest.raises(ResultsError, match="1 cells on zen5-4c; new: 1 cells on h100"):
        regressions.compare([here], [there])
