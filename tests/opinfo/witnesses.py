"""Which samples stand for which overload in the bounded run: `witnesses.txt`, made by tracing.

A line is `OVERLOAD WAY SAMPLE SAMPLE …`: a few samples of each dtype whose captured graph has this
overload and as little else as possible. The way is "whole" where no plain capture has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.opinfo.tracing import WAYS, Way

PATH = Path(__file__).with_name("witnesses.txt")
#: Samples of one dtype for one overload.
EACH = 2


@dataclass(frozen=True)
class Witness:
    """The samples of one overload."""

    overload: str
    way: Way
    samples: tuple[str, ...]


def read(path: Path = PATH) -> dict[str, Witness]:
    """The file's lines by overload."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        overload, way, *samples = line.split()
        found[overload] = Witness(overload, "plain" if way == "plain" else "whole", tuple(samples))
    return found


def write(witnesses: Collection[Witness], path: Path = PATH) -> None:
    lines = [" ".join([one.overload, one.way, *one.samples]) for one in witnesses]
    path.write_text("\n".join([*sorted(lines), ""]), encoding="utf-8")


def choose(
    traces: Mapping[tuple[Way, str], frozenset[str]], table: Collection[str]
) -> list[Witness]:
    """Witnesses for every overload of the table that some trace has; `traces`: way, sample: ops."""
    table = frozenset(table)
    covered = {key: ops for key, ops in traces.items() if ops <= table}
    found = []
    for overload in sorted(table):
        for way in WAYS:
            having = [name for (w, name), ops in covered.items() if w == way and overload in ops]
            if having:
                having.sort(key=lambda name: len(covered[way, name]))
                found.append(Witness(overload, way, _few(having)))
                break
    return found


def _few(names: list[str]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    kept = []
    for name in names:
        dtype = name.split("/")[1]
        counts[dtype] = counts.get(dtype, 0) + 1
        if counts[dtype] <= EACH:
            kept.append(name)
    return tuple(kept)
