"""docs/support.md: the results as tables, one for each group of cases, by the template beside this.

A tick is a passed test. A cross has a number, and beneath the table the reason under that number.
A dash was not run, and is counted as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from sdbackends.matrix.report.format import small
from sdbackends.matrix.store import replace
from tests.conformance.families.support_data import BACKENDS, Cell, Row, SupportData

NOT_RUN = "–"
#: Packages that every run depends on, and those of one backend.
PACKAGES = ("torch", "diffusers", "transformers", "peft")
RUNTIMES = {"jax": ("jax", "jaxlib"), "oneflow": ("oneflow",)}


@dataclass
class Table:
    """A group: `lines` of cells that are text already, `reasons` numbered from 1."""

    group: str
    columns: tuple[str, ...]
    lines: list[tuple[str, ...]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, row: Row, labels: Iterable[str]) -> None:
        self.lines.append((*labels, *(self._sign(row.cells.get(name)) for name in BACKENDS)))

    def _sign(self, cell: Cell | None) -> str:
        if cell is None:
            return NOT_RUN
        if cell.outcome == "passed":
            return f"✓ {small(cell.worst)}" if cell.worst else "✓"
        reason = " ".join(cell.reason.split()) or "no reason is known"
        if reason not in self.reasons:
            self.reasons.append(reason)
        sign = NOT_RUN if cell.outcome == "skipped" else "✗"
        return f"{sign} ({self.reasons.index(reason) + 1})"


@dataclass(frozen=True)
class Summary:
    """One backend: how many of its cases passed, its worst figures, and what it ran on."""

    backend: str
    passed: int
    crosses: int
    not_run: int
    worst: str
    picture: str
    ran_on: str


def write(data: SupportData, path: Path) -> None:
    """Put the page there in one step."""
    replace(path, render(data))


def render(data: SupportData) -> str:
    """The whole page."""
    # It imports torch, and a run of tests sets the environment for that before.
    from tests.conformance.families.judging import MODEL_BAR, PICTURE_BAR

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the filter below escapes what Markdown would take as its own
    )
    environment.filters["cell"] = _in_table
    return environment.get_template("support.md.j2").render(
        total=len(data.cases),
        backends=BACKENDS,
        summaries=[_summary(data, backend) for backend in BACKENDS],
        common=_common(data),
        tables=list(_tables(data.cases)),
        model_bar=f"{MODEL_BAR:g}",
        picture_bar=PICTURE_BAR,
    )


def _tables(rows: Iterable[Row]) -> Iterable[Table]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for group, found in groups.items():
        yield _table(group, found)


def _table(group: str, rows: list[Row]) -> Table:
    features = tuple(dict.fromkeys(row.feature for row in rows))
    families = tuple(dict.fromkeys(row.title for row in rows))
    # What all lines have in common is said once, as the head of their column.
    if len(features) == 1:
        head, labels = features, {row.id: (row.title,) for row in rows}
    elif len(families) == 1:
        head, labels = families, {row.id: (row.feature,) for row in rows}
    else:
        head, labels = ("feature", "family"), {row.id: (row.feature, row.title) for row in rows}
    table = Table(group, (*head, *BACKENDS))
    for row in sorted(rows, key=lambda row: features.index(row.feature)):
        table.add(row, labels[row.id])
    return table


def _summary(data: SupportData, backend: str) -> Summary:
    cells = [row.cells[backend] for row in data.cases if backend in row.cells]
    passed = [cell for cell in cells if cell.outcome == "passed"]
    crosses = [cell for cell in cells if cell.outcome in ("known", "failed")]
    worst = [cell.worst for cell in passed if cell.worst is not None]
    pictures = [cell.picture for cell in passed if cell.picture is not None]
    return Summary(
        backend=backend,
        passed=len(passed),
        crosses=len(crosses),
        not_run=len(data.cases) - len(passed) - len(crosses),
        worst=small(max(worst, default=None)),
        # Rounded up: what is told is never less than what was measured.
        picture=f"{math.ceil(max(pictures) * 100) / 100:g}" if pictures else NOT_RUN,
        ran_on=_ran_on(data, backend, cells),
    )


def _ran_on(data: SupportData, backend: str, cells: Iterable[Cell]) -> str:
    """Every set of versions that its cells ran on, with the days."""
    days: dict[str, set[str]] = {}
    for cell in cells:
        versions = data.runs[cell.run].versions
        names = RUNTIMES.get(backend, ("torch",))
        days.setdefault(_listed(versions, names), set()).add(cell.run[:10])
    words = [f"{what}, {_span(found)}" for what, found in days.items()]
    return "; ".join(words) or NOT_RUN


def _common(data: SupportData) -> str:
    """What all backends ran on: one set, unless runs of several versions stand in the file."""
    found = (
        f"{_listed(run.versions, PACKAGES)}, CPython {run.python} on {run.platform}"
        for run in data.runs.values()
    )
    return "; ".join(dict.fromkeys(found))


def _listed(versions: dict[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


def _span(days: set[str]) -> str:
    return " to ".join(dict.fromkeys((min(days), max(days))))


def _in_table(text: str) -> str:
    """Text that cannot end a cell of a Markdown table, nor become markup."""
    flat = " ".join(text.split())
    for special in ("\\", "|", "<", "`", "*", "_", "["):
        flat = flat.replace(special, "\\" + special)
    return flat
