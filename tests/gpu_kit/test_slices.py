"""Slices: which cells, in which order, and what fits into the seconds that are left."""

from __future__ import annotations

import time
from pathlib import Path

import measure
import numpy as np
import pack
import pytest
import slices
from PIL import Image

from sdbackends.matrix import plan
from sdbackends.matrix.config import Matrix
from sdbackends.matrix.results import Cell

NOTHING = slices.Known()


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    return measure.cells(quick=False, device="cuda", only=None)


def test_the_file_is_a_matrix_and_asks_for_what_the_kit_is_for(cells):
    assert isinstance(plan.load(measure.FILE), Matrix)
    full = {(c.model, c.size, c.steps) for c in cells if c.model in (slices.SD15, slices.SDXL)}
    assert full == {(slices.SD15, (512, 512), 20), (slices.SDXL, (1024, 1024), 30)}
    for axis, values in {
        "backend": {"torch", "compile", "jax"},
        "precision": {"fp32", "bf16", "fp16"},
        "batch": {1, 4},
        "device": {"cuda"},
    }.items():
        assert {getattr(cell, axis) for cell in cells} == values


def test_right_means_the_same_as_in_matrix_yaml():
    def numbers(matrix):
        dumped = {name: one.model_dump() for name, one in matrix.tolerances.items()}
        return {name: {**one, "reason": ""} for name, one in dumped.items() if name != "int8"}

    assert numbers(plan.load(measure.FILE)) == numbers(plan.load())


def test_no_limit_of_a_cell_is_longer_than_a_slice(cells):
    matrix = plan.load(measure.FILE)
    assert all(plan.terms(matrix, cell).seconds < 8 * 60 for cell in cells)


def test_the_most_telling_cells_come_first(cells):
    assert [(c.model, c.precision, c.backend) for c in cells[:6]] == [
        (model, "bf16", backend)
        for model in (slices.SD15, slices.SDXL)
        for backend in ("torch", "compile", "jax")
    ]
    assert sorted(cells, key=id) == sorted(slices.ordered(cells), key=id)


@pytest.mark.parametrize("named", ["1", "SD 1.5, bf16"])
def test_one_slice_by_number_or_name(named):
    chosen = measure.cells(quick=False, device="cuda", only=named)
    assert [cell.backend for cell in chosen] == ["torch", "compile", "jax"]


def test_an_unknown_slice_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no slice '99'.*7 \(fp16, batch 4"):
        measure.cells(quick=False, device="cuda", only="99")


def test_cells_of_one_work_go_together_as_far_as_they_fit(cells):
    batch = slices.next_batch(cells, 455, NOTHING, fresh=True)
    assert [cell.backend for cell in batch] == ["torch", "compile", "jax"]
    fewer = slices.next_batch(cells, 290, NOTHING, fresh=True)
    assert [cell.backend for cell in fewer] == ["torch", "compile"]
    assert len({cell.model_copy(update={"backend": ""}) for cell in batch}) == 1


def test_a_later_cell_that_fits_goes_before_one_that_does_not(cells):
    batch = slices.next_batch(cells, 70, NOTHING, fresh=False)
    assert [(cell.model, cell.backend) for cell in batch] == [("embedded", "torch")]
    assert slices.next_batch(cells, 20, NOTHING, fresh=False) == ()


def test_a_fresh_slice_tries_what_was_never_tried(cells):
    (slow,) = [c for c in cells if c.id.startswith("sdxl") and "compile/bf16" in c.id][:1]
    assert slices.next_batch([slow], 300, NOTHING, fresh=False) == ()
    assert slices.next_batch([slow], 300, NOTHING, fresh=True) == (slow,)
    late = slices.Known(cut={slow.id: 30.0})
    assert slices.next_batch([slow], 300, late, fresh=True) == (slow,)
    whole = slices.Known(cut={slow.id: 200.0})
    assert slices.next_batch([slow], 300, whole, fresh=True) == ()


def test_what_was_measured_is_believed_more_than_what_was_guessed(cells):
    sd15 = [c for c in cells if c.model == slices.SD15 and c.backend == "jax"]
    one = next(c for c in sd15 if c.batch == 1 and c.precision == "bf16")
    same = next(c for c in sd15 if c.batch == 1 and c.precision == "fp16")
    more = next(c for c in sd15 if c.batch == 4)
    seen = slices.Known(measured={one.id: (one, 50.0)})
    assert seen.expected(same) == 50.0 < NOTHING.expected(same)
    assert 50.0 < seen.expected(more) < NOTHING.expected(more)
    assert slices.Known(seen.measured, {same.id: 100.0}).expected(same) > 100.0


@pytest.fixture
def work(tmp_path) -> Path:
    folder = tmp_path / "work" / "h100"
    pictures = folder / "2026-01-01" / "pictures"
    pictures.mkdir(parents=True)
    (folder / "2026-01-01.json").write_text('{"cells": []}', "utf-8")
    (folder / "2026-01-01" / "report.html").write_text("made anew at home", "utf-8")
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "large.png")
    Image.fromarray(noise[:64, :64]).save(pictures / "small.png")
    pack.write_state(folder.parent, {"a/cell": 12.5})
    return folder.parent


def test_what_is_packed_is_there_again_in_the_next_slice(work, tmp_path):
    packed = pack.pack(work, tmp_path / "out")
    assert sorted(path.name for path in packed.parent.iterdir()) == ["gpu.zip", "results.json"]
    again = tmp_path / "again"
    pack.unpack(packed, again)
    assert pack.read_state(again) == {"a/cell": 12.5}
    assert pack.results(again) == again / "h100" / "2026-01-01.json"
    assert not list(again.rglob("*.html"))
    pictures = again / "h100" / "2026-01-01" / "pictures"
    assert Image.open(pictures / "large.png").size == (192, 192)
    before = work / "h100" / "2026-01-01" / "pictures" / "small.png"
    assert (pictures / "small.png").read_bytes() == before.read_bytes()


def test_a_cut_off_zip_is_refused(work, tmp_path):
    packed = pack.pack(work, tmp_path / "out")
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"gpu\.zip is cut off"):
        pack.unpack(packed, tmp_path / "again")


def rehearsal(tmp_path: Path, seconds: float) -> measure.Slice:
    torch = measure.cells(quick=True, device="cpu", only=None)[:1]
    assert torch[0].backend == "torch"
    until = time.time() + seconds
    return measure.Slice(torch, True, until, tmp_path / "work", tmp_path / "out")


@pytest.mark.timeout(300)
def test_a_slice_measures_and_the_next_one_has_nothing_left(tmp_path):
    asked = rehearsal(tmp_path, 250)
    assert measure.measure(asked)
    assert measure.left(asked) == ()
    again = measure.Slice(asked.cells, True, asked.until, tmp_path / "second", tmp_path / "out")
    pack.unpack(tmp_path / "out" / "gpu.zip", again.work)
    assert measure.left(again) == () and measure.measure(again)
    assert len(list((again.work).glob("*/*.json"))) == 1


def test_a_slice_that_is_over_cuts_its_cell_off_and_knows_it(tmp_path):
    # One second: a cell needs longer for its imports alone.
    asked = rehearsal(tmp_path, measure._TO_END + 1)
    assert measure.measure(asked)
    assert measure.left(asked) == asked.cells
    assert list(pack.read_state(asked.work)) == [asked.cells[0].id]
    assert time.time() < asked.until
