"""Export a function over flat tensors to a `Graph` of ATen nodes.

The function is Dynamo's graph (`dynamo_graph.py`) or one call of a module (`direct.py`). AOT export
traces it with fake tensors and makes it functional; a light decomposition (`decompositions.py`)
keeps the ops that engines have good kernels for (linear, convolution, norms, attention,
activations, upsampling, embedding) and breaks up the rest. A shape that depends on data is refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch._functorch.aot_autograd import aot_export_module
from torch.export.exported_program import _override_composite_implicit_decomp

from sdbackends.capture.decompositions import tables
from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, TorchConstant, Value
from sdbackends.errors import CaptureError
from sdbackends.utils.error_text import in_words

#: Checks that hold by construction once the shapes are fixed.
_DROPPED = frozenset({"aten._assert_tensor_metadata.default", "aten._assert_scalar.default"})
#: The steps of a path to a submodule: of `L['module']._modules['mid_block'].resnets` two.
_STEP = re.compile(r"\[['\"]?([^'\"\]]+)['\"]?\]|\.(\w+)")
_STORES = frozenset({"__dict__", "_modules", "_parameters", "_buffers"})


@dataclass(frozen=True)
class Argument:
    """One flat tensor argument of the function.

    Attributes:
        role: "weight" for parameters and buffers, which stay from call to call; "input" for the
            rest.
        name: for a weight, its path in the model, as in `state_dict()`.
    """

    role: Literal["weight", "input"]
    name: str = ""


@dataclass(frozen=True)
class Capture:
    """A graph, and what is needed beside it to call it.

    Attributes:
        constants: tensors that the function holds, by the graph's keys.
        mutated: positions of the flat arguments that the function changes in place. The graph gives
            their new values as its first outputs, in this order.
    """

    graph: Graph
    constants: Mapping[str, torch.Tensor]
    mutated: tuple[int, ...] = ()


def export(
    function: torch.nn.Module, fakes: Sequence[torch.Tensor], arguments: Sequence[Argument]
) -> Capture:
    """Export `function(*fakes)`, which returns a tuple of tensors, numbers and None.

    Args:
        fakes: fake tensors (of one `FakeTensorMode`) in the place of the arguments.
        arguments: what each of them is.

    Raises:
        CaptureError: it cannot be exported; the message says what stood in the way.
    """
    try:
        with _tracing(fakes):
            composite, python = tables()
            with _override_composite_implicit_decomp(composite):
                traced, signature = aot_export_module(
                    function, tuple(fakes), trace_joint=False, decompositions=python
                )
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            "the call cannot be captured",
            why=in_words(error),
            fix="the model runs on eager torch instead; SD_LOG=debug shows the whole reason",
        ) from error
    assert isinstance(traced, torch.fx.GraphModule)
    held = [*signature.parameters, *signature.buffers]
    if held:
        raise CaptureError("the call cannot be captured", why=f"it holds {held[0]} itself")
    positions = {name: at for at, name in enumerate(signature.user_inputs)}
    mutated = tuple(positions[name] for name in signature.user_inputs_to_mutate.values())
    return _Converter(traced, arguments).convert(mutated)


def path_of(source: str) -> str:
    """The path of a submodule or weight in its model, from Dynamo's name of it.

    `L['module'].__dict__['_modules']['mid_block']._parameters['bias']` is `mid_block.bias`.
    """
    steps = [a or b for a, b in _STEP.findall(source)]
    return ".".join(step for step in steps[1:] if step not in _STORES)


@contextmanager
def _tracing(fakes: Sequence[torch.Tensor]) -> Iterator[None]:
    modes = [fake.fake_mode for fake in fakes if isinstance(fake, torch._subclasses.FakeTensor)]
    with (
        torch.no_grad(),
        # Tensors of inference mode cannot be traced in it: they have no version.
        torch.inference_mode(False),
        torch.fx.traceback.preserve_node_meta(),
        modes[0] if modes else torch._subclasses.FakeTensorMode(),
        quiet(),
    ):
        yield


class _Converter:
    """Turns the traced ATen graph into a `Graph`."""

    def __init__(self, traced: torch.fx.GraphModule, arguments: Sequence[Argument]) -> None:
        self.traced = traced
        self.arguments = arguments
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.weights: list[Value] = []
        self.constants: list[Value] = []
        self.contents: dict[str, torch.Tensor] = {}

    def convert(self, mutated: tuple[int, ...]) -> Capture:
        env: dict[torch.fx.Node, Any] = {}
        given = iter(self.arguments)
        outputs: list[Any] = []
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node, next(given), env)
            elif node.op == "get_attr":
                env[node] = self._constant(node)
            elif node.op == "call_function":
                self._call(node, env)
            elif node.op == "output":
                outputs = [_argument(a, env) for a in node.args[0]]
        graph = Graph(
            inputs=tuple(self.inputs),
            weights=tuple(self.weights),
            constants=tuple(self.constants),
            nodes=tuple(_live(self.nodes, outputs)),
            outputs=tuple(outputs),
        )
        return Capture(graph, self.contents, mutated)

    def _placeholder(
        self, node: torch.fx.Node, argument: Argument, env: dict[torch.fx.Node, Any]
    ) -> None:
        env[node] = Ref(node.name)
        spec = _spec(node.meta["val"])
        if argument.role == "weight":
            taken = {weight.key for weight in self.weights}
            key = argument.name or node.name
            key = key if key not in taken else f"{key}#{len(taken)}"
            self.weights.append(Value(node.name, key, spec))
        else:
            self.inputs.append(Value(node.name, str(len(self.inputs)), spec))

    def _constant(self, node: torch.fx.Node) -> Any:
        held: Any = self.traced
        for name in str(node.target).split("."):
            held = getattr(held, name)
        if not isinstance(held, torch.Tensor):
            raise CaptureError(
                "the call cannot be captured",
                where=_site(node),
                why=f"it uses {node.target}, which has no plain ATen form",
                fix="the model runs on eager torch instead",
            )
        key = str(node.target)
        self.constants.append(Value(node.name, key, _spec(held)))
        self.contents[key] = held.detach()
        return Ref(node.name)

    def _call(self, node: torch.fx.Node, env: dict[Any, Any]) -> None:
        target = node.target
        if isinstance(target, torch._ops.HigherOrderOperator):
            raise CaptureError(
                "the call cannot be captured",
                where=_site(node),
                why=f"it uses {target}, which has no plain ATen form",
                fix="the model runs on eager torch instead",
            )
        op = "getitem" if target is operator.getitem else str(target)
        if op in _DROPPED:
            return
        args = tuple(_argument(a, env) for a in node.args)
        value = node.meta.get("val")
        several = isinstance(value, (list, tuple))
        values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
        results = tuple(_spec(v) if isinstance(v, torch.Tensor) else None for v in values)
        kwargs = {k: _argument(v, env) for k, v in node.kwargs.items()}
        self.nodes.append(Node(node.name, op, args, kwargs, results, several, _site(node)))
        env[node] = Ref(node.name)


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
        return TorchConstant("dtype", str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return TorchConstant("device", str(value))
    if isinstance(value, torch.layout):
        return TorchConstant("layout", str(value).removeprefix("torch."))
    if isinstance(value, torch.memory_format):
        return TorchConstant("memory_format", str(value).removeprefix("torch."))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CaptureError(
        "the call cannot be captured",
        why=f"an op takes {value!r}, a {type(value).__name__}: its shape depends on data",
        fix="the model runs on eager torch instead",
    )


def _spec(tensor: torch.Tensor) -> TensorSpec:
    shape = tuple(tensor.shape)
    if not all(type(size) is int for size in shape):
        raise CaptureError(
            "the call cannot be captured",
            why=f"the shape {shape} depends on data",
            fix="the model runs on eager torch instead",
        )
    return TensorSpec(shape, str(tensor.dtype).removeprefix("torch."))


def _site(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return path_of(str(list(stack.values())[-1][0])) if stack else ""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep PyTorch's own advice to developers off the user's screen while it traces."""
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
