"""What a process that ended says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbackends.matrix import failures
from sdbackends.matrix.measure.record import Measured


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("noise\nTraceback:\n  File x\na.BuildError: no\n  why: y\n", "a.BuildError: no; why: y"),
        ("noise\nerror: the model\nfix: another\n", "error: the model; fix: another"),
        ("Loading: 100%\nsdbackends: it failed\nsdbackends:   why: no\n", "it failed; why: no"),
        ("  10%\n", "10%"),
        ("", "it ended with exit code 3 and said nothing"),
    ],
)
def test_the_reason_is_the_last_message_of_the_process(
    tmp_path: Path, log: str, reason: str
) -> None:
    (tmp_path / "log.txt").write_text(log)
    ended = failures.died(Measured(), 3, tmp_path / "log.txt")
    assert (ended.outcome, ended.reason) == ("crashed", reason)
