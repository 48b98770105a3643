"""Runs samples on an engine: those that its table covers, many in one program.

A program that the engine refuses is divided until the sample is found that it is refused for, so
one bad lowering costs no other sample its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis
import torch
from torch.utils import _pytree as pytree

from sdbackends.capture.graph import Graph, Ref
from sdbackends.engines.base import GraphEngine
from sdbackends.errors import SdError
from tests.conformance.known_failures import KnownFailure
from tests.conformance.opinfo import direct
from tests.conformance.opinfo.database import Sample
from tests.conformance.opinfo.judging import disagreement, repeatable
from tests.conformance.opinfo.tracing import Traced, traced

#: Samples in one program: a capture's fixed costs are shared, its graph stays small.
TOGETHER = 64


@dataclass(frozen=True)
class Outcome:
    """What became of one sample that was run; `wrong` is None where it agrees with torch."""

    sample: str
    ops: frozenset[str]
    wrong: str | None


def run(engine: GraphEngine, samples: Sequence[Sample]) -> Iterator[Outcome]:
    """The outcomes of those samples that can be captured and whose ops the engine has."""
    for start in range(0, len(samples), TOGETHER):
        for parts in traced(samples[start : start + TOGETHER]):
            covered = [one for one in parts if not engine.unsupported(one.graph)]
            yield from run_traced(engine, covered)


def unexpected(outcomes: Sequence[Outcome], known: Sequence[KnownFailure]) -> list[str]:
    """Failures that no line lists, and listed ones that pass."""
    complaints = []
    for outcome in outcomes:
        lines = [line for line in known if line.names(outcome.sample)]
        if outcome.wrong and not lines:
            ops = ", ".join(sorted(outcome.ops))
            complaints.append(f"{outcome.sample}: {outcome.wrong} ({ops})")
        elif lines and not outcome.wrong:
            complaints.append(f"{outcome.sample} passes, but {lines[0].where} lists it")
    return complaints


def complaints_of_drawn(
    engine: GraphEngine, overload: str, drawn: Sequence[Any], known: Sequence[KnownFailure]
) -> list[str]:
    """Run the calls of `overload` that the engine covers; hypothesis fails where it covers none."""
    calls = [direct.call(overload, *one, number=i) for i, one in enumerate(drawn)]
    covered = [one for one in calls if not engine.unsupported(one.graph)]
    hypothesis.assume(covered)
    return unexpected(list(run_traced(engine, covered)), known)


def run_traced(engine: GraphEngine, parts: list[Traced]) -> Iterator[Outcome]:
    """The outcomes of these parts of one capture."""
    if not parts:
        return
    try:
        results = _results(engine, parts)
    except SdError as error:
        if len(parts) == 1:
            yield from _judged(parts[0], str(error))
            return
        middle = len(parts) // 2
        yield from run_traced(engine, parts[:middle])
        yield from run_traced(engine, parts[middle:])
        return
    for one, result in zip(parts, results, strict=True):
        yield from _judged(one, disagreement(one.sample, result, _undefined(one)))


def _judged(one: Traced, wrong: str | None) -> Iterator[Outcome]:
    """The outcome, unless nobody can agree with torch because it draws random numbers."""
    if wrong is None or repeatable(one.sample):
        yield Outcome(one.sample.name, one.ops, wrong)


def _results(engine: GraphEngine, parts: list[Traced]) -> list[Any]:
    """All parts as one program, and what each of their calls would have returned."""
    graph, inputs, constants = _joined(parts)
    program = engine.build(graph, {}, constants)
    try:
        given = iter(program(inputs))
    finally:
        program.close()

    def filled(result: Any) -> Any:
        return pytree.tree_map(lambda leaf: next(given) if isinstance(leaf, Ref) else leaf, result)

    return [filled(one.result) for one in parts]


def _joined(parts: list[Traced]) -> tuple[Graph, list[torch.Tensor], dict[str, torch.Tensor]]:
    """Parts of one capture: a name stands for the same value in all of them."""
    constants = {value.key: value for one in parts for value in one.graph.constants}
    nodes = {node.name: node for one in parts for node in one.graph.nodes}
    graph = Graph(
        inputs=tuple(value for one in parts for value in one.graph.inputs),
        weights=(),
        constants=tuple(constants.values()),
        nodes=tuple(nodes.values()),
        outputs=tuple(output for one in parts for output in one.graph.outputs),
    )
    inputs = [tensor for one in parts for tensor in one.inputs]
    contents = {key: tensor for one in parts for key, tensor in one.constants.items()}
    return graph, inputs, contents


def _undefined(one: Traced) -> set[int]:
    """Places among the results that come straight from an `empty` of some kind."""
    empty = {node.name for node in one.graph.nodes if "empty" in node.op}
    leaves = pytree.tree_leaves(one.result)
    return {i for i, leaf in enumerate(leaves) if isinstance(leaf, Ref) and leaf.name in empty}
