"""A verdict as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.conformance.known_failures import KnownFailure
from tests.conformance.suites.judge import Verdict
from tests.conformance.suites.records import Record, Way

_WAYS: tuple[Way, ...] = ("engine", "fallback", "by design", "no model")
#: The figures of a folder, and what heads their columns: 80 columns have to hold them.
_FIGURES = {
    "total": "plain",
    "passed": "pass",
    "engine": "engine",
    "fallback": "fallback",
    "by design": "design",
    "no model": "no model",
    "listed": "listed",
    "new": "new",
}
_LEGEND = (
    "plain: plain torch passes; pass: so does the backend, its models on the engine, by fallback "
    "to eager torch, eager by design (training, text generation), or no model was called; "
    "listed and new: failures with a reason and without"
)


def show(title: str, reference: dict[str, Record], verdict: Verdict, console: Console) -> None:
    """The table, the failures with their reasons, and one closing line."""
    console.print(_table(title, verdict), _LEGEND, sep="\n")
    outcomes = Counter(record.outcome for record in reference.values()).most_common()
    console.print("plain torch: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes))
    for reason, tests in verdict.reasons().most_common():
        console.print(f"  fallback in {tests} tests: {escape(reason)}", soft_wrap=True)
    for record in verdict.new:
        _line(console, "[red]new failure[/red]", record, record.why)
    for record, line in verdict.outlived:
        _line(console, "[red]unexpected pass[/red]", record, f"take it off {line.where}")
    for line in verdict.unused:
        console.print(f"[red]no such test[/red] {escape(line.pattern)} ({line.where})")
    how = "[green]good[/green]" if verdict.good else "[red]not good[/red]"
    console.print(f"{title}: {verdict.passes}/{verdict.total} ({verdict.share:.1%}), {how}")


def write(path: Path, facts: dict[str, Any], verdict: Verdict) -> None:
    """Everything but the records of passed tests, which are in the journal."""
    content = {
        **facts,
        "total": verdict.total,
        "passed": {way: len(records) for way, records in verdict.passed.items()},
        "folders": _folders(verdict),
        "share": round(verdict.share, 5),
        "good": verdict.good,
        "fallback_reasons": dict(verdict.reasons().most_common()),
        "new": [vars(record) for record in verdict.new],
        "listed": [_listed(record, line) for record, line in verdict.listed],
        "outlived": [_listed(record, line) for record, line in verdict.outlived],
        "unused": [line.pattern for line in verdict.unused],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _table(title: str, verdict: Verdict) -> Table:
    """A line for each folder of the suite, and one for all."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("tests", overflow="fold")
    for words in _FIGURES.values():
        table.add_column(words, justify="right")
    folders = _folders(verdict)
    for folder, counts in folders.items():
        table.add_row(folder, *map(str, counts.values()))
    total = {name: sum(counts[name] for counts in folders.values()) for name in _FIGURES}
    table.add_section()
    table.add_row("all", *map(str, total.values()))
    return table


def _folders(verdict: Verdict) -> dict[str, dict[str, int]]:
    """The figures of the table, by folder."""
    counts: dict[str, Counter[str]] = {}
    for name, records in (
        *verdict.passed.items(),
        ("listed", [record for record, _ in verdict.listed]),
        ("new", verdict.new),
    ):
        for record in records:
            folder = record.id.partition("::")[0].rpartition("/")[0].removeprefix("tests/")
            counts.setdefault(folder, Counter())[name] += 1
    rows = {}
    for folder, found in sorted(counts.items()):
        passed = sum(found[way] for way in _WAYS)
        known = {"total": found.total(), "passed": passed, **found}
        rows[folder] = {name: known.get(name, 0) for name in _FIGURES}
    return rows


def _line(console: Console, word: str, record: Record, why: str) -> None:
    console.print(f"{word} {escape(record.id)}: {record.outcome}, {escape(why)}", soft_wrap=True)


def _listed(record: Record, line: KnownFailure) -> dict[str, Any]:
    return {**vars(record), "reason": line.reason, "line": line.where}
