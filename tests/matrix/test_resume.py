"""What may be gone on with, and what is refused: both sides of the comparison are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdbackends.errors import UsageError
from sdbackends.matrix import resume
from sdbackends.matrix.results import SCHEMA, Ceilings, Run
from tests.matrix import made_up

PATH = Path("results/here/one.json")


def run(**other: Any) -> Run:
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "started": "2026-01-01T00:00:00Z",
        "commit": "abc",
        "quick": True,
        "machine": made_up.machine(),
        "ceilings": Ceilings(),
        "reference": "torch",
        "tolerances": {"fp32": made_up.TOLERANCE},
        "cells": (),
    }
    return Run(**{**fields, **other})


def other_machine(**other: Any) -> dict[str, Any]:
    return {"machine": made_up.machine().model_copy(update=other)}


LOOSER = made_up.TOLERANCE.model_copy(update={"part_max_relative": 0.5})


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({"quick": False}, "it is a quick one"),
        ({"commit": "def"}, "it was measured at abc, this is def"),
        ({"reference": "jax"}, "its reference is torch, not jax"),
        ({"tolerances": {"fp32": LOOSER}}, "its tolerances for fp32 are other ones"),
        ({"tolerances": {}}, "its tolerances for fp32 are other ones"),
        (other_machine(cores=999), "here it is 999"),
        (other_machine(threads=999), "its machine's threads"),
        (other_machine(gpu="NVIDIA H100"), "its machine's gpu was None, here it is NVIDIA H100"),
        (other_machine(driver="1.2"), "its machine's driver"),
        (other_machine(cpu="another"), "here it is another"),
    ],
)
def test_what_makes_figures_incomparable_is_refused(now: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match="one cannot be resumed") as error:
        resume.resume(PATH, run(), run(**now))
    assert why in error.value.why
    assert error.value.where == str(PATH)
    assert "--resume" in error.value.fix and error.value.exit_code == 2


def test_every_difference_is_named_at_once() -> None:
    with pytest.raises(UsageError) as error:
        resume.resume(PATH, run(), run(commit="def", reference="jax"))
    assert "measured at abc" in error.value.why and "reference is torch" in error.value.why


@pytest.mark.parametrize(
    "now", [{}, other_machine(python="3.10.1", memory_bytes=3, clock_mhz=1.0, system="newer")]
)
def test_each_backend_may_have_a_python_of_its_own(now: dict[str, Any]) -> None:
    begun = run(cells=(made_up.result(),), ceilings=Ceilings(copy_bytes=1.0))
    assert resume.resume(PATH, begun, run(**now)) == begun


def test_changes_on_top_of_the_commit_stay_in_the_record() -> None:
    assert resume.resume(PATH, run(), run(commit="abc+changes")).commit == "abc+changes"
    assert resume.resume(PATH, run(commit="abc+changes"), run()).commit == "abc+changes"
