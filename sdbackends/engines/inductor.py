"""torch.compile's own compiler: Dynamo's graphs, compiled by inductor.

The one engine that does not start from our capture: Dynamo's graphs are what inductor is tuned
for. Shapes are static (option `dynamic`: one program for all sizes).
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from sdbackends.capture.placeholders import places_of_weights
from sdbackends.capture.size_limit import refuse_long
from sdbackends.engines.base import EngineContext, ModuleEngine
from sdbackends.engines.inductor_damage import remove_damaged
from sdbackends.engines.inductor_folder import ProgramFolder
from sdbackends.engines.inductor_frozen import Frozen
from sdbackends.engines.inductor_layout import with_channels_last
from sdbackends.engines.inductor_options import InductorOptions
from sdbackends.utils import undoing

#: On a GPU these record CUDA graphs, and the next call of any of them writes over the results of
#: the one before. Pipelines keep results: a second text encoder's beside the first one's, a
#: scheduler's history of predictions.
_RECORDING = ("reduce-overhead", "max-autotune")


class InductorEngine(ModuleEngine):
    """Compiles graphs with inductor, as `InductorOptions` say."""

    name = "inductor"

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        self._options = InductorOptions.checked(context.options)
        self.any_shape = self._options.dynamic
        self._undo: list[Callable[[], None]] = []
        self._folder = ProgramFolder(context.cache_dir)
        self._undo.append(self._folder.close)

    def version(self) -> str:
        return torch.__version__

    def prepare(self, module: torch.nn.Module) -> None:
        """Fuse the query, key and value projections, if the options say so."""
        fuse = getattr(module, "fuse_qkv_projections", None)
        if self._options.fused_qkv and callable(fuse):
            fuse()
            self._undo.append(_unfusing(module))

    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        from torch._inductor.utils import clear_caches

        refuse_long(graph)
        mode = _mode_for(self._options.mode, inputs)
        removed: set[Path] = set()
        while True:
            try:
                program = self._compile(graph, inputs, mode)
                break
            except Exception as error:
                if self._folder.replace_full():
                    continue
                if not remove_damaged(error, removed):
                    raise
                clear_caches()  # inductor remembers what it has loaded of it
        return _recorded(program) if mode in _RECORDING else program

    def _compile(
        self, graph: torch.fx.GraphModule, inputs: list[Any], mode: str
    ) -> Callable[..., Any]:
        if self._options.freezing:
            # Weights become constants, which inductor lays out by itself.
            return Frozen(
                lambda args: self._run(graph, args, mode, freezing=True),
                lambda args: self._run(graph, args, mode),
                inputs,
                places_of_weights(graph),
            )
        if self._options.channels_last:
            inputs, wrap = with_channels_last(graph, inputs)
            return wrap(self._run(graph, inputs, mode))
        return self._run(graph, inputs, mode)

    def _run(
        self, graph: torch.fx.GraphModule, inputs: list[Any], mode: str, *, freezing: bool = False
    ) -> Callable[..., Any]:
        import torch._inductor.config
        from torch._inductor import list_mode_options
        from torch._inductor.compile_fx import compile_fx

        # A graph of its own: inductor rewrites it, and eager torch may have to run this one.
        own = torch.fx.GraphModule(graph, copy.deepcopy(graph.graph))
        own.meta = graph.meta
        for node in own.graph.nodes:
            # Inductor keeps the copy, and this holds weights weakly, which swap_tensors refuses.
            node.meta.pop("grapharg", None)
        options = list_mode_options(mode)
        with torch._inductor.config.patch(freezing=freezing):
            program: Any = compile_fx(own, inputs, config_patches=options)
        compiled: Callable[..., Any] = program
        return compiled

    def compiled_from_cache(self) -> int:
        """How many graphs inductor has read from its cache directory in this process so far."""
        from torch._dynamo.utils import counters

        return int(counters["inductor"]["fxgraph_cache_hit"])

    def close(self) -> None:
        steps = [("a change of inductor's", undo) for undo in reversed(self._undo)]
        self._undo.clear()
        undoing.run_all(steps)


def _mode_for(mode: str, inputs: list[Any]) -> str:
    """What "auto" stands for: CUDA graphs where a GPU runs the graph, nothing elsewhere.

    At a pipeline's batch sizes a GPU is done with a kernel before the next one is launched.
    """
    if mode != "auto":
        return mode
    on_gpu = any(isinstance(one, torch.Tensor) and one.is_cuda for one in inputs)
    return "reduce-overhead" if on_gpu else "default"


def _recorded(program: Callable[..., Any]) -> Callable[..., Any]:
    """A program whose results live in a CUDA graph's memory gives copies of them."""

    def run(*args: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return pytree.tree_map_only(torch.Tensor, torch.clone, program(*args))

    close = getattr(program, "close", None)
    if close is not None:
        run.close = close  # type: ignore[attr-defined]
    return run


def _unfusing(module: torch.nn.Module) -> Callable[[], None]:
    """What undoes the fusing; it must not keep the model alive until then."""
    held = weakref.ref(module)

    def unfuse() -> None:
        call = getattr(held(), "unfuse_qkv_projections", None)
        if callable(call):
            call()

    return unfuse
