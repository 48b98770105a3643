"""A made-up suite, run as the real ones are: plain torch first, then through the shim."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from sdbackends.errors import UsageError
from tests.conformance.suites.catalog import Suite
from tests.conformance.suites.judge import Verdict
from tests.conformance.suites.records import Journal
from tests.conformance.suites.run import NothingToJudge, Wish, run

pytest.importorskip("diffusers")

SUITE = Suite(
    name="diffusers",
    folders=("tests/models",),
    files="test_*.py",
    left_out=("training",),
    device_variable="DIFFUSERS_TEST_DEVICE",
    needs=(),
)

DEATHS = """
    import os, time
    import pytest

    BACKEND = os.environ.get("SD_BACKEND")

    def test_good(): ...
    def test_device(): assert os.environ["DIFFUSERS_TEST_DEVICE"] == "cpu"
    def test_bad_everywhere(): assert False
    def test_bad_here(): assert BACKEND is None, "it is " + BACKEND
    def test_deadly_here():
        if BACKEND: os._exit(3)
    def test_slow_here():
        if BACKEND: time.sleep(60)
    @pytest.mark.skipif(BACKEND is not None, reason="not here")
    def test_skipped_here(): ...
    def test_good_after_all_that(): ...
    def test_training(): assert False
"""

DRAWS = """
    import random
    import numpy, pytest, torch

    global_rng = random.Random()
    drawn = []

    @pytest.mark.parametrize("number", range(2))
    def test_draws_are_those_of_every_other_run(number):
        drawn.append([random.random(), torch.rand(1).item(), global_rng.random()])
        drawn[-1].append(numpy.random.rand())
        assert drawn[0] == drawn[-1]
        random.seed(1); torch.manual_seed(1); numpy.random.seed(1); global_rng.seed(1)
"""

MODELS = """
    import pytest, torch
    from diffusers import ConfigMixin, ModelMixin
    from diffusers.configuration_utils import register_to_config

    class Small(ModelMixin, ConfigMixin):
        @register_to_config
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(3, 3)

        def forward(self, x, rare=False):
            return torch.special.airy_ai(self.inner(x)) if rare else self.inner(x)

    def test_engine():
        with torch.no_grad():
            assert Small().eval()(torch.ones(2, 3)).shape == (2, 3)

    def test_gradients():
        Small().eval()(torch.ones(2, 3)).sum().backward()

    def test_fallback():
        with torch.no_grad():
            Small().eval()(torch.ones(2, 3), rare=True)

    def test_wrong_call_is_no_fallback():
        with torch.no_grad(), pytest.raises(RuntimeError):
            Small().eval()(torch.ones(2, 4))

    def test_no_model(): ...
"""


def source(folder: Path, text: str) -> Path:
    tests = folder / "source" / "tests" / "models"
    tests.mkdir(parents=True)
    for package in (tests.parent, tests):
        (package / "__init__.py").touch()
    (tests / "test_made_up.py").write_text(textwrap.dedent(text))
    return folder / "source"


def judged(folder: Path, text: str, **wish: object) -> Verdict:
    # Not the whole suite: the lists of known failures are about the real one.
    part = ("tests/models",)
    given = {"backend": "torch", "only": part, "keep": "nothing", "timeout": 60.0} | wish
    return run(
        Wish(
            suite=SUITE,
            source=source(folder, text),
            jobs=1,
            device="cpu",
            output=folder / "out",
            **given,  # type: ignore[arg-type]
        ),
        Console(quiet=True),
    )


def names(ids: list[str]) -> set[str]:
    return {test.rpartition("::")[2] for test in ids}


def test_what_differs_from_plain_torch_is_found_whatever_became_of_it(tmp_path: Path) -> None:
    verdict = judged(tmp_path, DEATHS, timeout=3.0)
    assert {r.id.rpartition("::")[2]: r.outcome for r in verdict.new} == {
        "test_bad_here": "failed",
        "test_deadly_here": "crashed",
        "test_slow_here": "failed",
        "test_skipped_here": "skipped",
    }
    assert any("it is torch" in record.why for record in verdict.new)
    good = {"test_good", "test_device", "test_good_after_all_that"}
    assert names([r.id for r in verdict.passed["no model"]]) == good
    plain = Journal.read(tmp_path / "out/diffusers/plain-torch.jsonl")
    assert names(list(plain.records)) == {"test_bad_everywhere", *good} | names(
        [record.id for record in verdict.new]
    )


def test_random_numbers_are_the_same_in_every_test(tmp_path: Path) -> None:
    verdict = judged(tmp_path, DRAWS)
    assert not verdict.new and len(verdict.passed["no model"]) == 2


def test_a_suite_of_which_plain_torch_passes_nothing_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(NothingToJudge, match="No module named 'no_such_module'"):
        judged(tmp_path, "import no_such_module")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "diffusers" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with pytest.raises(UsageError, match="in use for something else"):
        judged(tmp_path, DEATHS)
    assert theirs.exists()


def test_calls_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    verdict = judged(tmp_path, MODELS, backend="jax")
    assert verdict.good
    assert {way: names([r.id for r in some]) for way, some in verdict.passed.items()} == {
        "engine": {"test_engine"},
        "by design": {"test_gradients"},
        "fallback": {"test_fallback"},
        "no model": {"test_no_model", "test_wrong_call_is_no_fallback"},
    }
    assert any("airy_ai" in reason for reason in verdict.reasons())
