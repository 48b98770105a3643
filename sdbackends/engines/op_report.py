"""Format the report of ops that an engine does not support, grouping similar call sites.

Places that are alike are one line, and nothing is left out: `up_blocks.{0,1}.resnets.{0,1,2}` is
all six of them. The build of a program says it of one model, `sdbackends ops` of all that a script
calls.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sdbackends.engines.base import CallSite, MissingOp

HOW_TO = "docs/adding-an-op.md"


def op_lines(op: MissingOp) -> Iterator[str]:
    """`aten.erfinv.default, 6 places`, and below it the places with their shapes."""
    yield f"{op.op}, {counted(len(op.sites), 'place')}"
    alike: dict[tuple[str, str, str], list[str]] = {}
    for site in op.sites:
        key = (re.sub(r"\d+", "#", site.path), site.takes, site.gives)
        alike.setdefault(key, []).append(site.path)
    for (_, takes, gives), paths in alike.items():
        tensors = f"{takes} -> {gives}" if takes else gives
        for path, number in _folded(paths):
            yield f"  {number} × {path or 'the model'}: {tensors}"


def place_lines(missing: Iterable[MissingOp]) -> Iterator[str]:
    """Where the lowerings go: one line a file, and where it is written how."""
    files: dict[str, list[str]] = {}
    for op in missing:
        if op.place:
            files.setdefault(op.place, []).append(op.op)
    for place, ops in files.items():
        yield f"{place}: a lowering of {', '.join(dict.fromkeys(ops))}"
    if files:
        yield f"{HOW_TO} shows how"


def merged(several: Iterable[MissingOp]) -> tuple[MissingOp, ...]:
    """The same op from several graphs as one; a place that all of them have is counted once."""
    sites: dict[tuple[str, str], Counter[CallSite]] = {}
    for op in several:
        key = (op.op, op.place)
        sites[key] = sites.get(key, Counter()) | Counter(op.sites)
    return tuple(
        MissingOp(op, tuple(sites[op, place].elements()), place) for op, place in sorted(sites)
    )


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _folded(paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Paths that differ in their numbers alone, as few as they can be said without a loss.

    `a.0`, `a.1` is `a.{0,1}`; where not every combination is there, each path stands for itself.
    """
    counts = {path: paths.count(path) for path in paths}
    numbers = [re.findall(r"\d+", path) for path in counts]
    columns = [sorted(set(column), key=int) for column in zip(*numbers, strict=True)]
    whole = len(set(counts.values())) == 1 and set(map(tuple, numbers)) == set(
        itertools.product(*columns)
    )
    if not whole:
        yield from counts.items()
        return
    said = iter(c[0] if len(c) == 1 else "{" + ",".join(c) + "}" for c in columns)
    yield re.sub(r"\d+", lambda _: next(said), paths[0]), len(paths)
