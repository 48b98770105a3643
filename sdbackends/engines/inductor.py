"""torch.compile: the module's own forward, captured by Dynamo and compiled by inductor.

The one engine that does not start from our capture: Dynamo's graphs are what inductor is tuned
for. Each call signature gets a `torch.compile` of its own with static shapes (option `dynamic`:
one for all sizes). Dynamo's own silent way out, eager after too many recompilations, is turned
into an error, so that the router can say it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch.utils import _pytree as pytree

from sdbackends.capture.unrolling import refuse_long
from sdbackends.engines.base import EngineContext, ModuleCall, ModuleEngine
from sdbackends.engines.options import take
from sdbackends.errors import SdError

_OPTIONS: dict[str, tuple[Any, ...]] = {
    "mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "freezing": (False, True),
    "channels_last": (False, True),
    "fused_qkv": (False, True),
    "dynamic": (False, True),
}
#: On a GPU these record CUDA graphs, and the next call of any of them writes over the results of
#: the one before. Pipelines keep results: a second text encoder's beside the first one's, a
#: scheduler's history of predictions.
_RECORDING = ("reduce-overhead", "max-autotune")
#: A program serves one signature; what recompiles beyond this is changing under our feet.
_RECOMPILE_LIMIT = 32
_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


class InductorEngine(ModuleEngine):
    """Options: mode, freezing, channels_last, fused_qkv, dynamic (see `backends/compile.yaml`)."""

    name = "inductor"

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        self._options = take(self.name, context.options, _OPTIONS)
        self.frozen = bool(self._options["freezing"])
        self.any_shape = bool(self._options["dynamic"])
        self._undo: list[Callable[[], None]] = []
        if context.cache_dir is not None:
            self._keep_programs_in(str(context.cache_dir))

    def version(self) -> str:
        return torch.__version__

    def prepare(self, module: torch.nn.Module) -> None:
        """Fuse the query, key and value projections and lay the weights out, as the options say."""
        fuse = getattr(module, "fuse_qkv_projections", None)
        if self._options["fused_qkv"] and callable(fuse):
            fuse()
            unfuse = getattr(module, "unfuse_qkv_projections", None)
            if callable(unfuse):
                self._undo.append(unfuse)
        if self._options["channels_last"]:
            _lay_out(module, torch.channels_last)
            self._undo.append(lambda: _lay_out(module, torch.contiguous_format))

    def build_module(self, call: Callable[..., Any]) -> ModuleCall:
        from torch._dynamo.exc import BackendCompilerFailed

        mode = self._options["mode"]
        # Dynamo keeps what it compiled on the code object: a copy of its own for each program
        # means that programs neither share its recompilation limit nor outlive their model.
        fresh = FunctionType(_forward.__code__.replace(), globals())
        compiled = torch.compile(fresh, backend=_inductor(mode), dynamic=self.any_shape)

        def run(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            rebuilt: set[Path] = set()
            with self._configured():
                while True:
                    try:
                        return compiled(call, args, kwargs)
                    except BackendCompilerFailed as failed:
                        error = failed.inner_exception
                        if isinstance(error, SdError):
                            raise error from None
                        library = _damaged(error)
                        if library is None or library in rebuilt:
                            raise
                        rebuilt.add(library)
                        library.unlink(missing_ok=True)

        def run_graph(
            call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return pytree.tree_map_only(torch.Tensor, torch.clone, run(call, args, kwargs))

        return run_graph if mode in _RECORDING else run

    def _keep_programs_in(self, folder: str) -> None:
        """Inductor's cache in our folder, unless the user chose one for it."""
        from torch._inductor.runtime.cache_dir_utils import default_cache_dir

        before = os.environ.get(_CACHE_VARIABLE)
        # Importing inductor writes its default there, which nobody chose.
        if before in (None, os.path.abspath(default_cache_dir())):
            os.environ[_CACHE_VARIABLE] = folder
            self._undo.append(lambda: _restore_variable(before))

    def compiled_from_cache(self) -> int:
        """How many graphs inductor has read from its cache directory in this process so far."""
        from torch._dynamo.utils import counters

        return int(counters["inductor"]["fxgraph_cache_hit"])

    def close(self) -> None:
        while self._undo:
            self._undo.pop()()

    @contextmanager
    def _configured(self) -> Iterator[None]:
        import torch._dynamo.config
        import torch._inductor.config

        with (
            torch._dynamo.config.patch(
                recompile_limit=_RECOMPILE_LIMIT,
                fail_on_recompile_limit_hit=True,
            ),
            torch._inductor.config.patch(freezing=self.frozen),
        ):
            yield


def _inductor(mode: str) -> Callable[[torch.fx.GraphModule, list[Any]], Any]:
    """What `torch.compile(mode=mode)` calls with Dynamo's graph, for graphs of a size it can do."""
    from torch._inductor import list_mode_options
    from torch._inductor.compile_fx import compile_fx

    options = list_mode_options(mode)

    def inductor(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        refuse_long(graph)
        return compile_fx(graph, inputs, config_patches=options)

    return inductor


def _damaged(error: Exception) -> Path | None:
    """The library in inductor's cache that could not be loaded, if that is what was wrong.

    The linker writes into the cache. Where it is killed (memory that ran out), a part of a library
    stays there, and inductor takes it for the whole in every later process.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    if not isinstance(error, ImportError) or error.path is None:
        return None
    library = Path(error.path)
    return library if library.is_relative_to(cache_dir()) else None


def _forward(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return call(*args, **kwargs)


def _lay_out(module: torch.nn.Module, memory_format: torch.memory_format) -> None:
    """Every weight of a 2D convolution; `Module.to` refuses a model with a 3D one beside them."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=memory_format)


def _restore_variable(before: str | None) -> None:
    if before is None:
        os.environ.pop(_CACHE_VARIABLE, None)
    else:
        os.environ[_CACHE_VARIABLE] = before
