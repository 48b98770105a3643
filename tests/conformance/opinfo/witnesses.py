"""Which samples stand for which overload in the bounded run: `witnesses.txt`, made by tracing.

A line is `OVERLOAD SAMPLE SAMPLE …`: a few samples of each dtype whose captured graph has this
overload and as little else as possible.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

PATH = Path(__file__).with_name("witnesses.txt")
#: Samples of one dtype for one overload.
EACH = 2

#: The names of an overload's samples.
Witnesses = Mapping[str, tuple[str, ...]]


def read(path: Path = PATH) -> dict[str, tuple[str, ...]]:
    """The file's lines by overload."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {overload: tuple(samples) for overload, *samples in map(str.split, lines)}


def write(witnesses: Witnesses, path: Path = PATH) -> None:
    lines = [" ".join([overload, *samples]) for overload, samples in sorted(witnesses.items())]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def choose(traces: Mapping[str, frozenset[str]], opset: Collection[str]) -> Witnesses:
    """Witnesses for every overload of the set that some trace has; `traces`: sample to its ops."""
    covered = {name: ops for name, ops in traces.items() if ops <= frozenset(opset)}
    found = {}
    for overload in opset:
        having = [name for name, ops in covered.items() if overload in ops]
        if having:
            found[overload] = _few(sorted(having, key=lambda name: len(covered[name])))
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
