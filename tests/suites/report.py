"""A verdict as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.known_failures import KnownFailure
from tests.suites.judge import Verdict
from tests.suites.records import Record

_WAYS = {
    "engine": "on the engine",
    "fallback": "by fallback to eager torch",
    "by design": "eager by design (training, text generation)",
    "no model": "no model was called",
}


def show(title: str, reference: dict[str, Record], verdict: Verdict, console: Console) -> None:
    """The table, the failures with their reasons, and one closing line."""
    console.print(_table(title, reference, verdict))
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
        "share": round(verdict.share, 5),
        "good": verdict.good,
        "fallback_reasons": dict(verdict.reasons().most_common()),
        "new": [vars(record) for record in verdict.new],
        "listed": [_listed(record, line) for record, line in verdict.listed],
        "outlived": [_listed(record, line) for record, line in verdict.outlived],
        "unused": [line.pattern for line in verdict.unused],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _table(title: str, reference: dict[str, Record], verdict: Verdict) -> Table:
    table = Table("", "tests", title=title, title_justify="left", show_header=False)
    for outcome, count in Counter(r.outcome for r in reference.values()).most_common():
        table.add_row(f"plain torch: {outcome}", str(count))
    table.add_section()
    table.add_row("passed", f"{verdict.passes} of {verdict.total} ({verdict.share:.1%})")
    for way, words in _WAYS.items():
        table.add_row(f"  {words}", str(len(verdict.passed.get(way, ()))))
    table.add_section()
    table.add_row("failed, listed with a reason", str(len(verdict.listed)))
    table.add_row("failed, new", str(len(verdict.new)))
    table.add_row("passed, though listed", str(len(verdict.outlived)))
    return table


def _line(console: Console, word: str, record: Record, why: str) -> None:
    console.print(f"{word} {escape(record.id)}: {record.outcome}, {escape(why)}", soft_wrap=True)


def _listed(record: Record, line: KnownFailure) -> dict[str, Any]:
    return {**vars(record), "reason": line.reason, "line": line.where}
