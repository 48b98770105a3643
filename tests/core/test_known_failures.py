"""The list of known failures says why, and never outlives its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.known_failures import KnownFailure, mark, read_all


def listed(folder: Path, text: str) -> list[KnownFailure]:
    (folder / "jax.txt").write_text(text, encoding="utf-8")
    return read_all(folder)


def test_lines_comments_and_blanks(tmp_path: Path) -> None:
    lines = listed(tmp_path, "# about jax\n\ntests/a.py::test_b[jax*]  # no such op\n")
    assert lines == [KnownFailure("tests/a.py::test_b[jax*]", "no such op", "jax.txt:3")]


def test_a_line_without_a_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match=r"jax\.txt:1: a known failure needs a reason"):
        listed(tmp_path, "tests/a.py::test_b\n")


@pytest.mark.parametrize(
    ("pattern", "test_id", "named"),
    [
        ("tests/a.py::t", "tests/a.py::t", True),
        ("tests/a.py::t", "tests/a.py::t[1]", False),
        ("tests/a.py::t[jax-*]", "tests/a.py::t[jax-sd]", True),
        ("tests/a.py::t[jax-*]", "tests/a.py::tj", False),
        ("*::t", "tests/a.py::t", True),
    ],
)
def test_patterns(pattern: str, test_id: str, named: bool) -> None:
    assert KnownFailure(pattern, "why", "here").names(test_id) is named


def test_lines_of_scripts_are_for_their_engine() -> None:
    of_scripts = KnownFailure("tests/scripts/a.py::t", "why", "scripts-oneflow-eager.txt:3")
    assert of_scripts.is_for(["jax", "oneflow-eager"])
    assert not of_scripts.is_for(["jax", "oneflow"])
    assert KnownFailure("tests/a.py::t", "why", "families.txt:3").is_for(["jax"])


def test_a_line_for_no_test_is_refused(request: pytest.FixtureRequest) -> None:
    line = KnownFailure("no/such.py::test", "why", "jax.txt:1")
    mark([request.node], [line], complain_of_unused=False)
    with pytest.raises(pytest.UsageError, match="no test has the id"):
        mark([request.node], [line], complain_of_unused=True)
