"""Find the ops of a graph that OpenVINO does not run, or not with these arguments."""

from __future__ import annotations

from collections.abc import Mapping

from sdbackends.capture.graph import Graph, Node, TensorSpec
from sdbackends.capture.opset import OPSET
from sdbackends.engines.base import MissingOp
from sdbackends.engines.lowering.table import Lowering, LoweringTable
from sdbackends.engines.missing_ops import missing_ops
from sdbackends.engines.openvino.dtypes import DTYPES
from sdbackends.engines.openvino.gaps import GAPS
from sdbackends.engines.openvino.limits import CONDITIONS
from sdbackends.engines.openvino.rewrites import REWRITES, unchanged

LOWERINGS: LoweringTable[Lowering] = LoweringTable()
for _op in sorted(OPSET - GAPS):
    LOWERINGS.add([_op], Lowering(REWRITES.get(_op, unchanged(_op)), CONDITIONS.get(_op)))


def unsupported(graph: Graph) -> tuple[MissingOp, ...]:
    """Return every op that has no rule for its arguments or dtypes, with all its sites."""
    specs = graph.specs()
    return missing_ops(graph, lambda node: _lack(node, specs))


def _lack(node: Node, specs: Mapping[str, TensorSpec | None]) -> str | None:
    takes = [spec for name in node.refs() if (spec := specs[name]) is not None]
    tensors = [*takes, *(spec for spec in node.results if spec is not None)]
    foreign = {spec.dtype for spec in tensors} - DTYPES.keys()
    if foreign:
        return f"{node.op} ({', '.join(sorted(foreign))})"
    return LOWERINGS.refusal(node, specs)
