"""The report without a browser: which rows it has, who wins, what the tables and pictures say."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbackends.errors import SdError
from sdbackends.matrix import difference_map, figures, report
from sdbackends.matrix.report import csv_table, format, overview, page, scatter, thumbnails
from sdbackends.matrix.report.rows import Row, rows
from sdbackends.matrix.results import CellResult, PictureDifference, Run
from tests.matrix import samples


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Run, Path]]:
    folder = tmp_path_factory.mktemp("results")
    return [(run, path) for path, run in samples.runs(folder)]


@pytest.fixture(scope="module")
def shown(pairs: list[tuple[Run, Path]]) -> list[Row]:
    return rows(pairs)


def changed(run: Run, index: int, **fields: object) -> Run:
    """The run with other fields in one of its results."""
    cells = list(run.cells)
    cells[index] = cells[index].model_copy(update=fields)
    return run.model_copy(update={"cells": tuple(cells)})


def right(run: Run) -> list[CellResult]:
    return [result for result in run.cells if result.outcome == "ok"]


def test_three_files_stand_beside_each_other(pairs: list[tuple[Run, Path]], tmp_path: Path) -> None:
    runs, files = zip(*pairs, strict=True)
    written = report.write(runs, tmp_path / "new" / "folder", files)
    assert [path.name for path in (written.html, written.markdown, written.csv)] == [
        "report.html",
        "report.md",
        "report.csv",
    ]
    assert all(path.stat().st_size > 1000 for path in (written.html, written.markdown, written.csv))


def test_a_failure_leaves_the_older_report(
    pairs: list[tuple[Run, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("older")

    def fail(_: object) -> str:
        raise KeyError

    monkeypatch.setattr(csv_table, "csv_text", fail)
    with pytest.raises(KeyError):
        report.write([pairs[0][0]], tmp_path, [pairs[0][1]])
    assert (tmp_path / "report.html").read_text() == "older"


def test_a_missing_package_is_named_with_its_fix(
    pairs: list[tuple[Run, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, page.__name__)
    monkeypatch.delattr(report, "page")
    with pytest.raises(SdError, match=r"needs the package jinja2\n.*pip install"):
        report.write([pairs[0][0]], tmp_path, [pairs[0][1]])


def test_of_two_runs_of_a_machine_the_newer_result_counts(pairs: list[tuple[Run, Path]]) -> None:
    run, file = pairs[0]
    newer = changed(run, 0, outcome="wrong", reason="since then")
    newer = newer.model_copy(update={"started": "2027-01-01T00:00:00Z", "cells": newer.cells[:1]})
    # In whatever order the files come.
    for order in ([(newer, file), (run, file)], [(run, file), (newer, file)]):
        found = {row.cell.id: row for row in rows(order)}
        assert len(found) == len(run.cells)
        assert found[run.cells[0].cell.id].outcome == "wrong"
        assert found[run.cells[1].cell.id].outcome == run.cells[1].outcome


def test_cells_that_only_some_machines_have_leave_a_mark(
    pairs: list[tuple[Run, Path]], tmp_path: Path
) -> None:
    """A backend on one pipeline alone, and machines with other backends."""
    (cpu, cpu_file), (gpu, gpu_file) = pairs
    here = [it for it in cpu.cells if it.cell.backend != "jax" or it.cell.pipeline == "taiyi"]
    there = [it for it in gpu.cells if it.cell.backend in ("torch", "jax")][:3]
    found = [
        (cpu.model_copy(update={"cells": tuple(here)}), cpu_file),
        (gpu.model_copy(update={"cells": tuple(there)}), gpu_file),
    ]
    runs, files = zip(*found, strict=True)
    (tmp_path / "README.md").write_text("<!-- matrix -->\n<!-- /matrix -->\n")
    written = report.write(runs, tmp_path, files, [tmp_path / "README.md"])
    gaps = 2 * 2  # jax in two precisions on the two other pipelines
    absent = 2  # pipelines that the second machine has not got
    page_text = written.html.read_text("utf-8")
    assert page_text.count('class="gap"') == gaps
    assert page_text.count("not in its matrix") == absent and "none was right" not in page_text
    for document in (written.markdown, tmp_path / "README.md"):
        text = document.read_text("utf-8")
        assert text.count("| · ") == gaps + absent
        for block in text.split("\n\n"):
            if block.startswith("|"):
                assert len(set(_bars(block))) == 1


def test_an_environment_without_an_engine_hides_nothing(
    pairs: list[tuple[Run, Path]], tmp_path: Path
) -> None:
    """A later session of the same machine cannot run what an earlier one measured."""
    run, file = pairs[0]
    lacks = tuple(
        CellResult(cell=it.cell, outcome=outcome, reason="not here")
        for it, outcome in zip(
            right(run), itertools.cycle(("not-installed", "unsupported")), strict=False
        )
    )
    later = run.model_copy(update={"started": "2027-01-01T00:00:00Z", "cells": lacks})
    for name, found in {"alone": [run], "both": [run, later], "turned": [later, run]}.items():
        report.write(found, tmp_path / name, [file] * len(found))
    texts = {path.name: (path / "report.csv").read_text("utf-8") for path in tmp_path.iterdir()}
    assert texts["alone"] == texts["both"] == texts["turned"]


def test_what_is_measured_again_stays_in_its_place(pairs: list[tuple[Run, Path]]) -> None:
    run, file = pairs[0]
    again = run.model_copy(update={"started": "2027-01-01T00:00:00Z", "cells": run.cells[:7]})
    for order in ([(run, file), (again, file)], [(again, file), (run, file)]):
        found = rows(order)
        assert [row.cell for row in found] == [result.cell for result in run.cells]
        assert {row.run.started for row in found[:7]} == {again.started}
        (grid,) = overview.grids(found)
        (alone,) = overview.grids(rows([(run, file)]))
        assert grid.columns == alone.columns and grid.columns[:2] == (
            ("torch", "fp32"),
            ("torch", "bf16"),
        )


def test_machines_with_the_same_cells_stay_apart(
    shown: list[Row], pairs: list[tuple[Run, Path]]
) -> None:
    assert len(shown) == sum(len(run.cells) for run, _ in pairs)
    assert len({row.key for row in shown}) == len(shown)


def test_the_fastest_is_one_of_the_right_ones(shown: list[Row]) -> None:
    fast_but_wrong = [
        row for row in shown if row.outcome == "wrong" and row.cell.backend == "openvino"
    ]
    assert fast_but_wrong
    for line in overview.winners(shown):
        for place, ranks in line.ranks.items():
            rates = [rank.row.rate or 0.0 for rank in ranks]
            assert rates == sorted(rates, reverse=True) and len(rates) > 1
            assert {rank.row.outcome for rank in ranks} == {"ok"}
            assert {rank.row.place for rank in ranks} == {place}


def test_a_work_that_no_engine_does_right_is_named_all_the_same(
    pairs: list[tuple[Run, Path]],
) -> None:
    run, file = pairs[0]
    wrong = tuple(it.model_copy(update={"outcome": "crashed"}) for it in run.cells)
    found = rows([(run.model_copy(update={"cells": wrong}), file)])
    assert page.markdown(found, Path(), None).count("none was right") == len(samples.PIPELINES)
    assert page.html(found, []).count("none was right") == len(samples.PIPELINES)


def test_engines_that_noise_alone_parts_are_called_level(pairs: list[tuple[Run, Path]]) -> None:
    run, file = pairs[0]
    first, second = [it for it in right(run) if it.cell.precision == "fp32"][:2]
    images = first.timings.images
    twin = second.model_copy(
        update={
            "timings": second.timings.model_copy(
                update={"images": tuple(value * 1.0001 for value in images)}
            ),
            "interleaved": first.interleaved,
        }
    )
    found = rows([(run.model_copy(update={"cells": (twin, first)}), file)])
    (line,) = overview.winners(found)
    (ranks,) = line.ranks.values()
    assert ranks[0].level_with is ranks[1].row and ranks[1].level_with is None


def test_every_cell_is_a_line_of_the_csv(shown: list[Row]) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_table.csv_text(shown))))
    assert len(lines) == len(shown)
    for line, row in zip(lines, shown, strict=True):
        assert (line["backend"], line["outcome"]) == (row.cell.backend, row.outcome)
        assert line["reason"] == row.result.reason
        if row.image is None:
            assert line["p50_s"] == line["end_to_end_its"] == line["ratio"] == ""
        else:
            assert float(line["p50_s"]) == row.image.p50
            assert float(line["end_to_end_its"]) == pytest.approx(samples.STEPS / row.image.p50)


def test_the_figures_are_those_that_changes_are_judged_by(shown: list[Row]) -> None:
    row = next(row for row in shown if row.ratio)
    assert row.figures == figures.of(row.result, row.run.ceilings)


def test_parts_add_up_to_the_call(shown: list[Row]) -> None:
    for row in shown:
        if row.image is not None:
            taken = row.seconds_of_parts
            assert taken["step"] > taken["decode"] > taken["encode"]
            assert sum(taken.values()) == pytest.approx(row.image.p50, rel=0.1)


@pytest.mark.parametrize("said", ["a | b", "two\nlines", "<script>", "`code", "a_b*c*"])
def test_no_reason_breaks_the_tables(pairs: list[tuple[Run, Path]], said: str) -> None:
    run, file = pairs[0]
    found = rows([(changed(run, 1, outcome="crashed", reason=said), file)])
    text = page.markdown(found, Path(), None)
    plain = page.markdown(
        rows([(changed(run, 1, outcome="crashed", reason="x"), file)]), Path(), None
    )
    assert text.count("\n") == plain.count("\n")
    assert _bars(text) == _bars(plain)
    assert "<script>" not in text.replace("\\<script>", "")
    assert "<script>" not in page.html(found, []).replace("<script>\n", "")


def _bars(text: str) -> list[int]:
    """How many columns each line has."""
    return [line.replace("\\|", "").count("|") for line in text.splitlines()]


def test_tables_have_the_same_columns_in_each_line(shown: list[Row]) -> None:
    for block in page.markdown(shown, Path(), None).split("\n\n"):
        if block.startswith("|"):
            assert len(set(_bars(block))) == 1


def test_one_wrong_pixel_of_a_million_is_seen() -> None:
    first, second = (Image.new("RGB", (1024, 1024), (9, 200, 90)) for _ in range(2))
    equal = difference_map.difference_map(first, second).convert("L").getextrema()
    second.putpixel((700, 301), (9, 201, 90))
    small = difference_map.difference_map(first, second)
    dark, bright = small.convert("L").getextrema()
    assert max(small.size) <= difference_map.EDGE
    assert equal == (dark, dark) and isinstance(bright, int) and bright >= dark + 15


def test_large_pictures_become_thumbnails(pairs: list[tuple[Run, Path]], tmp_path: Path) -> None:
    run = pairs[0][0]
    drawn = next(result for result in run.cells if result.picture)
    path = tmp_path / (drawn.picture or "")
    path.parent.mkdir()
    Image.effect_noise((1024, 1024), 60).save(path)
    (tile,) = thumbnails.tiles(
        rows([(run.model_copy(update={"cells": (drawn,)}), tmp_path / "run.json")])
    )
    head, _, data = thumbnails.data(tile.picture or Image.new("1", (1, 1))).partition(",")
    assert head == "data:image/webp;base64" and len(base64.b64decode(data)) < 40_000


def test_the_sheet_shows_every_picture_at_its_place(
    pairs: list[tuple[Run, Path]], tmp_path: Path
) -> None:
    runs, files = zip(*pairs, strict=True)
    written = report.write(runs, tmp_path, files)
    assert "](pictures.webp)" in written.markdown.read_text("utf-8")
    drawn = len(thumbnails.tiles(rows(pairs)))
    with Image.open(tmp_path / "pictures.webp") as sheet:
        # The left half of a tile is one colour in the samples, but for a circle.
        red, _, blue = np.moveaxis(np.asarray(sheet.convert("RGB")), 2, 0)
    assert int(((blue > 150) & (red < 150)).sum()) > drawn * 0.4 * 128 * 128


def test_a_picture_that_is_gone_is_said(pairs: list[tuple[Run, Path]], tmp_path: Path) -> None:
    found = thumbnails.tiles(rows([(pairs[0][0], tmp_path / "run.json")]))
    assert found and all(tile.picture is None and "not beside" in tile.lacks for tile in found)


def test_a_truncated_picture_is_no_end(pairs: list[tuple[Run, Path]], tmp_path: Path) -> None:
    run, file = pairs[0]
    drawn = next(result for result in run.cells if result.picture)
    target = tmp_path / (drawn.picture or "")
    target.parent.mkdir()
    target.write_bytes((file.parent / (drawn.picture or "")).read_bytes()[:100])
    (tile,) = thumbnails.tiles(
        rows([(run.model_copy(update={"cells": (drawn,)}), tmp_path / "run.json")])
    )
    assert tile.picture is None and tile.lacks


def test_differences_are_from_fp32_whatever_the_precision(shown: list[Row]) -> None:
    tiles = thumbnails.tiles(shown)
    references = [tile for tile in tiles if tile.is_reference]
    assert {tile.row.cell.precision for tile in references} == {"fp32"}
    assert all(tile.difference for tile in tiles if not tile.is_reference)
    assert all(tile.difference is None for tile in references)


def test_equal_results_have_a_place_in_the_plot(pairs: list[tuple[Run, Path]]) -> None:
    run, file = pairs[0]
    result = next(it for it in right(run) if it.agreement and it.cell.backend == "jax")
    assert result.agreement is not None
    same = {
        name: it.model_copy(update={"max_relative": 0.0})
        for name, it in result.agreement.parts.items()
    }
    result = result.model_copy(
        update={"agreement": result.agreement.model_copy(update={"parts": same})}
    )
    drawn = scatter.plot(rows([(run.model_copy(update={"cells": (result,)}), file)]))
    assert drawn is not None and drawn.columns[0].label == "equal"
    assert drawn.points[0].x == drawn.columns[0].at


def test_parts_that_are_held_to_no_tolerance_are_not_the_worst(
    pairs: list[tuple[Run, Path]],
) -> None:
    run, file = pairs[0]
    result = next(it for it in right(run) if it.agreement)
    assert result.agreement is not None
    parts = {
        **result.agreement.parts,
        "latents": PictureDifference(max_relative=0.5, relative_l2=0.5),
    }
    result = result.model_copy(
        update={"agreement": result.agreement.model_copy(update={"parts": parts})}
    )
    (row,) = rows([(run.model_copy(update={"cells": (result,)}), file)])
    assert row.worst_part == result.agreement.parts["unet"].max_relative


def test_points_lie_inside_the_plot(shown: list[Row]) -> None:
    drawn = scatter.plot(shown)
    assert drawn is not None and len(drawn.points) > 20
    for point in drawn.points:
        assert drawn.left <= point.x <= drawn.right and drawn.top <= point.y <= drawn.bottom


def test_a_run_without_a_measured_cell_has_a_report(pairs: list[tuple[Run, Path]]) -> None:
    run, file = pairs[0]
    missing = tuple(
        CellResult(cell=it.cell, outcome="not-installed", reason="not here") for it in run.cells
    )
    found = rows([(run.model_copy(update={"cells": missing}), file)])
    assert "not here" in page.html(found, []) and "not here" in page.markdown(found, Path(), None)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.012345, "0.0123"), (1.0, "1.00"), (99.96, "100"), (1234.5, "1,234")],
)
def test_three_digits_count(value: float | None, text: str) -> None:
    assert format.number(value) == text
