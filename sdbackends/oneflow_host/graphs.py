"""The UNet (or diffusion transformer) of a pipeline as an nn.Graph; everything else stays eager.

One graph for each signature of a call, the most recent ones kept. The first call of a signature
runs eagerly: it shows what comes out, and how much memory a graph would take, which on a CPU
reuses no activation's memory. What does not fit runs eagerly, and that is said.
"""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import oneflow as flow

from sdbackends import log
from sdbackends.engines.oneflow.host_options import OneflowHostOptions
from sdbackends.host.patches import Patches
from sdbackends.oneflow_host import activations
from sdbackends.oneflow_host.pytree import Plan, put_together, take_apart

_nn_call = flow.nn.Module.__call__
_NAMES = ("UNet", "Transformer")


@dataclass
class _Entry:
    """One signature: its graph, once there is one; the plan of the results; or why eager."""

    module: Any
    outputs: Plan | None = None
    graph: Any = None
    eager: bool = False


class GraphRouter:
    """Stands before the calls of diffusers' models, and keeps the graphs."""

    def __init__(self, options: OneflowHostOptions) -> None:
        self._limit = options.graph_memory_limit
        self._kept = options.graphs
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()
        self._inside = False

    def stand_before(self, base: Any, patches: Patches) -> None:
        def routed(module: Any, *args: Any, **kwargs: Any) -> Any:
            return self.call(module, args, kwargs)

        patches.set(base, "__call__", routed)

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of a model: its graph, where it has one, else eager."""
        if self._inside or not _is_for_graphs(module):
            return _nn_call(module, *args, **kwargs)
        tensors: list[Any] = []
        plan = take_apart((args, kwargs), tensors)
        key = _signature(module, plan, tensors)
        if key is None:
            return _nn_call(module, *args, **kwargs)
        self._inside = True
        try:
            return self._run(self._entry(key, module), plan, tensors, args, kwargs)
        finally:
            self._inside = False

    def close(self) -> None:
        self._entries.clear()

    def _entry(self, key: Any, module: Any) -> _Entry:
        entry = self._entries.setdefault(key, _Entry(module))
        self._entries.move_to_end(key)
        while len(self._entries) > self._kept:
            self._entries.popitem(last=False)
        return entry

    def _run(self, entry: _Entry, plan: Plan, tensors: list[Any], args: Any, kwargs: Any) -> Any:
        if entry.outputs is None:
            return self._first(entry, args, kwargs)
        if entry.eager:
            return _nn_call(entry.module, *args, **kwargs)
        # A strided input would be overwritten by the graph, and the picture be wrong in silence.
        given = [tensor.contiguous() for tensor in tensors]
        if entry.graph is None:
            graph = _graph(entry.module, plan)
            with warnings.catch_warnings():
                # "Interpolate() is called in a nn.Graph, but not registered": it has no weights.
                warnings.simplefilter("ignore", UserWarning)
                results = graph(*given)
            entry.graph = graph
            log.note(f"{type(entry.module).__name__}: running as an nn.Graph")
        else:
            results = entry.graph(*given)
        # The graph has two sets of outputs and takes turns; a scheduler keeps four.
        return put_together(entry.outputs, [result.clone() for result in results])

    def _first(self, entry: _Entry, args: Any, kwargs: Any) -> Any:
        with activations.counted(entry.module) as counted:
            result = _nn_call(entry.module, *args, **kwargs)
        leaves: list[Any] = []
        entry.outputs = take_apart(result, leaves)
        limit = activations.limit(self._limit)
        if not flow.cuda.is_available() and counted.bytes > limit:
            entry.eager = True
            log.warn_once(
                ("memory", type(entry.module), counted.bytes),
                f"{type(entry.module).__name__} runs eagerly: its nn.Graph would take about "
                f"{counted.bytes / 1e9:.1f} GB, and the limit is {limit / 1e9:.1f} GB "
                "(options.graph_memory_limit in oneflow-host.yaml)",
            )
        return result


def _is_for_graphs(module: Any) -> bool:
    if not any(name in type(module).__name__ for name in _NAMES) or module.training:
        return False
    return not (flow.is_grad_enabled() and any(p.requires_grad for p in module.parameters()))


def _signature(module: Any, plan: Plan, tensors: list[Any]) -> Any:
    """What a graph is good for; None for arguments that cannot be compared."""
    shapes = tuple((tuple(t.shape), t.dtype, str(t.device)) for t in tensors)
    parts = tuple((id(m), id(getattr(m, "processor", None))) for m in module.modules())
    weights = tuple((id(p), p.dtype, str(p.device)) for p in module.parameters())
    key = (id(module), plan, shapes, parts, weights)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _graph(module: Any, plan: Plan) -> Any:
    """The call as a graph of its tensors; its results are a flat tuple of tensors."""
    plain = "return_dict" in inspect.signature(module.forward).parameters

    class ModelCall(flow.nn.Graph):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def build(self, *tensors: Any) -> Any:
            args, kwargs = put_together(plan, tensors)
            if plain:
                # The graph knows no model outputs.
                kwargs = {**kwargs, "return_dict": False}
            leaves: list[Any] = []
            take_apart(self.module(*args, **kwargs), leaves)
            return tuple(leaves)

    return ModelCall()
