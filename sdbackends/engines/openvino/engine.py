"""The OpenVINO engine: a captured graph, converted by OpenVINO's front end for PyTorch.

The weights are constants of the program, laid out by OpenVINO for its kernels, so the program is
compiled again when one was edited. Shapes are static. It runs on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakSet

import torch

from sdbackends.capture.graph import Graph
from sdbackends.engines.base import EngineContext, GraphEngine, MissingOp, Program
from sdbackends.engines.openvino.conversion import convert
from sdbackends.engines.openvino.options import OpenvinoOptions
from sdbackends.engines.openvino.program import OpenvinoProgram
from sdbackends.engines.openvino.runtime import ov
from sdbackends.engines.openvino.support import unsupported
from sdbackends.errors import BackendNotReadyError, BuildError, SdError
from sdbackends.utils import undoing
from sdbackends.utils.error_text import in_all_words

Tensors = Mapping[str, torch.Tensor]


class OpenvinoEngine(GraphEngine):
    """Runs graphs on OpenVINO's CPU plugin."""

    name = "openvino"

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        self._options = OpenvinoOptions.checked(context.options)
        if context.device not in (None, "cpu"):
            raise BackendNotReadyError(
                f"openvino does not run on {context.device!r}",
                why="this engine drives OpenVINO's CPU plugin alone",
                fix="SD_DEVICE=cpu",
            )
        self._core = ov.Core()
        self._has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self._options.inference_precision == "bf16" and not self._has_bf16:
            raise BackendNotReadyError(
                "this CPU has no instructions for bfloat16",
                why="OpenVINO would compute in float32",
                fix="SD_BACKEND=openvino",
            )
        self._programs: WeakSet[OpenvinoProgram] = WeakSet()

    def version(self) -> str:
        return f"openvino {ov.__version__}"

    def unsupported(self, graph: Graph) -> tuple[MissingOp, ...]:
        return unsupported(graph)

    def build(self, graph: Graph, weights: Tensors, constants: Tensors) -> Program:
        program = OpenvinoProgram(graph, weights, constants, self._compile)
        self._programs.add(program)
        return program

    def close(self) -> None:
        undoing.run_all([("a program of openvino", program.close) for program in self._programs])

    def _compile(
        self, graph: Graph, weights: Tensors | None, constants: Tensors
    ) -> ov.CompiledModel:
        try:
            model = convert(graph, weights, constants)
            return self._core.compile_model(model, "CPU", self._config(graph))
        except SdError:
            raise
        except Exception as error:
            raise BuildError(
                "OpenVINO refused the program",
                where=f"{len(graph.nodes)} nodes",
                why=in_all_words(error),
                fix="the model runs on eager torch instead",
            ) from error

    def _config(self, graph: Graph) -> dict[str, object]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": self._precision(graph),
        }

    def _precision(self, graph: Graph) -> str:
        if self._options.inference_precision != "auto":
            return self._options.inference_precision
        halves = any(value.spec.dtype == "bfloat16" for value in (*graph.inputs, *graph.weights))
        return "bf16" if halves and self._has_bf16 else "f32"
