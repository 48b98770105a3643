"""Runs of several machines and days, brought together."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbackends.matrix.merge import merge
from sdbackends.matrix.results import Outcome
from tests.matrix import made_up

MONDAY, TUESDAY = "2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z"
HERE = Path("here.json")
TORCH = made_up.cell(backend="torch")


def test_the_newest_of_each_cell_counts() -> None:
    old = made_up.run(made_up.result(1.0), made_up.result(cell=TORCH), started=MONDAY)
    new = made_up.run(made_up.result(2.0), started=TUESDAY)
    merged = merge([(new, HERE), (old, Path("there.json"))])
    assert [(run.started, [one.cell for one in run.cells], folder) for run, folder in merged] == [
        (MONDAY, [TORCH], Path("there.json")),
        (TUESDAY, [made_up.cell()], HERE),
    ]


def test_a_run_that_says_nothing_new_is_gone() -> None:
    old = made_up.run(made_up.result(1.0), started=MONDAY)
    new = made_up.run(made_up.result(2.0), started=TUESDAY)
    assert merge([(old, HERE), (new, HERE), (new, HERE)]) == [(new, HERE)]


@pytest.mark.parametrize("outcome", ["not-installed", "unsupported"])
def test_what_was_measured_is_not_hidden_by_an_environment_that_lacks_it(outcome: Outcome) -> None:
    old = made_up.run(made_up.result(1.0), started=MONDAY)
    lacks = made_up.run(made_up.result(outcome=outcome), started=TUESDAY)
    assert merge([(old, HERE), (lacks, HERE)]) == [(old, HERE)]
    assert merge([(lacks, HERE)]) == [(lacks, HERE)]


def test_what_cannot_be_done_says_more_than_what_is_not_installed() -> None:
    declines = made_up.run(made_up.result(outcome="unsupported"), started=MONDAY)
    lacks = made_up.run(made_up.result(outcome="not-installed"), started=TUESDAY)
    assert merge([(declines, HERE), (lacks, HERE)]) == [(declines, HERE)]


def test_a_failure_is_a_result_too() -> None:
    old = made_up.run(made_up.result(1.0), started=MONDAY)
    new = made_up.run(made_up.result(outcome="crashed"), started=TUESDAY)
    assert merge([(new, HERE), (old, HERE)]) == [(new, HERE)]


def test_different_machines_of_one_name_are_told_apart() -> None:
    one = made_up.run(made_up.result())
    other = made_up.run(made_up.result(), machine=made_up.machine(cores=8))
    updated = made_up.run(made_up.result(), machine=made_up.machine(python="3.12.1"))
    names = [run.machine.name for run, _ in merge([(one, HERE), (other, HERE)])]
    assert names == ["zen5-4c", "zen5-4c-2"]
    assert len(merge([(one, HERE), (updated, HERE)])) == 1
