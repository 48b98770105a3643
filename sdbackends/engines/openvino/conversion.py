"""Convert a captured graph to an `openvino.Model` by OpenVINO's own front end for PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sdbackends.capture.graph import Graph, TensorSpec
from sdbackends.engines.openvino.dtypes import DTYPES
from sdbackends.engines.openvino.fx_module import fx_module
from sdbackends.engines.openvino.runtime import FrontEndManager, TorchFXPythonDecoder, opset, ov
from sdbackends.errors import BuildError

Tensors = Mapping[str, torch.Tensor]


def convert(graph: Graph, weights: Tensors | None, constants: Tensors) -> ov.Model:
    """Return the graph as a model with static shapes; its constants share the weights' memory.

    Without `weights` they are further inputs, in the graph's order.

    Results that torch has in a 16-bit dtype are float32. Further results follow those
    of the graph; nobody reads them.

    Raises:
        BuildError: a result has another shape than torch's.
        Exception: what the front end raises where it has no rule for an op.
    """
    module = fx_module(graph, weights, constants)
    # The front end calls the decoder until the model is converted, and does not hold it.
    decoder = TorchFXPythonDecoder(module)
    front_end = FrontEndManager().load_by_framework("pytorch")
    model = front_end.convert(front_end.load(decoder))
    del decoder
    specs = graph.output_specs()
    results = [
        _as_recorded(result.input_value(0), spec)
        for result, spec in zip(model.get_results(), specs, strict=True)
    ]
    # OpenVINO fuses a reduction with the arithmetic on its result, and some of that is wrong: a sum
    # over axis 1 of 3 that is divided by a number gives zeros (2026.4, CPU). A reduction that is a
    # result of the model too is not fused; the program does not read it.
    kept = [node.output(0) for node in model.get_ops() if node.get_type_name().startswith("Reduce")]
    return ov.Model([*results, *kept], _parameters(graph, model, weights is None))


def _parameters(graph: Graph, model: ov.Model, with_weights: bool) -> list[ov.op.Parameter]:
    """Return one parameter for each input, in order: the front end leaves out what is not read."""
    read = {parameter.get_friendly_name(): parameter for parameter in model.get_parameters()}
    values = [*graph.inputs, *(graph.weights if with_weights else ())]
    parameters = [
        read.pop(value.name, None) or opset.parameter(value.spec.shape, DTYPES[value.spec.dtype])
        for value in values
    ]
    assert not read, f"parameters that are no inputs: {', '.join(read)}"
    return parameters


def _as_recorded(output: ov.Output, spec: TensorSpec) -> ov.Output:
    shape = output.get_partial_shape()
    if not shape.compatible(ov.PartialShape(list(spec.shape))):
        raise BuildError(
            "OpenVINO's front end converted an op wrongly",
            why=f"a result has the shape {shape}, torch gives {list(spec.shape)}",
            fix="the model runs on eager torch instead; please report it with this message",
        )
    # NumPy has no bfloat16, and OpenVINO cuts to it where torch rounds: a half comes as float32.
    is_half = spec.dtype in ("float16", "bfloat16")
    wanted = ov.Type.f32 if is_half else DTYPES[spec.dtype]
    if output.get_element_type() == wanted:
        return output
    return opset.convert(output, wanted).output(0)
