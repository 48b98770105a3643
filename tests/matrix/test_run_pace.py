"""How long a run will still take: told only where it can be known."""

from __future__ import annotations

import pytest

from sdbackends.matrix.eta import EtaEstimator
from tests.matrix.made_up import cell, result

TORCH, JAX = cell(backend="torch"), cell(backend="jax")


def test_there_is_no_guess_before_each_backend_was_seen() -> None:
    pace = EtaEstimator([result(cell=JAX, seconds=100.0)])
    assert pace.left([JAX, JAX]) == 200.0
    assert pace.left([JAX, TORCH]) is None and pace.words([JAX, TORCH]) == ""
    pace.saw(result(cell=TORCH, seconds=10.0))
    assert pace.left([JAX, TORCH]) == 110.0


def test_refused_cells_take_no_time_and_do_not_hurry_the_others() -> None:
    pace = EtaEstimator()
    pace.saw(result(cell=JAX, outcome="unsupported", seconds=0.0))
    assert pace.left([JAX]) == 0.0
    pace.saw(result(cell=JAX, seconds=50.0))
    assert pace.left([JAX]) == 50.0


def test_what_was_not_installed_when_the_run_began_says_nothing_of_now() -> None:
    assert (
        EtaEstimator([result(cell=JAX, outcome="not-installed", seconds=0.0)]).left([JAX]) is None
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "about 10 s"), (64, "about 60 s"), (600, "about 10 min"), (9000, "about 2.5 h")],
)
def test_it_is_told_as_roughly_as_it_is_known(seconds: float, words: str) -> None:
    assert EtaEstimator([result(cell=JAX, seconds=seconds)]).words([JAX]) == f" · {words} left"
