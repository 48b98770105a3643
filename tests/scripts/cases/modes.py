"""Modes of torch around a call: profilers, counters, tracers, autocast, defaults."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tests.scripts.models import E, Small, T, X, applying, changed, picture, small, unet
from tests.scripts.registry import case


class Counted(TorchDispatchMode):
    """Counts the convolutions and matrix products of aten."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.split("::")[1]
        if name in {"convolution", "mm", "bmm", "addmm"}:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@case(falls_back=True, compiled=True)
def flops():
    model = unet()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(X, T, E)
    first = counter.get_total_flops()
    picture(model)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(X, T, E)
    return (first, counter.get_total_flops())


@case(falls_back=True)
def flops_by_module():
    model = small()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(X)
    counts = counter.get_flop_counts()
    return {name: sum(counts[name].values()) for name in sorted(counts)}


@case(falls_back=True)
def dispatch_mode():
    model = small()
    picture(model)
    with torch.no_grad(), Counted() as counted:
        result = model(X)
    return (result, sorted(counted.names), picture(model))


@case(falls_back=True)
def dispatch_mode_that_changes():
    class Doubled(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return result * 2 if func is torch.ops.aten.convolution.default else result

    model = small()
    first = picture(model)
    with Doubled():
        second = picture(model)
    return changed(first, second, picture(model))


@case(falls_back=True)
def function_mode():
    class Named(TorchFunctionMode):
        names: list[str] = []  # noqa: RUF012

        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func in {F.silu, F.scaled_dot_product_attention, torch.conv2d, F.linear}:
                self.names.append(func.__name__)
            return func(*args, **(kwargs or {}))

    model = small()
    first = picture(model)
    with Named() as named:
        second = picture(model)
    return (first, second, sorted(named.names))


@case(falls_back=True)
def function_mode_that_changes():
    class Doubled(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return result * 2 if func is F.silu else result

    model = small()
    first = picture(model)
    with Doubled():
        second = picture(model)
    return changed(first, second, picture(model))


@case(falls_back=True)
def device_context():
    model = applying(lambda h: h + torch.ones(4))
    first = picture(model)
    with torch.device("cpu"):
        second = picture(model)
    return first, second


@case(falls_back=True)
def fake_tensors():
    """The script asks for shapes only."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = small()
    picture(model)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        result = picture(model, mode.from_tensor(X))
    return (tuple(result.shape), type(result).__name__, picture(model))


@case
def profiler():
    model = small()
    picture(model)
    with torch.profiler.profile() as seen, torch.profiler.record_function("the script"):
        result = picture(model)
    return (result, any(event.key == "the script" for event in seen.key_averages()))


@case(compiled=True)
def autocast():
    model = unet()
    first = picture(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        second = picture(model)
    third = picture(model)
    return (first, str(second.dtype), bool((first - second).abs().max() < 0.1), third)


@case
def autocast_inside():
    def function(h):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            product = h.flatten(2) @ h.flatten(2).transpose(1, 2)
        return product

    result = picture(applying(function))
    return (str(result.dtype), tuple(result.shape))


@case
def autocast_switched_off_inside():
    def function(h):
        with torch.autocast("cpu", enabled=False):
            return h.float() @ h.float()

    model = applying(function)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = picture(model)
    return str(result.dtype), str(picture(model).dtype)


@case
def default_dtype():
    model = applying(lambda h: h + torch.ones(4) * 0.1 + torch.tensor(1.0) / 3)
    first = picture(model)
    try:
        torch.set_default_dtype(torch.float64)
        second = picture(model)
    finally:
        torch.set_default_dtype(torch.float32)
    return first, second, picture(model)


@case
def deterministic_algorithms():
    model = small()
    first = picture(model)
    try:
        torch.use_deterministic_algorithms(True)
        second = picture(model)
    finally:
        torch.use_deterministic_algorithms(False)
    return first, second


@case
def number_of_threads():
    model, before = small(), torch.get_num_threads()
    first = picture(model)
    try:
        torch.set_num_threads(2)
        second, during = picture(model), torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    return first, second, during, torch.get_num_threads() == before


@case
def precision_of_products():
    model = small()
    first = picture(model)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        second = picture(model)
        during = torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision(before)
    return before, during, first, bool((first - second).abs().max() < 0.1)


@case
def kernels_of_attention():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = small()
    first = picture(model)
    with sdpa_kernel(SDPBackend.MATH):
        return first, picture(model)


@case
def compile_of_the_script():
    model = unet()
    compiled = torch.compile(model, fullgraph=True, mode="reduce-overhead", backend="eager")
    return (
        type(compiled._orig_mod).__name__,
        compiled._orig_mod is model,
        compiled.config.sample_size,
        isinstance(compiled, torch.nn.Module),
        min(compiled.state_dict()),
        picture(model),
        compiled(X, T, E).sample,
    )


@case
def compile_method_of_the_script():
    model = unet()
    model.compile(backend="eager", fullgraph=True)
    return picture(model), picture(model, X * 2, T, E)


@case
def compile_of_a_function():
    model = small()

    @torch.compile(backend="eager")
    def loss(x):
        return (model(x) - x).square().mean()

    with torch.no_grad():
        return float(loss(X)), float(loss(X * 2))


@case
def compile_of_a_method():
    model = small()
    model.ff.forward = torch.compile(model.ff.forward, backend="eager")
    return picture(model), picture(model, X * 2)


@case
def compile_of_the_blocks():
    model = unet()
    model.compile_repeated_blocks(backend="eager")
    return picture(model), picture(model, X * 2, T, E)


@case
def function_that_must_not_be_compiled():
    seen: list[str] = []

    @torch.compiler.disable
    def look(h):
        seen.append(type(h).__name__)
        return h * 5

    model = applying(lambda h: look(h) + 1)
    return (picture(model), picture(model, X * 2), seen)


@case
def whether_it_is_compiled():
    """diffusers and scripts ask; the answer must not change what a picture is."""
    asked: list[bool] = []
    model = applying(lambda h: asked.append(torch.jit.is_scripting()) or h)
    return picture(model), asked


@case(falls_back=True)
def traced_by_jit():
    model = small()
    with torch.no_grad():
        traced = torch.jit.trace(model, (X,), check_trace=False)
        return (traced(X * 2), model(X * 2))


@case
def script_function_beside():
    @torch.jit.script
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    model = applying(lambda h: doubled(h))
    return picture(model), picture(model, X * 2)


@case(falls_back=True)
def traced_by_fx():
    model = small()
    layers = torch.nn.Sequential(model.conv_in, torch.nn.SiLU(), model.conv_out)
    traced = torch.fx.symbolic_trace(layers)
    with torch.no_grad():
        return traced(X), layers(X), len(traced.graph.nodes), picture(model)


@case(falls_back=True)
def exported():
    model = small()
    program = torch.export.export(model, (X,))
    with torch.no_grad():
        return program.module()(X * 2), model(X * 2)


@case(falls_back=True)
def traced_functions_of_python():
    """sys.setprofile and sys.settrace: what a coverage tool or a debugger does."""
    model, names = small(), []
    first = picture(model)

    def profile(frame, event, argument):
        if event == "call" and frame.f_code is Small.forward.__code__:
            names.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        second = picture(model)
    finally:
        sys.setprofile(before)
    trace = sys.gettrace()
    sys.settrace(lambda frame, event, argument: None)
    try:
        third = picture(model)
    finally:
        sys.settrace(trace)
    return first, second, third, len(names) > 0


@case
def warnings_of_a_forward():
    def function(h):
        warnings.warn("the script warns", UserWarning, stacklevel=1)
        return h

    model = applying(function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [picture(model), picture(model)]
    mine = [str(each.message) for each in caught if "the script" in str(each.message)]
    return results, mine


@case
def warnings_as_errors():
    model = small()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return picture(model)


@case
def output_of_the_process():
    """Nothing but the script prints to its standard output."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = picture(small())
    return result, out.getvalue()


@case
def signature_and_source():
    """Pipelines look at a model's signature, its class and its module."""
    import inspect

    model = unet()
    picture(model)
    kind = type(model)
    return (
        list(inspect.signature(model.forward).parameters)[:3],
        list(inspect.signature(kind.forward).parameters)[:3],
        kind.__name__,
        kind.__module__,
        "def forward" in inspect.getsource(kind.forward),
        model.forward.__name__,
        callable(model),
        sorted(name for name in vars(model) if not name.startswith("_")),
        [name for name, _ in model.named_children()][:3],
        model.dtype is torch.float32,
        str(model.device),
        repr(model)[:20],
        model.num_parameters(),
    )
