"""A graph engine for tests: replays a captured graph with torch's own ops, node by node.

It needs no other runtime, so it shows whether the capture itself is right, and it can be told to
misbehave (wrong, NaN, crashing, without some op) to see what the router makes of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from sdbackends.capture.graph import Graph, Ref, TorchConstant
from sdbackends.engines.base import EngineContext, GraphEngine, MissingOp, Program
from sdbackends.engines.missing_ops import missing_ops


@dataclass
class Behaviour:
    """What the engine does wrong, and what it counted."""

    missing: set[str] = field(default_factory=set)
    scale: float = 1.0
    poison: bool = False
    crash: bool = False
    builds: int = 0
    calls: int = 0
    rebinds: int = 0


class ReplayEngine(GraphEngine):
    name = "replay"

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        super().__init__(EngineContext())
        self.behaviour = behaviour or Behaviour()

    def version(self) -> str:
        return torch.__version__

    def unsupported(self, graph: Graph) -> tuple[MissingOp, ...]:
        missing = self.behaviour.missing
        return missing_ops(graph, lambda node: node.op if node.op in missing else None)

    def build(
        self,
        graph: Graph,
        weights: Mapping[str, torch.Tensor],
        constants: Mapping[str, torch.Tensor],
    ) -> Program:
        self.behaviour.builds += 1
        return _Replay(graph, dict(weights), constants, self.behaviour)


class _Replay(Program):
    def __init__(self, graph: Graph, weights: Any, constants: Any, behaviour: Behaviour) -> None:
        self.graph, self.constants, self.behaviour = graph, constants, behaviour
        self.rebind(weights)
        behaviour.rebinds = 0

    def rebind(self, weights: Mapping[str, torch.Tensor]) -> None:
        # Copies on purpose: without a rebind an edited weight would give a stale result.
        self.weights = {k: t.detach().clone() for k, t in weights.items()}
        self.behaviour.rebinds += 1

    def __call__(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        self.behaviour.calls += 1
        if self.behaviour.crash:
            raise RuntimeError("the replay engine was told to crash")
        env: dict[str, Any] = {v.name: t for v, t in zip(self.graph.inputs, inputs, strict=True)}
        env |= {v.name: self.weights[v.key] for v in self.graph.weights}
        env |= {v.name: self.constants[v.key] for v in self.graph.constants}
        for node in self.graph.nodes:
            args = [_value(a, env) for a in node.args]
            if node.op == "getitem":
                env[node.name] = args[0][args[1]]
                continue
            kwargs = {k: _value(v, env) for k, v in node.kwargs.items()}
            env[node.name] = _op(node.op)(*args, **kwargs)
        outputs = [env[o.name] for o in self.graph.outputs if isinstance(o, Ref)]
        outputs = [
            o * self.behaviour.scale if self.behaviour.scale != 1.0 else o.clone() for o in outputs
        ]
        if self.behaviour.poison:
            outputs = [
                torch.full_like(o, float("nan")) if o.is_floating_point() else o for o in outputs
            ]
        return outputs


def _op(name: str) -> Any:
    namespace, op, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), op), overload)


def _value(value: Any, env: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        return env[value.name]
    if isinstance(value, TorchConstant):
        return torch.device(value.name) if value.kind == "device" else getattr(torch, value.name)
    return [_value(v, env) for v in value] if isinstance(value, tuple) else value
