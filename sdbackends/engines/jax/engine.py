"""The JAX engine: a captured graph becomes one XLA program over torch's own memory.

`build` translates the graph, binds the weights (shared where JAX can read them, see weights.py),
compiles at once and gives a program that takes and returns torch tensors. Weights are arguments of
the compiled function, never constants in it: they may change without a new compilation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import jax
import jaxlib.version
import torch

from sdbackends.capture.graph import Graph, Value
from sdbackends.engines.base import EngineContext, GraphEngine, MissingOp, Program
from sdbackends.engines.jax import at_exit, compile_cache
from sdbackends.engines.jax.device import choose
from sdbackends.engines.jax.dlpack import to_jax, to_torch
from sdbackends.engines.jax.interpreter import DTYPES, JaxInterpreter, unsupported
from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.options import JaxOptions, platform_of, widest_head_of
from sdbackends.engines.jax.streams import carried_by_dlpack, ordered_by, wait_for_torch
from sdbackends.engines.jax.weights import JaxWeightStore, Order, Weight, copies_in, orders
from sdbackends.engines.weight_copies import Copies
from sdbackends.errors import BuildError, RunError, SdError
from sdbackends.utils import fork_safety, undoing
from sdbackends.utils.error_text import in_all_words

Tensors = Mapping[str, torch.Tensor]


class JaxEngine(GraphEngine):
    """Runs graphs on JAX's CPU, GPU or TPU."""

    name = "jax"

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        self.device = choose(context.device)
        self.choices = JaxOptions.from_options(
            context.options, platform_of(self.device), widest_head_of(self.device)
        )
        self._store = JaxWeightStore(self.device)
        self._programs: WeakSet[JaxProgram] = WeakSet()
        at_exit.keep(self.arrays)

    def version(self) -> str:
        return f"jax {jax.__version__}, jaxlib {jaxlib.version.__version__}"

    def unsupported(self, graph: Graph) -> tuple[MissingOp, ...]:
        return unsupported(graph)

    def build(self, graph: Graph, weights: Tensors, constants: Tensors) -> Program:
        order = orders(graph, self.choices)
        # XLA tries kernels out in memory that torch may have let go of and still be reading.
        wait_for_torch(self.device)
        tensors = [weights[value.key] for value in graph.weights]
        try:
            bound = self._store.bind(tensors, order)
            fixed = [to_jax(constants[value.key], self.device) for value in graph.constants]
            compiled = self._compile(JaxInterpreter(graph, self.choices, order), bound, fixed)
        except SdError:
            raise
        except Exception as error:
            raise BuildError(
                "XLA refused the program",
                where=f"{len(graph.nodes)} nodes on {self.device}",
                why=in_all_words(error),
                fix="the model runs on eager torch instead",
            ) from error
        program = JaxProgram(graph, compiled, self._store, order, bound, fixed)
        self._programs.add(program)
        return program

    def close(self) -> None:
        """The programs end, and the copies of weights with them."""
        undoing.run_all([("a program of jax", program.close) for program in self._programs])

    def arrays(self) -> list[Array]:
        """All that the programs hold."""
        return [array for program in self._programs for array in program.arrays()]

    def _compile(
        self, function: JaxInterpreter, weights: Sequence[Weight], constants: Sequence[Array]
    ) -> compile_cache.Compiled:
        place = jax.sharding.SingleDeviceSharding(self.device)
        specify: Any = jax.ShapeDtypeStruct  # untyped in jax

        def like(array: Array) -> Any:
            return specify(array.shape, array.dtype, sharding=place)

        def given(value: Value) -> Any:
            return specify(value.spec.shape, DTYPES[value.spec.dtype], sharding=place)

        def run(*arguments: list[Array]) -> list[Array]:
            return function(*arguments)

        lowered = jax.jit(run, keep_unused=True).lower(
            [like(weight.array) for weight in weights],
            [like(constant) for constant in constants],
            [given(value) for value in function.graph.inputs],
        )
        return compile_cache.compile(lowered, self._folder(function))

    def _folder(self, function: JaxInterpreter) -> Path | None:
        if self.context.cache_dir is None:
            return None
        parts = (self.version(), self.choices, self.device.device_kind, function.orders)
        name = compile_cache.folder_name(function.graph.hash(), *parts)
        return self.context.cache_dir / "xla" / name


class JaxProgram(Program):
    """One compiled graph with its weights."""

    _weights: list[Weight]
    _arrays: list[Array]
    _copies: Copies

    def __init__(
        self,
        graph: Graph,
        compiled: compile_cache.Compiled,
        store: JaxWeightStore,
        orders: list[Order],
        weights: list[Weight],
        constants: list[Array],
    ) -> None:
        self.from_cache = compiled.from_cache
        self._graph = graph
        self._run: Any = compiled.run
        self._store = store
        self._orders = orders
        self._lock = fork_safety.reentrant_lock()
        self._take(weights)
        self._constants = constants
        #: Those of the last call: XLA lets go of them in a thread of its own, when it comes to it.
        self._inputs: list[Array] = []
        # What torch would return: 64-bit outputs become that again at the end.
        self._dtypes = [getattr(torch, spec.dtype) for spec in graph.output_specs()]
        self._ordered = carried_by_dlpack(store.device)
        #: Which int64 inputs were looked at: ids and steps of a later call are of the same kind.
        self._in_range: set[int] = set()

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        run = self._run
        if run is None:
            raise RunError(
                "this program was closed",
                why="its engine was switched off",
                fix="build it again",
            )
        with self._lock:
            if self._copies.renew():
                self._arrays = [weight.array for weight in self._weights]
            weights = self._arrays
        device = inputs[0].device if inputs else torch.device("cpu")
        ordered = self._ordered and ordered_by(inputs, self._store.device)
        if not ordered:
            wait_for_torch(self._store.device)
        arrays = [self._array(place, tensor) for place, tensor in enumerate(inputs)]
        try:
            results = run(weights, self._constants, arrays)
            if not ordered:
                # The inputs' memory is torch's, which may write there as soon as we return.
                for result in results:
                    result.block_until_ready()
            self._inputs = arrays
            # A compiled function without donation writes every result into memory of its own.
            return [
                to_torch(array, device, dtype)
                for array, dtype in zip(results, self._dtypes, strict=True)
            ]
        except jax.errors.JaxRuntimeError as error:
            raise RunError(
                "the XLA program failed",
                where=str(self._store.device),
                why=str(error),
                fix="a smaller batch or size, or SD_BACKEND=torch",
            ) from error

    def rebind(self, weights: Tensors) -> None:
        tensors = [weights[value.key] for value in self._graph.weights]
        self._take(self._store.bind(tensors, self._orders, self._weights))

    def close(self) -> None:
        # Dynamo keeps the program for as long as the code that it traced: not the machine code too.
        self._run = None
        self._take([])
        self._constants, self._inputs = [], []

    def arrays(self) -> list[Array]:
        """Weights, constants, and the inputs of the last call."""
        return [*self._arrays, *self._constants, *self._inputs]

    def _array(self, place: int, tensor: torch.Tensor) -> Array:
        array = to_jax(tensor, self._store.device, in_range=place in self._in_range)
        if tensor.is_cuda:  # on a CPU looking costs nothing, and is done at each call
            self._in_range.add(place)
        return array

    def _take(self, weights: list[Weight]) -> None:
        with self._lock:
            self._weights = weights
            self._arrays = [weight.array for weight in weights]
            self._copies = copies_in(weights)
