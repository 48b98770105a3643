"""A pytest plugin: what became of each case goes into docs/support.json, a line of it on stderr.

It lives in the process that the tests are started from; under xdist the figures of the others come
along with their reports. What is done is written after every case, so Ctrl-C loses nothing.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sdbackends.catalog import environments, requirements
from sdbackends.matrix.report.format import small
from tests.conformance import known_failures
from tests.conformance.families import page, support_data
from tests.conformance.families.catalog import CASES

_SIGNS = {"passed": "✓", "known": "✗", "failed": "FAILED", "skipped": "–"}
#: So much of an error's text; all of it is in pytest's own account.
_LENGTH = 300


class Recorder:
    """One run. `say` is told each line; `data` is the file, whose page lies beside it."""

    def __init__(self, data: Path, backends: Iterable[str], say: Callable[[str], None]) -> None:
        self._data, self._say = data, say
        self._started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._run = run_of(backends)
        self.known = known_failures.read_all()
        self._done: dict[str, dict[str, support_data.Cell]] = {}
        self._seconds: dict[str, float] = {}
        self._names: dict[str, tuple[str, str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._expect(ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """No dots between the lines; what failed is counted and told as ever."""
        if self._name(report) is None or report.outcome == "rerun":
            return None
        if report.passed and report.when != "call":
            return ("", "", "")
        expected = (
            {"skipped": "xfailed", "passed": "xpassed"} if hasattr(report, "wasxfail") else {}
        )
        return (expected.get(report.outcome, report.outcome), "", "")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = self._name(report)
        if name is None or str(report.outcome) == "rerun":
            return
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed or report.when == "call" or report.skipped:
            case, backend = name
            self._done.setdefault(case, {})[backend] = self._cell(report)
        # The end of it, or of the process that ran it.
        if report.when not in ("setup", "call"):
            save(self._data, self._started, self._run, self._done)
            self._tell(*name, report.nodeid)

    def _expect(self, ids: Iterable[str]) -> None:
        from tests.conformance.families import cases  # noqa: F401  (registers all; not before conftest.py)

        known = {
            f"{support_data.test_of(case)}[{backend}-{case.id}]": (case.id, backend)
            for case in CASES.values()
            for backend in support_data.BACKENDS
        }
        self._names = {nodeid: known[nodeid] for nodeid in ids}

    def _name(self, report: Any) -> tuple[str, str] | None:
        return self._names.get(getattr(report, "nodeid", ""))

    def _cell(self, report: pytest.TestReport) -> support_data.Cell:
        figures = dict(report.user_properties)
        outcome: support_data.Outcome = "passed"
        reason = ""
        if report.failed:
            outcome, reason = "failed", _why(report)
        elif hasattr(report, "wasxfail"):
            listed = (line.reason for line in self.known if line.names(report.nodeid))
            outcome, reason = "known", next(listed, report.wasxfail)
        elif report.skipped:
            outcome, reason = "skipped", _why(report)
        return support_data.Cell(
            outcome=outcome,
            run=self._started,
            worst=_rounded(figures.get(support_data.WORST)),
            picture=_rounded(figures.get(support_data.PICTURE)),
            reason=reason,
        )

    def _tell(self, case: str, backend: str, nodeid: str) -> None:
        cell = self._done[case][backend]
        words = cell.reason
        if cell.outcome == "passed":
            words = f"model {small(cell.worst)}, picture {small(cell.picture)} of 255"
        total, done = len(self._names), sum(map(len, self._done.values()))
        self._say(
            f"{done:{len(str(total))}}/{total}  {backend:8}{_SIGNS[cell.outcome]} {case}  "
            f"{words}  ({self._seconds.pop(nodeid):.1f} s)"
        )


def save(
    data: Path, started: str, run: support_data.Run, done: dict[str, dict[str, support_data.Cell]]
) -> None:
    """What was done so far into the file as it stands now, and the page beside it."""
    merged = support_data.merge(support_data.read(data), CASES.values(), started, run, done)
    support_data.write(merged, data)
    page.write(merged, data.with_suffix(".md"))


def run_of(backends: Iterable[str]) -> support_data.Run:
    """On what a run of these backends runs."""
    runtimes = [name for backend in backends for name in page.RUNTIMES.get(backend, ())]
    found = {name: _version(name) for name in (*page.PACKAGES, *runtimes)}
    return support_data.Run(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        versions={name: version for name, version in found.items() if version},
    )


def _version(package: str) -> str | None:
    if package in environments.names():  # an engine in an environment of its own
        return environments.version(package)
    return requirements.version(package)


def _why(report: pytest.TestReport) -> str:
    """The error in one line, as pytest's own summary has it."""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2])[:_LENGTH]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = (crash.message if crash is not None else str(report.longrepr or "")).strip()
    return text.splitlines()[0][:_LENGTH] if text else "it failed without a word"


def _rounded(figure: object) -> float | None:
    """Three digits that count: more would change with every run."""
    return float(f"{figure:.2e}") if isinstance(figure, float) else None
