"""What the check found, as data and as text.

`as_text` lists what the person's own files lack and counts the rest, `as_json` gives all of it.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sdbackends.oneflow_host.check.finding import Finding, Line, Weight
from sdbackends.oneflow_host.check.program import ReadProgram


@dataclass(frozen=True, slots=True)
class Report:
    """One check."""

    script: Path
    #: Which OneFlow was asked, on which Python.
    oneflow: str
    oneflow_python: str
    #: How many were read.
    files: int
    #: What the files import and was not read.
    installed: tuple[str, ...]
    findings: tuple[Finding, ...]
    #: Imports that are not on this machine.
    not_found: tuple[Line, ...]
    #: Names of torch that are computed while the script runs.
    computed: tuple[Line, ...]
    unreadable: tuple[Path, ...]

    @classmethod
    def of(cls, script: Path, program: ReadProgram) -> Report:
        findings = program.findings.values()
        order = sorted(findings, key=lambda it: (it.file != script, str(it.file), it.line, it.name))
        return cls(
            script=script,
            oneflow=program.names.oneflow,
            oneflow_python=program.names.python,
            files=sum(module.file is not None for module in program.modules.values()),
            installed=tuple(sorted(program.installed)),
            findings=tuple(order),
            not_found=tuple(program.not_found),
            computed=tuple(program.computed),
            unreadable=tuple(dict.fromkeys(program.unreadable)),
        )

    @property
    def clean(self) -> bool:
        """Whether nothing was found that stands in the script's way."""
        return not self.count("own")

    def count(self, weight: Weight) -> int:
        return sum(finding.weight == weight for finding in self.findings)


def as_json(report: Report) -> dict[str, Any]:
    """All of it, for programs; paths are still `Path`."""
    record = dataclasses.asdict(report)
    counts = {"own": report.count("own"), "guarded": report.count("guarded")}
    names = record.pop("findings")
    return {"clean": report.clean, "counts": counts, "names": names, **record}


def as_text(report: Report, *, everything: bool = False) -> str:
    """For a person: what stands in the way, then what else is to be known, then the sum."""
    return "\n".join(_lines(report, everything)) + "\n"


def _lines(report: Report, everything: bool) -> Iterator[str]:
    yield from _group(report, "own")
    if everything and report.count("guarded"):
        yield "Guarded by hasattr or try, harmless:"
        yield from _group(report, "guarded")
    for line in report.computed:
        yield f"{_place(line)}: {line.words} is computed while the script runs: not checked"
    for line in report.not_found:
        yield f"{_place(line)}: {line.words} is not on this machine: not followed"
    for path in report.unreadable:
        yield f"{_short(path)}: not Python {platform.python_version()}: not checked"
    if report.computed or report.not_found or report.unreadable:
        yield ""
    yield from _summary(report, everything)


def _group(report: Report, weight: Weight) -> Iterator[str]:
    chosen = [finding for finding in report.findings if finding.weight == weight]
    for _, group in groupby(chosen, key=lambda finding: finding.file):
        for finding in group:
            note = f" ({finding.note})" if finding.note else ""
            yield f"{_place(finding)}: {finding.name} — {finding.why}{note}"
        yield ""


def _summary(report: Report, everything: bool) -> Iterator[str]:
    read = f"{report.files} file{'' if report.files == 1 else 's'}"
    yield f"Read: {read}. Asked: OneFlow {report.oneflow} on Python {report.oneflow_python}."
    if report.installed:
        yield (
            f"Installed, and not read: {', '.join(report.installed)}. `sdbackends doctor "
            "oneflow-host` says which versions have been tried."
        )
    own, guarded = report.count("own"), report.count("guarded")
    if report.clean:
        yield "Nothing that OneFlow lacks stands in the way of this script."
    else:
        yield f"Lacking: {_times(own)} in your own files."
    if guarded:
        hint = "" if everything else " --all lists them."
        yield f"Besides: {_times(guarded)} guarded by hasattr or try, harmless.{hint}"


def _times(count: int) -> str:
    return "1 name" if count == 1 else f"{count} names"


def _place(line: Line | Finding) -> str:
    return f"{_short(line.file)}:{line.line}"


def _short(path: Path) -> str:
    """Relative to where the person stands, when it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
