"""The engine contract.

An `Engine` turns a model call into a callable over torch tensors on one runtime. There are two
kinds, by what they start from:

* `GraphEngine` (jax, oneflow, …) starts from the captured graph and the weights. It is asked
  first what it cannot run (`unsupported`), and answers with all of it at once.
* `ModuleEngine` (compile) compiles the graphs of torch functions that Dynamo traces, as they are.

A builder (`runtime.build.Builder`) does for an engine what its kind needs; nobody else has to know
which kind an engine is.

Neither knows diffusers. Failures are raised as `BuildError` or `RunError` (anything else is
wrapped by the router); falling back to eager is the router's work, not the engine's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from sdbackends.capture.graph import Graph

    Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class WorkerEnvironment:
    """Where an engine's worker process runs: the environment's name and its interpreter."""

    name: str
    python: Path


@dataclass(frozen=True)
class EngineContext:
    """What every engine is given: its options from the yaml, the device asked for, the cache.

    `device` is None (choose), "cpu", "cuda", "cuda:1", "tpu"; an engine that cannot serve it
    raises `BackendNotReadyError`. `cache_dir` is the engine's own folder; None: keep nothing.
    `worker` is the environment of the engine's worker process; None: it has none.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    cache_dir: Path | None = None
    worker: WorkerEnvironment | None = None


@dataclass(frozen=True)
class CallSite:
    """A place that calls an op.

    `path` is the submodule's path in the model, "" for the model itself; `takes` and `gives` are
    the shapes and dtypes of the tensors in words: "float32[2, 3], int64[2]".
    """

    path: str
    takes: str
    gives: str


@dataclass(frozen=True)
class MissingOp:
    """An op that the engine cannot run, with every place that calls it (`engines.missing_ops`).

    `place` is the file where a lowering of it goes, "" where none would help.
    """

    op: str
    sites: tuple[CallSite, ...]
    place: str = ""


class Program(ABC):
    """A built model call."""

    #: True when a compiled artifact was read from the cache directory.
    from_cache: bool = False

    @property
    def how(self) -> str:
        """In which of its ways the engine runs this graph, and why; "" where it has only one."""
        return ""

    @abstractmethod
    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Run. `inputs`: the flattened tensor inputs in capture order.

        Returns one new tensor for each output of the graph that is a `Ref`, with the recorded
        dtype, on the device of the inputs. The caller may write into them.
        """

    @abstractmethod
    def rebind(self, weights: Tensors) -> None:
        """Take these weights (same names, shapes, dtypes) from the next call on.

        Called before a call whenever a weight is another tensor than before, or its `data_ptr`,
        its strides or its version are others. What leaves none of these traces (an edit through
        `.data` or through a NumPy view) the program finds by itself, see `GraphEngine.build`.
        """

    def close(self) -> None:  # noqa: B027  (most programs hold nothing that must be given back)
        """Give back what the program holds outside Python's own memory."""


class ProgramBuilder(Protocol):
    """What builds a program for each kind of engine, of one graph that Dynamo traced."""

    def from_capture(
        self, engine: GraphEngine, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram: ...

    def from_dynamo(
        self, engine: ModuleEngine, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram: ...


@dataclass(frozen=True)
class BuiltProgram:
    """A callable with the arguments and results of Dynamo's graph, and how it came about.

    `capture_seconds` is the part of the build that the capture took; `how` is for the one line that
    is said about it.
    """

    call: Callable[..., Any]
    capture_seconds: float
    how: str


class Engine(ABC):
    """What both kinds of engines are asked.

    Attributes:
        survives_fork: a child of this process can call what was built before it was forked. A
            runtime with threads of its own would hang there: the child's models run on eager torch.
        any_shape: one program serves every shape of its inputs.
        symbolic_floats: a float among the arguments stays an argument of the program; else each
            value is a program of its own.
    """

    name: str
    survives_fork: bool = False
    any_shape: bool = False
    symbolic_floats: bool = False

    def __init__(self, context: EngineContext) -> None:
        self.context = context

    @abstractmethod
    def version(self) -> str:
        """Version of the runtime, as it goes into cache keys."""

    @abstractmethod
    def build_with(
        self, builder: ProgramBuilder, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram:
        """Build one of Dynamo's graphs by the builder's method for this kind of engine."""

    def prepare(self, module: torch.nn.Module) -> None:  # noqa: B027
        """Change the module once, before its first call, as the options say; undone by `close`.

        Its parameters and buffers keep their storage and strides.
        """

    def close(self) -> None:  # noqa: B027
        """End programs and workers, give back copies of weights, undo what `prepare` changed."""


class GraphEngine(Engine):
    """An engine that runs captured graphs."""

    def build_with(
        self, builder: ProgramBuilder, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram:
        return builder.from_capture(self, module, inputs)

    @abstractmethod
    def unsupported(self, graph: Graph) -> tuple[MissingOp, ...]:
        """Every op of the graph that has no lowering, each once with all its call sites."""

    @abstractmethod
    def build(self, graph: Graph, weights: Tensors, constants: Tensors) -> Program:
        """The graph as a program. Names in `weights` and `constants` are the graph's `key`s.

        `weights` are the model's live parameters and buffers, and they stay the script's: an engine
        never changes their storage, strides or `data_ptr`, nor points `parameter.data` elsewhere.
        It reads a weight in place where it can. Of one that it needs otherwise (in another order,
        dtype, place or process) it keeps a copy of its own, and its program notices every edit
        before it answers: `engines/weight_copies.py` does both.

        Raises:
            BuildError: the runtime refused.
        """


class ModuleEngine(Engine):
    """An engine that compiles Dynamo's graphs."""

    survives_fork = True
    symbolic_floats = True

    def build_with(
        self, builder: ProgramBuilder, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram:
        return builder.from_dynamo(self, module, inputs)

    @abstractmethod
    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        """A program for one of Dynamo's graphs, called as the graph itself is.

        `inputs` are the arguments of the call for which it was traced, weights among them.
        """

    def compiled_from_cache(self) -> int:
        """How many compiled artifacts were read from a cache so far, in this process."""
        return 0
