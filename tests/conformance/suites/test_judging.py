"""What is new, what is known, what outlived its reason: judged without running anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from sdbackends.errors import UsageError
from tests.conformance.known_failures import KnownFailure, of_suite, read_all
from tests.conformance.suites import report
from tests.conformance.suites.catalog import SUITES, checkout, files_of, version_of
from tests.conformance.suites.judge import judge, passing
from tests.conformance.suites.records import Journal, Record


def line(pattern: str) -> KnownFailure:
    return KnownFailure(pattern, "a reason", "diffusers-jax.txt:1")


def records(*some: Record) -> dict[str, Record]:
    return {record.id: record for record in some}


def test_what_plain_torch_does_not_pass_is_not_judged() -> None:
    reference = records(Record("a", "passed"), Record("b", "failed"), Record("c", "skipped"))
    assert passing(reference) == ["a"]


def test_passes_are_told_apart_by_how_the_models_ran() -> None:
    verdict = judge(
        ["e", "f", "d", "n"],
        records(
            Record("e", "passed", engine=2, by_design={"train": 1}),
            Record("f", "passed", engine=2, fallback={"no such op": 1}),
            Record("d", "passed", by_design={"train": 3}),
            Record("n", "passed"),
        ),
        [],
        whole=True,
    )
    assert {way: [r.id for r in some] for way, some in verdict.passed.items()} == {
        "engine": ["e"],
        "fallback": ["f"],
        "by design": ["d"],
        "no model": ["n"],
    }
    assert verdict.reasons() == {"no such op": 1}
    assert verdict.good
    assert verdict.share == 1.0


def test_the_table_counts_by_folder_and_over_all(tmp_path: Path) -> None:
    unets = [Record(f"tests/models/unets/test_a.py::{i}", "passed", engine=1) for i in range(3)]
    found = records(
        *unets,
        Record("tests/models/unets/test_b.py::x", "failed"),
        Record("tests/pipelines/controlnet/test_c.py::y", "passed"),
        Record("tests/pipelines/controlnet/test_c.py::z", "failed"),
    )
    verdict = judge(found, found, [line("*::x")], whole=True)
    with (tmp_path / "said.txt").open("w+") as said:
        report.show("it", found, verdict, Console(file=said, width=100))
        said.seek(0)
        lines = [one.split() for one in said if one.split()[1:2] and one.split()[1].isdigit()]
    assert lines == [
        ["models/unets", "4", "3", "3", "0", "0", "0", "1", "0"],
        ["pipelines/controlnet", "2", "1", "0", "0", "0", "1", "0", "1"],
        ["all", "6", "4", "3", "0", "0", "1", "1", "1"],
    ]
    report.write(tmp_path / "it.json", {}, verdict)
    written = json.loads((tmp_path / "it.json").read_text())["folders"]
    assert list(written["models/unets"].values()) == [4, 3, 3, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("outcome", ["failed", "crashed", "hung", "skipped"])
def test_a_failure_is_new_unless_a_line_lists_it(outcome: str) -> None:
    failed = records(Record("t.py::x[1]", outcome))  # type: ignore[arg-type]
    assert [r.id for r in judge(["t.py::x[1]"], failed, [], whole=True).new] == ["t.py::x[1]"]
    verdict = judge(["t.py::x[1]"], failed, [line("*::x[1]")], whole=True)
    assert (len(verdict.listed), verdict.good, verdict.share) == (1, True, 0.0)


def test_a_test_that_was_never_found_is_a_failure() -> None:
    assert not judge(["t.py::x"], {}, [], whole=True).good


def test_a_listed_test_that_passes_is_not_good() -> None:
    verdict = judge(["x"], records(Record("x", "passed")), [line("x")], whole=True)
    assert [record.id for record, _ in verdict.outlived] == ["x"]
    assert not verdict.good


@pytest.mark.parametrize(("whole", "unused"), [(True, 1), (False, 0)])
def test_a_line_for_no_test_matters_only_when_all_ran(whole: bool, unused: int) -> None:
    verdict = judge(["x"], records(Record("x", "passed")), [line("y")], whole=whole)
    assert len(verdict.unused) == unused
    assert verdict.good is not whole


def test_the_lists_of_suites_are_not_about_our_own_tests(tmp_path: Path) -> None:
    (tmp_path / "diffusers-jax.txt").write_text("tests/models/a.py::b  # why\n")
    assert read_all(tmp_path) == []
    assert [one.pattern for one in of_suite("diffusers", "jax", tmp_path)] == [
        "tests/models/a.py::b"
    ]
    assert of_suite("diffusers", "compile", tmp_path) == []


def test_a_journal_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "jax.jsonl"
    journal = Journal.read(path)
    journal.add([Record("a.py::x", "passed", engine=1), Record("b.py::y", "failed")])
    journal.finish("a.py")
    journal.finish("b.py")
    with path.open("a") as stream:
        stream.write('{"id": "c.py::z", "outc')  # the machine went down here
    again = Journal.read(path)
    assert (again.records, again.files) == (journal.records, {"a.py", "b.py"})
    again.drop_failures()
    kept = Journal.read(path)
    assert (set(kept.records), kept.files) == ({"a.py::x"}, {"a.py"})


def test_a_folder_that_is_no_checkout_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    suite = SUITES["transformers"]
    with pytest.raises(UsageError, match="there is no folder"):
        checkout(suite, tmp_path / "nowhere")
    (tmp_path / "tests/models/clip").mkdir(parents=True)
    with pytest.raises(
        UsageError, match=r"no checkout of transformers[^$]*lacks tests/models/bert"
    ):
        checkout(suite, tmp_path)


def test_the_version_of_the_tests_is_read_from_their_checkout(tmp_path: Path) -> None:
    suite = SUITES["diffusers"]
    assert version_of(suite, tmp_path) == "unknown"
    (tmp_path / "src/diffusers").mkdir(parents=True)
    (tmp_path / "src/diffusers/__init__.py").write_text('import a\n__version__ = "0.40.0"\n')
    assert version_of(suite, tmp_path) == "0.40.0"


def test_only_names_a_folder_or_file_of_the_suite(tmp_path: Path) -> None:
    suite = SUITES["transformers"]
    for name in suite.folders:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"test_modeling_{Path(name).name}.py").touch()
        (tmp_path / name / f"test_tokenization_{Path(name).name}.py").touch()
    folder = checkout(suite, tmp_path)
    assert len(files_of(suite, folder, [])) == len(suite.folders)
    one = ["tests/models/t5/test_modeling_t5.py"]
    assert files_of(suite, folder, ["tests/models/t5/"]) == one
    assert files_of(suite, folder, one) == one
    with pytest.raises(UsageError, match="no tests in 'tests/models/gpt2'"):
        files_of(suite, folder, ["tests/models/gpt2"])
