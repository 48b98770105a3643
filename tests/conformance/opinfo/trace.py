"""Looks for samples of every overload of the op set: `python -m tests.conformance.opinfo.trace`.

Captures the first samples of every OpInfo, which takes half an hour of one core, and writes
`witnesses.txt` anew. To be run when an op is added to the op set or another torch is pinned; names
of OpInfos after the command trace those alone and keep all other lines.
"""

from __future__ import annotations

import sys

from sdbackends.capture.opset import OPSET
from tests.conformance.opinfo import witnesses
from tests.conformance.opinfo.database import DTYPES, opinfos, samples
from tests.conformance.opinfo.tracing import traced

#: Of each OpInfo and dtype; the other samples differ in shapes and values rather than in ops.
FIRST = 3


def main(names: list[str]) -> None:
    traces: dict[str, frozenset[str]] = {}
    for number, name in enumerate(names or opinfos(), start=1):
        some = [sample for dtype in DTYPES for sample in samples(name, dtype, FIRST)]
        for parts in traced(some):
            traces |= {one.sample.name: one.ops for one in parts}
        print(f"{number} of {len(names or opinfos())}: {name}", file=sys.stderr)
    kept = witnesses.read() if names else {}
    witnesses.write({**witnesses.choose(traces, OPSET), **kept})


if __name__ == "__main__":
    main(sys.argv[1:])
