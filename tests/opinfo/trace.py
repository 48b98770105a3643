"""Looks for samples of every overload of the JAX table: `python -m tests.opinfo.trace`.

Captures the first samples of every OpInfo, which takes half an hour of one core, and writes
`witnesses.txt` anew. To be run when a lowering is added or another torch is pinned; names of
OpInfos after the command trace those alone and keep all other lines.
"""

from __future__ import annotations

import sys

from sdbackends.engines.jax.ops import LOWERINGS
from tests.opinfo import witnesses
from tests.opinfo.database import DTYPES, opinfos, samples
from tests.opinfo.tracing import WAYS, Way, traced

#: Of each OpInfo and dtype; the other samples differ in shapes and values rather than in ops.
FIRST = 3


def main(names: list[str]) -> None:
    traces: dict[tuple[Way, str], frozenset[str]] = {}
    for number, name in enumerate(names or opinfos(), start=1):
        for way in WAYS:
            some = [sample for dtype in DTYPES for sample in samples(name, dtype, FIRST)]
            for parts in traced(some, way):
                traces |= {(way, one.sample.name): one.ops for one in parts}
        print(f"{number} of {len(names or opinfos())}: {name}", file=sys.stderr)
    kept = witnesses.read() if names else {}
    found = {one.overload: one for one in witnesses.choose(traces, LOWERINGS)}
    witnesses.write([*({**found, **kept}.values())])


if __name__ == "__main__":
    main(sys.argv[1:])
