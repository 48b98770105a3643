"""docs/support.md: what is rendered, what a run replaces, and that the committed page is true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdbackends.errors import ResultsError
from tests.conformance import known_failures
from tests.conformance.families import (
    cases,  # noqa: F401  (registers them all)
    page,
    support_data,
)
from tests.conformance.families.catalog import CASES, Case, Family
from tests.conformance.families.recorder import Recorder
from tests.conformance.families.support_data import DATA, Cell, Run, SupportData

EARLIER, NOW = "2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z"
RUN = Run(python="3.11.7", platform="Linux x86_64", versions={"torch": "2.13.0", "jax": "0.10.2"})
OLDER = RUN.model_copy(update={"versions": {"torch": "2.12.0"}})
TICK = Cell(outcome="passed", run=NOW, worst=1.23e-6, picture=0.25)
CROSS = Cell(outcome="known", run=NOW, reason="a picture of 1 | 2 pixels")


def made_up(feature: str, name: str, title: str = "SD 1.5", group: str = "Pipelines") -> Case:
    family = Family(title, title, lambda: None, {}, frozenset())
    room = "tests.conformance.families.cases.plain"
    return Case(family, feature, group, lambda pipe: pipe, family.build, family.parts, name, room)


INPAINT, UPSCALE = made_up("inpaint", "inpaint"), made_up("upscale", "upscale")


def merged(
    done: Mapping[str, Mapping[str, Cell]], *found: Case, into: SupportData | None = None
) -> SupportData:
    return support_data.merge(into or SupportData(), found, NOW, RUN, done)


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_ticks_crosses_and_what_was_not_run() -> None:
    done = {INPAINT.id: {"torch": TICK, "jax": CROSS}, UPSCALE.id: {"jax": TICK}}
    text = page.render(merged(done, INPAINT, UPSCALE))
    assert lines_of(text, "| inpaint") == ["| inpaint | ✓ 1.2e-06 | – | ✗ (1) | – |"]
    assert lines_of(text, "| upscale") == ["| upscale | – | – | ✓ 1.2e-06 | – |"]
    assert lines_of(text, "1. ") == [r"1. a picture of 1 \| 2 pixels"]
    assert lines_of(text, "| `torch`")[0].startswith(
        "| `torch` | 1 of 2 | 0 | 1 | 1.2e-06 | 0.25 |"
    )
    assert lines_of(text, "| `jax`")[0].startswith("| `jax` | 1 of 2 | 1 | 0 |")
    assert lines_of(text, "| `oneflow`") == ["| `oneflow` | 0 of 2 | 0 | 2 | – | – | – |"]


def test_equal_reasons_of_a_table_have_one_number() -> None:
    other = Cell(outcome="failed", run=NOW, reason="it fell back")
    done = {INPAINT.id: {"jax": CROSS, "oneflow": other}, UPSCALE.id: {"jax": other}}
    text = page.render(merged(done, INPAINT, UPSCALE))
    assert [line[:2] for line in lines_of(text, "1. ") + lines_of(text, "2. ")] == ["1.", "2."]
    assert "| ✗ (1) | ✗ (2) |" in text
    assert "| ✗ (2) | – |" in text


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ([INPAINT, UPSCALE], ["| SD 1.5 |", "| inpaint |", "| upscale |"]),
        ([INPAINT, made_up("inpaint", "i", "SDXL")], ["| inpaint |", "| SD 1.5 |", "| SDXL |"]),
        (
            [INPAINT, UPSCALE, made_up("inpaint", "i", "SDXL")],
            ["| feature | family |", "| inpaint | SD 1.5 |", "| inpaint | SDXL |"],
        ),
    ],
    ids=["one family", "one feature", "several"],
)
def test_what_the_lines_of_a_table_are_called(found: list[Case], lines: list[str]) -> None:
    text = page.render(merged({}, *found)).partition("## Pipelines")[2]
    rows = lines_of(text, "| ")
    assert [row[: len(line)] for row, line in zip(rows, lines, strict=False)] == lines
    assert len(rows) == 1 + len(found)


def test_a_run_replaces_what_it_ran_and_nothing_else() -> None:
    before = Cell(outcome="failed", run=EARLIER, reason="it crashed")
    earlier = support_data.merge(
        SupportData(), [INPAINT], EARLIER, OLDER, {INPAINT.id: {"jax": before, "compile": before}}
    )
    both = merged({INPAINT.id: {"jax": TICK}}, INPAINT, into=earlier)
    assert both.cases[0].cells == {"compile": before, "jax": TICK}
    assert both.runs == {EARLIER: OLDER, NOW: RUN}
    assert "torch 2.12.0" in page.render(both)
    last = merged({INPAINT.id: {"compile": TICK}}, INPAINT, into=both)
    assert set(last.runs) == {NOW}  # no cell names the other any more


def test_a_case_that_no_longer_exists_is_dropped() -> None:
    both = merged({INPAINT.id: {"jax": TICK}, UPSCALE.id: {"jax": TICK}}, INPAINT, UPSCALE)
    assert [row.id for row in merged({}, UPSCALE, into=both).cases] == [UPSCALE.id]


def test_a_book_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = merged({INPAINT.id: {"torch": TICK, "jax": CROSS}}, INPAINT, UPSCALE)
    support_data.write(written, tmp_path / "support.json")
    assert support_data.read(tmp_path / "support.json") == written
    assert support_data.read(tmp_path / "none.json") == SupportData()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": {}, "cases": [{"id": "a"}]}'])
def test_a_foreign_or_cut_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "support.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"not what `nox -s support` writes"):
        support_data.read(path)


def report(case: str, backend: str, **changes: object) -> pytest.TestReport:
    """As pytest tells the recorder about the call of a test."""
    values: dict[str, object] = {
        "nodeid": f"{support_data.test_of(CASES[case])}[{backend}-{case}]",
        "location": ("", None, ""),
        "keywords": {},
        "outcome": "passed",
        "longrepr": None,
        "when": "call",
        "user_properties": [(support_data.WORST, 1.23456e-6), (support_data.PICTURE, 0.5)],
    }
    return pytest.TestReport(**{**values, **changes})


def test_the_recorder_writes_after_every_case(tmp_path: Path) -> None:
    case, said = "sd15-text_to_image", []
    recorder = Recorder(tmp_path / "support.json", ["torch", "jax"], said.append)
    passed = report(case, "torch")
    failed = report(case, "jax", outcome="failed", longrepr="ValueError: no\nat line 3")
    recorder.pytest_collection_finish(
        SimpleNamespace(items=[SimpleNamespace(nodeid=one.nodeid) for one in (passed, failed)])
    )
    for one in (passed, failed):
        recorder.pytest_runtest_logreport(report(case, "", nodeid=one.nodeid, when="setup"))
        recorder.pytest_runtest_logreport(one)
        recorder.pytest_runtest_logreport(report(case, "", nodeid=one.nodeid, when="teardown"))
        assert len(said) == (1 if one is passed else 2)
        cells = {row.id: row.cells for row in support_data.read(tmp_path / "support.json").cases}[
            case
        ]
        assert cells["torch"].worst == 1.23e-6
        assert ("jax" in cells) == (one is failed)
    assert cells["jax"].outcome == "failed"
    assert cells["jax"].reason == "ValueError: no"
    assert "ValueError: no" in said[1]
    assert "✗ (1)" in (tmp_path / "support.md").read_text(encoding="utf-8")


def test_a_known_failure_has_the_reason_of_its_line(tmp_path: Path) -> None:
    case = "sd15-text_to_image"
    listed = report(case, "jax", outcome="skipped")
    listed.wasxfail = "families.txt:1: its reason"
    recorder = Recorder(tmp_path / "support.json", ["jax"], lambda line: None)
    recorder.known = [known_failures.KnownFailure(listed.nodeid, "its reason", "families.txt:1")]
    recorder.pytest_collection_finish(
        SimpleNamespace(items=[SimpleNamespace(nodeid=listed.nodeid)])
    )
    recorder.pytest_runtest_logreport(listed)
    recorder.pytest_runtest_logreport(report(case, "jax", when="teardown"))
    (cell,) = (
        row.cells["jax"] for row in support_data.read(tmp_path / "support.json").cases if row.cells
    )
    assert (cell.outcome, cell.reason) == ("known", "its reason")


@pytest.fixture(scope="module")
def committed() -> SupportData:
    return support_data.read(DATA)


def test_the_page_is_what_renders_from_the_data(committed: SupportData) -> None:
    text = DATA.with_suffix(".md").read_text(encoding="utf-8")
    assert page.render(committed) == text, "nox -s support -- --render writes it anew"


@pytest.mark.parametrize("name", support_data.BACKENDS)
def test_every_case_has_run(committed: SupportData, name: str) -> None:
    """A new case without its cells: `nox -s support -- --missing`."""
    ran = {row.id for row in committed.cases if name in row.cells}
    assert ran == set(CASES)


def test_crosses_are_the_known_failures(committed: SupportData) -> None:
    known = known_failures.read_all()
    for row in committed.cases:
        for name, cell in row.cells.items():
            listed = [line.reason for line in known if line.names(row.test_on(name))]
            expected = ("known", listed[0]) if listed else ("passed", "")
            assert (cell.outcome, cell.reason) == expected, row.test_on(name)


def test_every_row_is_the_case_as_it_stands(committed: SupportData) -> None:
    rows = [row.model_copy(update={"cells": {}}) for row in committed.cases]
    assert rows == list(support_data.merge(SupportData(), CASES.values(), NOW, RUN, {}).cases)
