"""One run: the suite under plain torch as far as that is not known yet, then under the backend."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from sdbackends.errors import SdError
from tests.conformance import known_failures
from tests.conformance.suites import processes, report
from tests.conformance.suites.bench import PLAIN, Bench
from tests.conformance.suites.catalog import Suite, check_packages, checkout, files_of, version_of
from tests.conformance.suites.judge import Verdict, judge, passing
from tests.conformance.suites.progress import Progress
from tests.conformance.suites.records import Journal, Record


@dataclass(frozen=True)
class Wish:
    """What a person asked for; `keep`: what stays of the backend's last run."""

    suite: Suite
    source: Path
    backend: str
    only: tuple[str, ...]
    keep: Literal["nothing", "passes", "failures too"]
    jobs: int
    timeout: float
    device: str
    output: Path

    @property
    def title(self) -> str:
        installed = importlib.metadata.version(self.suite.name)
        return f"{self.suite.name} {installed} on {self.backend}"


class NothingToJudge(SdError):
    """A backend could do nothing wrong, which is not the same as doing well."""

    def __init__(self, bench: Bench, records: Mapping[str, Record]) -> None:
        reasons = Counter(record.why for record in records.values() if record.outcome == "failed")
        super().__init__(
            "plain torch passes none of these tests",
            where=str(bench.logs(None)),
            why="; ".join(reason for reason, _ in reasons.most_common(3)) or "there are none",
            fix="fix what the logs in that folder say, and remove "
            f"{bench.journal(None)} to try again",
        )


def run(wish: Wish, console: Console) -> Verdict:
    """Run, show the table, write the JSON.

    Raises:
        UsageError: the source is no checkout of the suite, or `only` names nothing in it.
        BackendNotReadyError: the suite's tests need packages that are missing.
        NothingToJudge: plain torch passes none of the tests.
    """
    suite = wish.suite
    source = checkout(suite, wish.source)
    check_packages(suite)
    files = files_of(suite, source, wish.only)
    lines = known_failures.of_suite(suite.name, wish.backend)
    bench = Bench(suite, (wish.output / suite.name).resolve(), wish.device)
    bench.apply(source)

    reference = Journal.read(bench.journal(None))
    _run(wish, bench, None, files, reference, None)
    expected = {
        test: record
        for test, record in reference.records.items()
        if test.partition("::")[0] in files
    }
    tests = passing(expected)
    if not tests:
        raise NothingToJudge(bench, expected)
    journal = _kept(wish, bench)
    _run(wish, bench, wish.backend, files, journal, tests)

    verdict = judge(tests, journal.records, lines, whole=not wish.only)
    version = version_of(suite, source)
    report.show(f"{wish.title}, tests of {version}", expected, verdict, console)
    result = bench.folder / f"{wish.backend}.json"
    facts = {"suite": suite.name, "tests": version, "backend": wish.backend, "only": wish.only}
    report.write(result, {**facts, "environment": bench.facts()}, verdict)
    console.print(f"written: {result}", soft_wrap=True)
    return verdict


def _run(
    wish: Wish,
    bench: Bench,
    backend: str | None,
    files: list[str],
    journal: Journal,
    only: list[str] | None,
) -> None:
    order = processes.Order(
        folder=bench.work,
        environment=bench.environment(backend, os.environ),
        timeout=wish.timeout,
        jobs=wish.jobs,
        only=only,
        logs=bench.logs(backend),
    )
    with Progress(f"{wish.suite.name} on {backend or PLAIN}", len(files)) as progress:
        processes.run(files, order, journal, progress.tell)


def _kept(wish: Wish, bench: Bench) -> Journal:
    """The journal of the backend, with as much of its last run as was asked for."""
    path = bench.journal(wish.backend)
    if wish.keep == "nothing":
        path.unlink(missing_ok=True)
        shutil.rmtree(bench.cache(wish.backend), ignore_errors=True)
    journal = Journal.read(path)
    if wish.keep == "passes":
        journal.drop_failures()
    return journal
