"""The captured graph: plain data that every engine reads and that is saved without pickle.

A `Graph` holds the nodes of one model call in order: ATen overload names, arguments, the shape and
dtype of every result and the place in the model where the call stands. Weights are named, not
held: a program gets them when it is built. This module imports no framework, so that an engine in
another interpreter (the OneFlow worker) can read the same file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: Raised whenever the JSON below changes shape; an older file is then rebuilt, not read.
FORMAT = 2


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor; `dtype` is torch's name without the prefix: "float32"."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Ref:
    """An argument that is another value of the graph: an input, a weight, a constant, a node."""

    name: str


@dataclass(frozen=True)
class TorchConstant:
    """An argument that is one of torch's own words: a dtype, device, layout or memory format.

    `kind` is "dtype", "device", "layout" or "memory_format"; `name` has no "torch." prefix.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class Value:
    """A tensor that comes from outside: `name` in the graph, and what it is called outside.

    For a weight, `key` is its name in `module.state_dict()` (or a buffer's path); for an input,
    the position among the flattened tensor inputs, as text; for a constant, its name.
    """

    name: str
    key: str
    spec: TensorSpec


@dataclass(frozen=True)
class Node:
    """One ATen call.

    `op` is the overload's full name ("aten.conv2d.default"), or "getitem" to take one result of
    a node with several. `results` holds one spec per result tensor (None for a result that is no
    tensor); `several` is True when the op returns a list or tuple. `site` is the path of the
    submodule that made the call ("down_blocks.0.resnets.1.conv1").
    """

    name: str
    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[TensorSpec | None, ...]
    several: bool
    site: str

    def refs(self) -> Iterator[str]:
        """Names of the values that this node reads."""
        yield from _refs(self.args)
        yield from _refs(tuple(self.kwargs.values()))


@dataclass(frozen=True)
class Graph:
    """One model call as a list of nodes.

    `outputs` are the flattened results of the call: a `Ref`, or a plain value (None, a number)
    that the call returns as it is. `constants` are tensors that the model made while it was
    captured; their contents travel beside the graph (see `export.Capture.constants`).
    """

    inputs: tuple[Value, ...]
    weights: tuple[Value, ...]
    constants: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Any, ...]
    _hash: list[str] = field(default_factory=list, repr=False, compare=False)

    def users(self) -> dict[str, list[Node]]:
        """For every value, the nodes that read it, in order (each once)."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.refs()):
                users.setdefault(name, []).append(node)
        return users

    def specs(self) -> dict[str, TensorSpec | None]:
        """Shape and dtype of every value that is one tensor; None: it is none, or several."""
        values = (*self.inputs, *self.weights, *self.constants)
        specs: dict[str, TensorSpec | None] = {value.name: value.spec for value in values}
        for node in self.nodes:
            specs[node.name] = None if node.several else node.results[0]
        return specs

    def output_specs(self) -> list[TensorSpec]:
        """Shape and dtype of each output that is a `Ref`, in order."""
        specs = self.specs()
        found = [specs[output.name] for output in self.outputs if isinstance(output, Ref)]
        return [spec for spec in found if spec is not None]

    def hash(self) -> str:
        """SHA-256 of the JSON form: equal graphs, equal hash, on every machine."""
        if not self._hash:
            self._hash.append(hashlib.sha256(self.to_json().encode()).hexdigest())
        return self._hash[0]

    def to_json(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "inputs": [_value_out(v) for v in self.inputs],
                "weights": [_value_out(v) for v in self.weights],
                "constants": [_value_out(v) for v in self.constants],
                "nodes": [
                    {
                        "name": n.name,
                        "op": n.op,
                        "args": [_out(a) for a in n.args],
                        "kwargs": {k: _out(v) for k, v in n.kwargs.items()},
                        "results": [
                            None if r is None else [list(r.shape), r.dtype] for r in n.results
                        ],
                        "several": n.several,
                        "site": n.site,
                    }
                    for n in self.nodes
                ],
                "outputs": [_out(o) for o in self.outputs],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that `to_json` wrote.

        Raises:
            ValueError: not such a file, or of another format number.
        """
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"not a graph of format {FORMAT}")
        try:
            return cls(
                inputs=tuple(_value_in(v) for v in data["inputs"]),
                weights=tuple(_value_in(v) for v in data["weights"]),
                constants=tuple(_value_in(v) for v in data["constants"]),
                nodes=tuple(_node_in(n) for n in data["nodes"]),
                outputs=tuple(_in(o) for o in data["outputs"]),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"a graph with a part missing: {error!r}") from error


def _refs(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, Ref):
            yield value.name
        elif isinstance(value, (list, tuple)):
            yield from _refs(value)


def _value_out(value: Value) -> list[Any]:
    return [value.name, value.key, list(value.spec.shape), value.spec.dtype]


def _value_in(item: list[Any]) -> Value:
    name, key, shape, dtype = item
    return Value(name, key, TensorSpec(tuple(shape), dtype))


def _node_in(item: dict[str, Any]) -> Node:
    return Node(
        name=item["name"],
        op=item["op"],
        args=tuple(_in(a) for a in item["args"]),
        kwargs={k: _in(v) for k, v in item["kwargs"].items()},
        results=tuple(
            None if r is None else TensorSpec(tuple(r[0]), r[1]) for r in item["results"]
        ),
        several=item["several"],
        site=item["site"],
    )


def _out(value: Any) -> Any:
    """A plain JSON value; the few kinds that JSON lacks become one-key objects."""
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, TorchConstant):
        return {value.kind: value.name}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"float": str(value)}
    if isinstance(value, (list, tuple)):
        return [_out(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r} ({type(value).__name__}) has no place in a captured graph")


def _in(value: Any) -> Any:
    if isinstance(value, dict):
        ((kind, name),) = value.items()
        if kind == "ref":
            return Ref(name)
        return float(name) if kind == "float" else TorchConstant(kind, name)
    return tuple(_in(v) for v in value) if isinstance(value, list) else value
