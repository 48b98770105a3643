"""The small print: all that is known of one cell, and of the machine and run it comes from.

Pairs of a name and a text, for the page and for Markdown; what was not measured is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdbackends.matrix.report import format
from sdbackends.matrix.report.rows import Row
from sdbackends.matrix.results import Run, Tolerance

Pairs = list[tuple[str, str]]


def of_cell(row: Row) -> Pairs:
    result = row.result
    pairs = list(_timings(row))
    agreement = result.agreement
    if agreement is not None:
        pairs += [
            (f"agreement of {part}", f"max {it.max_relative:.1e}, relative L2 {it.relative_l2:.1e}")
            for part, it in agreement.parts.items()
        ]
    if result.load is not None:
        busy = ": others used the machine meanwhile" if result.busy else ""
        pairs.append(("load before, after", f"{result.load[0]:.1f}, {result.load[1]:.1f}{busy}"))
    if result.versions:
        versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
        pairs.append(("versions", versions))
    pairs.append(("measured", f"{row.run.started}, commit {row.run.commit[:12]}"))
    return pairs


def commands(row: Row) -> Pairs:
    """What a command does, and the command."""
    both = (("measure it again", row.result.command), ("draw its picture alone", row.result.script))
    return [(title, " ".join(command.split())) for title, command in both if command]


def speed(row: Row) -> str:
    """Against the reference; its own is in steps a second."""
    if row.ratio and not row.is_reference:
        return format.times(row.ratio)
    return f"{format.number(row.rate)} it/s"


def closeness(row: Row) -> str:
    """The worst part's error and the picture's PSNR; nothing for what the others are held to."""
    agreement = row.result.agreement
    if agreement is None or (row.is_reference and row.cell.precision == "fp32"):
        return ""
    parts = [format.small(row.worst_part)] if row.worst_part is not None else []
    if agreement.image_max is not None:
        parts.append(format.decibels(agreement.psnr))
    return ", ".join(parts)


def of_run(run: Run) -> Pairs:
    machine, ceilings = run.machine, run.ceilings
    pairs = [
        ("system", f"{machine.system}, Python {machine.python}"),
        ("CPU", machine.cpu),
        ("cores, threads used", f"{machine.cores}, {machine.threads}"),
        ("memory", format.size(machine.memory_bytes)),
    ]
    if machine.gpu:
        pairs.append(("GPU", f"{machine.gpu}, {format.size(machine.gpu_memory_bytes)}"))
    if machine.driver:
        pairs.append(("driver", machine.driver))
    if machine.clock_mhz:
        pairs.append(("clock", f"{machine.clock_mhz:.0f} MHz"))
    for name, rates in (("matmul", ceilings.matmul), ("convolution", ceilings.conv)):
        if rates:
            text = ", ".join(f"{dtype} {format.rate(rate)}" for dtype, rate in rates.items())
            pairs.append((f"ceiling, {name}", text))
    if ceilings.copy_bytes:
        pairs.append(("ceiling, copy", f"{format.size(ceilings.copy_bytes)}/s"))
    pairs.append(("commit", run.commit))
    pairs.append(("kind of run", "quick" if run.quick else "full"))
    return pairs


def tolerances(runs: Sequence[Run]) -> list[tuple[str, str, Tolerance]]:
    """Machines, precision, tolerance; machines that share one share its line."""
    shared: dict[tuple[str, str], tuple[Tolerance, list[str]]] = {}
    for run in runs:
        for precision, limit in run.tolerances.items():
            entry = shared.setdefault((precision, limit.model_dump_json()), (limit, []))
            if run.machine.name not in entry[1]:
                entry[1].append(run.machine.name)
    return [(", ".join(names), key[0], limit) for key, (limit, names) in shared.items()]


def _timings(row: Row) -> Iterator[tuple[str, str]]:
    timings = row.result.timings
    for name, value in (
        ("importing", timings.importing),
        ("loading", timings.loading),
        ("capture", timings.capture),
        ("building, empty cache", timings.build_cold),
        ("building, from the cache", timings.build_cached),
        ("first picture", timings.first_image),
    ):
        if value is not None:
            yield name, format.seconds(value)
    for name, found in (("whole call", row.image), *row.figures.parts.items()):
        if found is not None:
            spread = (format.seconds(it) for it in (found.p50, found.p90, found.p99))
            yield f"{name}: p50, p90, p99", f"{', '.join(spread)} of {found.count}"
    ratio = row.figures.ratio
    if ratio is not None and not row.is_reference:
        ends = f"{ratio.low:.2f} to {ratio.high:.2f}"
        yield f"times as fast as {row.run.reference}", f"{ratio.value:.2f} (95%: {ends})"
