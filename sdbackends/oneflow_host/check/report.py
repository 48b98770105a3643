"""What the check found, as data and as text.

A `Report` holds everything; `as_text` lists what concerns the person (their own files, and what
stops the import of a library) and counts the rest, `as_json` gives all of it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sdbackends.oneflow_host.check.findings import Finding, Weight
from sdbackends.oneflow_host.check.follow import Followed
from sdbackends.oneflow_host.check.modules import Modules
from sdbackends.oneflow_host.check.oneflow_query import Answer


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the person's own files that is worth a word."""

    file: Path
    line: int
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    """One check."""

    script: Path
    answer: Answer
    findings: tuple[Finding, ...]
    #: Files read; and the libraries among them, with their versions.
    files: int
    libraries: dict[str, str]
    #: Imports of the script's own files that are not on this machine.
    not_found: tuple[Line, ...]
    #: Names of torch that are computed while the script runs.
    computed: tuple[Line, ...]
    unreadable: tuple[Path, ...]

    @classmethod
    def of(
        cls,
        script: Path,
        followed: Followed,
        found: Sequence[Finding],
        answer: Answer,
        modules: Modules,
    ) -> Report:
        origins = followed.origins
        libraries = {name.partition(".")[0] for name in origins if origins[name] == "library"}
        own = [source for name, source in followed.sources.items() if origins[name] != "library"]
        return cls(
            script=script,
            answer=answer,
            findings=tuple(found),
            files=len(followed.sources),
            libraries={name: modules.version(name) for name in sorted(libraries)},
            not_found=tuple(
                Line(source.path, wanted.line, wanted.module)
                for source, wanted in followed.not_found
            ),
            computed=tuple(
                Line(source.path, computed.line, computed.text)
                for source in own
                for computed in source.computed
            ),
            unreadable=tuple(followed.unreadable),
        )

    @property
    def clean(self) -> bool:
        """Whether nothing was found that stands in the script's way."""
        return not any(finding.weight in ("own", "stops") for finding in self.findings)

    def count(self, weight: Weight) -> int:
        return sum(finding.weight == weight for finding in self.findings)


def as_json(report: Report) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "script": str(report.script),
        "clean": report.clean,
        "oneflow": report.answer.oneflow,
        "oneflow_python": report.answer.python,
        "python": platform.python_version(),
        "files": report.files,
        "libraries": report.libraries,
        "counts": {
            weight: report.count(weight) for weight in ("own", "stops", "inside", "guarded")
        },
        "names": [
            {
                "name": finding.name,
                "file": str(finding.file),
                "line": finding.line,
                "why": finding.why,
                "weight": finding.weight,
                "origin": finding.origin,
                "module": finding.module,
                "function": finding.function,
                "way": finding.way,
                "note": finding.note,
            }
            for finding in report.findings
        ],
        "not_found": [_record(line) for line in report.not_found],
        "computed": [_record(line) for line in report.computed],
        "unreadable": [str(path) for path in report.unreadable],
    }


def _record(line: Line) -> dict[str, Any]:
    return {"file": str(line.file), "line": line.line, "words": line.words}


def as_text(report: Report, *, everything: bool = False) -> str:
    """For a person: what stands in the way, then what else is to be known, then the sum."""
    return "\n".join(_lines(report, everything)) + "\n"


def _lines(report: Report, everything: bool) -> Iterator[str]:
    yield from _groups(report, ("own",), "")
    yield from _groups(
        report, ("stops",), "Libraries import these at once, so that they cannot be imported:"
    )
    if everything:
        yield from _groups(
            report, ("inside",), "Inside libraries, lacking only where a run gets there:"
        )
        yield from _groups(report, ("guarded",), "Guarded by hasattr or try, harmless:")
    for line in report.computed:
        yield f"{_place(line)}: {line.words} is computed while the script runs: not checked"
    for line in report.not_found:
        yield f"{_place(line)}: {line.words} is not on this machine: not followed"
    if report.computed or report.not_found:
        yield ""
    yield from _summary(report, everything)


def _groups(report: Report, weights: tuple[Weight, ...], heading: str) -> Iterator[str]:
    chosen = [finding for finding in report.findings if finding.weight in weights]
    if chosen and heading:
        yield heading
    for _, group in groupby(chosen, key=lambda finding: finding.file):
        for finding in group:
            note = f" ({finding.note})" if finding.note else ""
            yield f"{_short(finding.file)}:{finding.line}: {finding.name} — {finding.why}{note}"
        yield ""


def _summary(report: Report, everything: bool) -> Iterator[str]:
    answer = report.answer
    libraries = ", ".join(f"{name} {version}".strip() for name, version in report.libraries.items())
    read = f"{report.files} file{'' if report.files == 1 else 's'}"
    yield (
        f"Read: {read}{'; ' if libraries else ''}{libraries}. "
        f"Asked: OneFlow {answer.oneflow} on Python {answer.python}."
    )
    if libraries and not answer.is_here:
        yield (
            f"The libraries are those of this Python {platform.python_version()} "
            f"({sys.executable}); the machine with OneFlow may have others."
        )
    for path in report.unreadable:
        yield f"Not Python {platform.python_version()}: {_short(path)}"
    own, stops = report.count("own"), report.count("stops")
    if report.clean:
        yield "Nothing that OneFlow lacks stands in the way of this script."
    if own:
        yield f"Lacking: {_times(own)} in your own files."
    if stops:
        yield (
            f"Lacking: {_times(stops)} that libraries import at once, which stops the script. "
            "`sdbackends doctor oneflow-host` says which versions need no more than there is."
        )
    inside, guarded = report.count("inside"), report.count("guarded")
    if inside or guarded:
        hint = "" if everything else " --all lists them."
        yield (
            f"Besides: {_times(inside)} inside libraries, lacking only where a run gets there; "
            f"{_times(guarded)} guarded by hasattr or try, harmless.{hint}"
        )


def _times(count: int) -> str:
    return "1 name" if count == 1 else f"{count} names"


def _place(line: Line) -> str:
    return f"{_short(line.file)}:{line.line}"


def _short(path: Path) -> str:
    """Relative to where the person stands, when it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
