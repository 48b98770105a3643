"""report.html and report.md: rows in, text out, by the templates beside this file.

What the templates show is gathered here; how a number is written is in `words`. Everything that
comes from a results file is escaped: a reason may hold whatever a crashed process said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from sdbackends._version import __version__
from sdbackends.matrix import difference_map
from sdbackends.matrix.report import charts, details, embed, format, overview, scatter, thumbnails
from sdbackends.matrix.report.rows import Row, device_of
from sdbackends.matrix.results import Run

_TEMPLATES = Path(__file__).parent / "templates"
_CONTENTS = (
    ("matrix", "matrix"),
    ("pictures", "pictures"),
    ("latency", "latency"),
    ("building", "building"),
    ("scatter", "speed against agreement"),
    ("memory", "memory"),
    ("roofline", "share of the ceiling"),
    ("skipped", "what did not run"),
    ("figures", "all figures"),
    ("reproduce", "run a cell again"),
    ("machines", "machines"),
)


@dataclass(frozen=True)
class Place:
    """A machine and one of its devices; `device` names the chip."""

    name: str
    device: str


@dataclass(frozen=True)
class Filter:
    name: str
    title: str
    values: tuple[str, ...]


def html(rows: Sequence[Row], sheets: Sequence[thumbnails.Sheet]) -> str:
    """The whole page: styles, script and pictures are in it."""
    sections = charts.sections(rows)
    ids = {section.id for section in sections}
    gone = {"latency", "building", "memory", "roofline"} - ids | (
        {"pictures"} if not sheets else set()
    )
    return (
        _environment(html=True)
        .get_template("report.html.j2")
        .render(
            **_shared(rows),
            version=__version__,
            contents=[entry for entry in _CONTENTS if entry[0] not in gone],
            filters=_filters(rows),
            sheets=sheets,
            sections=sections,
            plot=scatter.plot(rows),
            map_colours=difference_map.COLOURS,
        )
    )


def markdown(rows: Sequence[Row], folder: Path, sheet: str | None) -> str:
    """The tables for a repository's page; links are as seen from `folder`, where `sheet` is."""
    files = {id(row.run): embed.link(row.file, folder) for row in rows}
    template = _environment(html=False).get_template("report.md.j2")
    return template.render(
        **_shared(rows), sheet=sheet, files=[files[id(run)] for run in _runs(rows)]
    )


def short(rows: Sequence[Row], details: str) -> str:
    """The answer and the matrix, for another document; `details` links from it to the report."""
    template = _environment(html=False).get_template("short.md.j2")
    return template.render(**_shared(rows), details=details)


def _shared(rows: Sequence[Row]) -> dict[str, object]:
    runs = _runs(rows)
    return {
        "rows": rows,
        "runs": runs,
        "reference": ", ".join(dict.fromkeys(run.reference for run in runs)),
        "summary": _summary(rows, runs),
        "places": _places(rows),
        "winners": overview.winners(rows),
        "grids": overview.grids(rows),
        "skipped": overview.skipped(rows),
        "meanings": tuple(format.MEANINGS.items()),
        "tolerances": details.tolerances(runs),
    }


def _environment(*, html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=html,
        finalize=None if html else _in_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=False,
    )
    environment.filters |= {
        "number": format.number,
        "seconds": format.seconds,
        "times": format.times,
        "share": format.share,
        "small": format.small,
        "work": format.work,
        "sign": format.SIGNS.__getitem__,
        "details": details.of_cell,
        "data": thumbnails.data,
        "commands": details.commands,
        "speed": details.speed,
        "closeness": details.closeness,
        "provenance": details.of_run,
        "fence": _fence,
    }
    return environment


def _in_markdown(value: object) -> object:
    """What a template puts into Markdown: text that cannot become markup, nor end a table's cell.

    What is markup on purpose says so, by `safe` or `e`.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return re.sub(r"([\\|<`*_\[\]])", r"\\\1", re.sub(r"\s+", " ", value))


def _fence(rows: Sequence[Row]) -> str:
    """Longer than every row of backticks in the commands of `rows`, so that none ends the block."""
    text = "".join(command for row in rows for _, command in details.commands(row))
    return "`" * max([3, *(len(found) + 1 for found in re.findall("`+", text))])


def _runs(rows: Sequence[Row]) -> list[Run]:
    """Those that the rows come from, each once."""
    return list({id(row.run): row.run for row in rows}.values())


def _places(rows: Sequence[Row]) -> list[Place]:
    found = {row.place: Place(row.place, device_of(row.run, row.cell.device)) for row in rows}
    return list(found.values())


def _filters(rows: Sequence[Row]) -> list[Filter]:
    columns: dict[str, list[str]] = {
        "pipeline": [row.cell.pipeline for row in rows],
        "backend": [row.cell.backend for row in rows],
        "precision": [row.cell.precision for row in rows],
        "place": [row.place for row in rows],
        "outcome": [str(row.outcome) for row in rows],
    }
    titles = {"place": "machine"}
    axes = [
        Filter(name, titles.get(name, name), tuple(dict.fromkeys(values)))
        for name, values in columns.items()
    ]
    return [axis for axis in axes if len(axis.values) > 1]


def _summary(rows: Sequence[Row], runs: Sequence[Run]) -> str:
    counts = Counter(row.outcome for row in rows)
    outcomes = ", ".join(f"{counts[name]} {name}" for name in format.SIGNS if counts[name])
    days = sorted(run.started[:10] for run in runs)
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
    machines = len({run.machine.name for run in runs})
    busy = sum(row.result.busy for row in rows)
    marked = f" {busy} measured on a busy machine and marked ~busy." if busy else ""
    return (
        f"{len(rows)} cells on {machines} machine{'s' * (machines != 1)}, measured {when}: "
        f"{outcomes}.{marked}"
    )
