"""Whole cells: scripts in processes of their own, good ones and every kind of bad one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from sdbackends import engines, paths
from sdbackends.matrix import cell as measuring
from sdbackends.matrix.reference_process import Reference
from sdbackends.matrix.results import Cell, CellResult
from tests.matrix import faulty_backends

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The faulty backends beside the true ones, here and in the processes that are started."""
    folder = faulty_backends.beside_the_true_ones(tmp_path_factory.mktemp("catalog"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in faulty_backends.variables(folder).items():
            patch.setenv(name, value)
        patch.setattr(paths, "backends_dir", lambda: folder)
        for name in faulty_backends.NAMES:
            patch.setitem(engines.ENGINES, name, "")
        yield


@pytest.fixture(scope="module")
def living(plugins: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    reference = Reference(
        work("torch"),
        folder=tmp_path_factory.mktemp("reference"),
        limit_seconds=200,
        limit_bytes=10**10,
    )
    with closing(reference):
        yield reference


def work(named: str, **changes: object) -> Cell:
    cell = Cell(
        pipeline="stable_diffusion",
        backend=named,
        precision="fp32",
        size=(64, 64),
        batch=1,
        steps=2,
        scheduler="ddim",
        device="cpu",
        model="embedded",
    )
    return cell.model_copy(update=changes)


def run(backend: str, folder: Path, reference: Reference | None, **changes: object) -> CellResult:
    limits: dict[str, object] = {"limit_seconds": 200, "limit_bytes": 10**10, **changes}
    return measuring.run(
        work(backend), folder=folder, repeats=2, warmups=1, reference=reference, **limits
    )


@pytest.fixture(scope="module")
def good(living: Reference, tmp_path_factory: pytest.TempPathFactory) -> tuple[CellResult, Path]:
    folder = tmp_path_factory.mktemp("good")
    return run("torch", folder, living), folder


def test_a_good_cell_has_all_its_figures(good: tuple[CellResult, Path]) -> None:
    result, folder = good
    assert (result.outcome, result.reason) == ("ok", "")
    times = result.timings
    assert {part: len(samples) for part, samples in times.parts.items()} == {
        "encode": 2,
        "step": 4,
        "decode": 2,
    }
    assert len(times.images) == len(result.interleaved) == 2
    # The parts are in the picture, and the picture is after the imports and the loading.
    inside = sum(sum(samples) for samples in times.parts.values())
    assert 0 < inside < sum(times.images)
    assert times.importing and times.loading and times.first_image
    assert times.importing + times.loading + sum(times.images) < result.seconds
    assert times.build_cold is None and times.build_cached is None
    assert result.memory.weights and result.memory.peak_rss
    assert 5e6 < result.memory.weights < result.memory.peak_rss < 5e9
    assert result.versions["torch"] and result.script.startswith("sdbackends run --backend torch")
    assert result.picture is not None
    assert Image.open(folder / result.picture).size == (64, 64)


def test_what_takes_time_can_be_left_out(
    plugins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No FLOPs, no empty cache, no second process with what that kept."""
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "mine"))
    folder = tmp_path / "cell"
    result = run("wrong", folder, None, count_flops=False, own_cache=False)
    assert result.outcome == "ok" and len(result.timings.images) == 2
    assert result.flops == {} and result.interleaved == ()
    assert result.timings.build_cold is None and result.timings.build_cached is None
    assert not (folder / "cache").exists() and not (folder / "cached").exists()


def test_flops_are_those_of_two_prompts_one_step_and_one_picture(
    good: tuple[CellResult, Path],
) -> None:
    # Counted by hand from the sizes of the embedded model: its convolutions and products.
    flops = good[0].flops
    assert set(flops) == {"encode", "step", "decode"}
    # 2 prompts x 77 words x 2 layers: 4 square products of 128, two of 128 x 256, attention.
    words = 77
    layer = words * (4 * 2 * 128 * 128 + 2 * 2 * 128 * 256) + 2 * 2 * words * words * 128
    assert flops["encode"] == 2 * 2 * layer


def test_a_wrong_engine_leaves_the_outputs_that_show_it(
    good: tuple[CellResult, Path], living: Reference, tmp_path: Path
) -> None:
    result = run("wrong", tmp_path, living)
    assert result.outcome == "ok"  # it is for the agreement to judge
    assert result.timings.build_cold is not None and result.timings.build_cached is not None
    right, wrong = np.load(good[1] / "parts.npz"), np.load(tmp_path / "parts.npz")
    assert set(right) == set(wrong) == {"text_encoder", "unet", "vae", "latents"}
    assert np.array_equal(right["text_encoder"], wrong["text_encoder"])
    gap = np.abs(right["unet"] - wrong["unet"]).max() / np.abs(right["unet"]).max()
    assert 0.005 < gap < 0.5


@pytest.mark.parametrize(
    ("backend", "outcome", "words"),
    [
        ("crashing", "crashed", "died of SIGABRT"),
        ("refusing", "unsupported", "no lowering for aten.roll"),
        ("infinite", "wrong", "it returned NaN"),
    ],
)
def test_a_bad_engine_is_named_as_what_it_is(
    living: Reference, tmp_path: Path, backend: str, outcome: str, words: str
) -> None:
    result = run(backend, tmp_path, living)
    assert result.outcome == outcome and words in result.reason
    assert "\n" not in result.reason and str(tmp_path) not in result.reason
    assert living.draw() is not None and living.failed is None


@pytest.mark.parametrize(
    ("backend", "words"), [("hanging", "it hangs"), ("computing", "it was still working")]
)
def test_an_engine_without_end_is_ended_at_its_limit(
    living: Reference, tmp_path: Path, backend: str, words: str
) -> None:
    result = run(backend, tmp_path, living, limit_seconds=45)
    assert result.outcome == "slow-limit" and words in result.reason
    assert "after 45 s" in result.reason and result.timings.images == ()
    assert not of_ours(tmp_path)
    assert living.draw() is not None


def test_a_leaking_engine_is_ended_at_its_limit(living: Reference, tmp_path: Path) -> None:
    result = measuring.run(
        work("leaking"),
        folder=tmp_path,
        repeats=100,
        warmups=1,
        limit_seconds=200,
        limit_bytes=15 * 10**8,
        reference=living,
    )
    assert result.outcome == "out-of-memory"
    assert "its limit is 1.50 GB" in result.reason and "it leaks" in result.reason
    assert result.memory.peak_rss and result.memory.peak_rss > 15 * 10**8
    assert len(result.timings.images) > 2 and not of_ours(tmp_path)
    assert living.draw() is not None


def of_ours(folder: Path) -> list[psutil.Process]:
    """Processes that were started for this folder and are still there."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


@pytest.mark.parametrize(
    ("changes", "outcome", "words"),
    [
        ({"precision": "int8"}, "unsupported", "torch has no int8 on cpu"),
        ({"device": "tpu"}, "unsupported", "torch runs on cpu, cuda only"),
        ({"backend": "absent"}, "not-installed", "no_such_package is not installed"),
    ],
)
def test_what_cannot_run_here_is_not_started(
    plugins: None, tmp_path: Path, changes: dict[str, object], outcome: str, words: str
) -> None:
    folder = tmp_path / "cell"
    result = measuring.run(
        work("torch", **changes),
        folder=folder,
        repeats=1,
        warmups=1,
        limit_seconds=1,
        limit_bytes=1,
    )
    assert result.outcome == outcome and words in result.reason
    assert not folder.exists()


def test_a_model_that_cannot_be_loaded_is_told_in_its_own_words(
    plugins: None, tmp_path: Path
) -> None:
    broken = tmp_path / "model"
    broken.mkdir()
    (broken / "model_index.json").write_text("{")
    result = measuring.run(
        work("torch", model=str(broken)),
        folder=tmp_path / "cell",
        repeats=1,
        warmups=1,
        limit_seconds=200,
        limit_bytes=10**10,
    )
    assert result.outcome == "crashed" and "cannot be loaded" in result.reason
    assert result.timings.images == () and result.picture is None
