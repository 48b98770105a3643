"""The tests of tests/gpu, each result written down as it comes."""

from __future__ import annotations

import os
from typing import Any

import pytest
from run import ROOT

from first_run.child import Turn

#: The project's own options, and the conftest.py of all its tests, want more than is carried here.
_OPTIONS = ("-o", "addopts=", "--confcutdir=tests/gpu", "-p", "no:cacheprovider")
_SHOWN = ("-p", "no:logging", "-s", "-v", "-m", "gpu")


class _Told:
    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.count = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        self.count += 1
        told: dict[str, Any] = {"check": report.nodeid.partition("::")[2]}
        told |= {"result": report.outcome, "took": round(report.duration, 2)}
        if report.longrepr:
            told["why"] = str(report.longrepr)
        self._turn.figure(**told)


def main(turn: Turn) -> None:
    os.chdir(ROOT)
    if turn.rehearsal:
        os.environ["SD_TEST_GPU_STAND_IN"] = "cpu"
    told = _Told(turn)
    code = pytest.main([*_OPTIONS, *_SHOWN, "tests/gpu"], plugins=[told])
    if code != pytest.ExitCode.OK or not told.count:
        raise RuntimeError(f"the checks ended with {code!r}; {told.count} were told")
