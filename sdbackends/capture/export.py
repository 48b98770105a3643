"""A call of a torch module in, a `Graph` of ATen nodes out.

`torch.export(strict=False)` traces the call; a light decomposition then keeps the ops that engines
have good kernels for (linear, convolution, norms, attention, activations, upsampling, embedding)
and breaks up the rest. What no engine could repeat is refused here: a model that changes its own
buffers or its arguments, a shape that depends on data, loops that unroll into too many operations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from sdbackends.capture.effects import watched
from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, Value, Word
from sdbackends.capture.unrolling import Bounded
from sdbackends.errors import CaptureError

_aten = torch.ops.aten
#: Ops that stay whole: every engine runs them better in one piece.
KEPT_WHOLE = (
    _aten.scaled_dot_product_attention.default,
    _aten.group_norm.default,
    _aten.layer_norm.default,
    _aten.silu.default,
    _aten.gelu.default,
    _aten.softmax.int,
    _aten.linear.default,
    _aten.conv2d.default,
    _aten.upsample_nearest2d.vec,
    _aten.addmm.default,
    _aten.embedding.default,
)
#: Checks that hold by construction once the shapes are fixed.
_DROPPED = frozenset({"aten._assert_tensor_metadata.default", "aten._assert_scalar.default"})


@dataclass(frozen=True)
class Capture:
    """A graph with what it needs to be called like the module.

    Attributes:
        constants: tensors that the model made while it was captured, by the graph's keys.
        out_spec: how the flattened outputs become the call's result again.
    """

    graph: Graph
    constants: Mapping[str, torch.Tensor]
    out_spec: pytree.TreeSpec

    def result(self, tensors: list[torch.Tensor]) -> Any:
        """The call's own result (a ModelOutput, a tuple, …) from one tensor for every `Ref`."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(o, Ref) else o for o in self.graph.outputs]
        return pytree.tree_unflatten(leaves, self.out_spec)


class _Call(torch.nn.Module):
    """`export` wants a module; `call` may be any method of the model."""

    def __init__(self, model: torch.nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self._held = (call,)  # in a tuple: a module here would be registered a second time

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._held[0](*args, **kwargs)


def capture(
    module: torch.nn.Module,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    call: Callable[..., Any] | None = None,
) -> Capture:
    """Capture `call(*args, **kwargs)` (default: the module's own `forward`).

    Tensors among the arguments become the graph's inputs in the order of
    `torch.utils._pytree.tree_flatten((args, kwargs))` with the keywords sorted; everything else is
    burnt in. Weights are named as in `module.state_dict()`.

    Raises:
        CaptureError: the call cannot be captured; the message says what stood in the way.
    """
    own = call or module.forward
    left_behind: list[str] = []

    def observed(*args: Any, **kwargs: Any) -> Any:
        # Inside: `export` itself puts some of it back.
        with watched(module) as changed, Bounded(type(module).__name__):
            result = own(*args, **kwargs)
        left_behind.extend(changed)
        return result

    wrapper = _Call(module, observed)
    wrapper.training = module.training  # train() would walk into the model and change it
    keywords = dict(sorted((kwargs or {}).items()))
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(wrapper, args, keywords, strict=False)
            program = program.run_decompositions(_decompositions())
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            f"{type(module).__name__} cannot be captured",
            why=f"{type(error).__name__}: {_first_line(error)}",
            mend="the model runs on eager torch instead; SD_LOG=debug shows the whole reason",
        ) from error
    if left_behind:
        raise CaptureError(
            f"{type(module).__name__} cannot be captured",
            why=f"the call leaves something behind in the model: {', '.join(left_behind[:3])}",
            mend="the model runs on eager torch instead",
        )
    return _Converter(module, program).convert()


def weights_of(module: torch.nn.Module, graph: Graph) -> dict[str, torch.Tensor]:
    """The live parameters and buffers that the graph names."""
    found: dict[str, torch.Tensor] = {}
    for value in graph.weights:
        owner, _, name = value.key.rpartition(".")
        tensor = getattr(module.get_submodule(owner), name)
        assert isinstance(tensor, torch.Tensor)
        found[value.key] = tensor
    return found


def _decompositions() -> Any:
    table = torch.export.default_decompositions()
    for op in KEPT_WHOLE:
        if op in table:
            del table[op]
    return table


class _Converter:
    """Turns one `ExportedProgram` into a `Graph`."""

    def __init__(self, module: torch.nn.Module, program: torch.export.ExportedProgram) -> None:
        self.module = module
        self.program = program
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.weights: list[Value] = []
        self.constants: list[Value] = []
        self.contents: dict[str, torch.Tensor] = {}

    def convert(self) -> Capture:
        self._refuse_effects()
        env: dict[torch.fx.Node, Any] = {}
        self._placeholders(env)
        outputs = self._body(self.program.graph_module, env, "")
        graph = Graph(
            inputs=tuple(self.inputs),
            weights=tuple(self.weights),
            constants=tuple(self.constants),
            nodes=tuple(_live(self.nodes, outputs)),
            outputs=tuple(outputs),
        )
        out_spec = self.program.call_spec.out_spec
        assert out_spec is not None
        return Capture(graph, self.contents, out_spec)

    def _refuse_effects(self) -> None:
        for spec in self.program.graph_signature.output_specs:
            if spec.kind is not OutputKind.USER_OUTPUT:
                raise CaptureError(
                    f"{type(self.module).__name__} cannot be captured",
                    why=f"the call changes {spec.target} in place",
                    mend="the model runs on eager torch instead",
                )

    def _placeholders(self, env: dict[torch.fx.Node, Any]) -> None:
        nodes = [n for n in self.program.graph.nodes if n.op == "placeholder"]
        for node, spec in zip(nodes, self.program.graph_signature.input_specs, strict=True):
            result = node.meta.get("val")
            if spec.kind is InputKind.USER_INPUT:
                if isinstance(result, torch.Tensor):
                    key = str(len(self.inputs))
                    self.inputs.append(Value(node.name, key, _spec(result)))
                    env[node] = Ref(node.name)
                else:
                    env[node] = result
                continue
            assert isinstance(result, torch.Tensor) and spec.target is not None
            env[node] = Ref(node.name)
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
                key = spec.target.removeprefix("model.")
                self.weights.append(Value(node.name, key, _spec(result)))
            else:
                self.constants.append(Value(node.name, spec.target, _spec(result)))
                self.contents[spec.target] = self.program.constants[spec.target].detach()

    def _body(self, graph: torch.fx.GraphModule, env: dict[Any, Any], prefix: str) -> list[Any]:
        """Append the nodes of `graph`; returns its outputs. Used again for inlined subgraphs."""
        for node in graph.graph.nodes:
            if node.op == "get_attr":
                env[node] = getattr(graph, str(node.target))
            elif node.op == "call_function":
                self._call(node, env, prefix)
            elif node.op == "output":
                return [_argument(a, env) for a in node.args[0]]
        raise AssertionError("a graph without an output node")

    def _call(self, node: torch.fx.Node, env: dict[Any, Any], prefix: str) -> None:
        name = f"{prefix}{node.name}"
        target = node.target
        if isinstance(target, torch._ops.HigherOrderOperator):
            env[node] = self._inline(node, env, f"{name}_")
            return
        op = "getitem" if target is operator.getitem else str(target)
        if op in _DROPPED:
            return
        args = tuple(_argument(a, env) for a in node.args)
        if op == "getitem" and not isinstance(args[0], Ref):
            env[node] = args[0][args[1]]  # one result of an inlined subgraph
            return
        value = node.meta.get("val")
        several = isinstance(value, (list, tuple))
        values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
        results = tuple(_spec(v) if isinstance(v, torch.Tensor) else None for v in values)
        kwargs = {k: _argument(v, env) for k, v in node.kwargs.items()}
        self.nodes.append(Node(name, op, args, kwargs, results, several, _site(node)))
        env[node] = Ref(name)

    def _inline(self, node: torch.fx.Node, env: dict[Any, Any], prefix: str) -> list[Any]:
        """A `with torch.no_grad()` or `autocast(enabled=False)` inside the model, flattened."""
        name = str(node.target)
        graphs = [
            i for i, a in enumerate(node.args) if isinstance(env.get(a), torch.fx.GraphModule)
        ]
        autocast_on = name == "wrap_with_autocast" and bool(node.args[2])
        if name not in ("wrap_with_autocast", "wrap_with_set_grad_enabled") or autocast_on:
            raise CaptureError(
                f"{type(self.module).__name__} cannot be captured",
                where=_site(node),
                why=f"it uses {name}, which has no plain ATen form",
                mend="the model runs on eager torch instead",
            )
        (at,) = graphs
        body = env[node.args[at]]
        inner = dict(env)
        placeholders = [n for n in body.graph.nodes if n.op == "placeholder"]
        for placeholder, given in zip(placeholders, node.args[at + 1 :], strict=True):
            inner[placeholder] = _argument(given, env)
        return self._body(body, inner, prefix)


def _live(nodes: list[Node], outputs: list[Any]) -> Iterator[Node]:
    """The nodes that some output needs, in order."""
    needed = {o.name for o in outputs if isinstance(o, Ref)}
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.refs())
            kept.append(node)
    return reversed(kept)


def _argument(value: Any, env: Mapping[Any, Any]) -> Any:
    if isinstance(value, torch.fx.Node):
        return env[value]
    if isinstance(value, (list, tuple)):
        return tuple(_argument(v, env) for v in value)
    if isinstance(value, torch.dtype):
        return Word("dtype", str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return Word("device", str(value))
    if isinstance(value, torch.layout):
        return Word("layout", str(value).removeprefix("torch."))
    if isinstance(value, torch.memory_format):
        return Word("memory_format", str(value).removeprefix("torch."))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CaptureError(
        "a call cannot be captured",
        why=f"an op takes {value!r}, a {type(value).__name__}: its shape depends on data",
        mend="the model runs on eager torch instead",
    )


def _spec(tensor: torch.Tensor) -> TensorSpec:
    shape = tuple(tensor.shape)
    if not all(type(size) is int for size in shape):
        raise CaptureError(
            "a call cannot be captured",
            why=f"the shape {shape} depends on data",
            mend="the model runs on eager torch instead",
        )
    return TensorSpec(shape, str(tensor.dtype).removeprefix("torch."))


def _site(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path = str(list(stack.values())[-1][0])
    for prefix in ("L['self'].", "model."):
        path = path.removeprefix(prefix)
    return "" if path == "model" else path


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch.export's own advice to developers off the user's screen."""
    import logging
    import warnings

    logger = logging.getLogger("torch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
