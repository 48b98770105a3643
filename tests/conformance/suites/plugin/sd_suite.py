"""A pytest plugin for the processes of another project's suite: what became of each test, and how.

Loaded with `-p sd_suite` from this folder, because in such a process the name `tests` is that of
the other project. It appends JSON lines to the file that `SD_SUITE_RECORDS` names (the keys are
those of `Record` in ../records.py), runs only what `SD_SUITE_TESTS` lists (a JSON file, if it
is set), nothing of what `SD_SUITE_DONE` lists, and no test with a word of `SD_SUITE_LEFT_OUT` in
its name. Under a backend it counts the model calls that the engine answered, those that fell back,
and those that never go to an engine.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

_records = Path(os.environ["SD_SUITE_RECORDS"])
_test: dict[str, Any] = {}


def pytest_configure() -> None:
    if os.environ.get("SD_BACKEND"):
        import torch  # noqa: F401  (first: the shim lays what the backend needs)

        _count_calls()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted, done = _listed("SD_SUITE_TESTS"), _listed("SD_SUITE_DONE") or frozenset()
    words = [word for word in os.environ.get("SD_SUITE_LEFT_OUT", "").split(",") if word]

    def is_ours(item: pytest.Item) -> bool:
        if any(word in item.name.lower() for word in words) or item.nodeid in done:
            return False
        return wanted is None or item.nodeid in wanted

    config.hook.pytest_deselected(items=[item for item in items if not is_ours(item)])
    items[:] = [item for item in items if is_ours(item)]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write({"id": report.nodeid, "outcome": "failed", "why": _last_line(report)})


def pytest_runtest_logstart(nodeid: str) -> None:
    _test.clear()
    _test.update(id=nodeid, outcome="passed", seconds=0.0, why="", engine=0)
    _test.update(fallback={}, by_design={})
    _write({"began": nodeid})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same random numbers on plain torch and on a backend: some tests fail for some draws."""
    import random

    import torch

    random.seed(0)
    torch.manual_seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    # The generator of transformers' tests, which any of them may import under a name of its own.
    for module in list(sys.modules.values()):
        if isinstance(own := vars(module).get("global_rng"), random.Random):
            own.seed(0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _test["seconds"] += report.duration
    if report.failed:
        _test.update(outcome="failed", why=_last_line(report))
    elif report.skipped and _test["outcome"] == "passed":
        expected = getattr(report, "wasxfail", None)
        outcome = "skipped" if expected is None else "xfailed"
        _test.update(outcome=outcome, why=expected or _last_line(report))


def pytest_runtest_logfinish() -> None:
    _write({**_test, "seconds": round(_test["seconds"], 3)})


def _count_calls() -> None:
    """Listen to what the router decides."""
    from sdbackends import session as activate
    from sdbackends.runtime.events import Listener

    class Counting(Listener):
        def called(self, label: str) -> None:
            _test["engine"] = _test.get("engine", 0) + 1

        def fell_back(self, label: str, backend: str, error: Any) -> None:
            _tally("fallback", f"{type(error).__name__}: {error.why or error.what}")

        def stayed(self, module: Any, reason: str) -> None:
            _tally("by_design", reason)

    session = activate.active()
    assert session is not None
    session.listeners.add(Counting())


def _tally(kind: str, reason: str) -> None:
    counts = _test.setdefault(kind, {})
    counts[reason] = counts.get(reason, 0) + 1


def _listed(variable: str) -> frozenset[str] | None:
    path = os.environ.get(variable)
    return frozenset(json.loads(Path(path).read_text(encoding="utf-8"))) if path else None


def _last_line(report: Any) -> str:
    """The error in one line: pytest's own summary of it, or the end of its text."""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2])[:300]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return (lines[0] if crash is not None else lines[-1])[:300] if lines else ""


def _write(line: dict[str, Any]) -> None:
    with _records.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
