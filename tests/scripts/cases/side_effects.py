"""What a forward does beside its result happens as often as on plain torch; errors come through."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import types

import torch

from tests.scripts.models import (
    E,
    T,
    X,
    applying,
    attention,
    changed,
    picture,
    reading,
    small,
    unet,
)
from tests.scripts.registry import case
from tests.scripts.run_cases import said


class OutOfStepsError(Exception):
    """An exception of the script's own."""


@case(compiled=True)
def prints():
    out = io.StringIO()

    def function(h):
        print("called with", tuple(h.shape), file=out)
        return h * 5

    model = applying(function)
    results = [picture(model), picture(model), picture(model, X.repeat(2, 1, 1, 1))]
    return results, out.getvalue()


@case
def prints_to_the_standard_output():
    def function(h):
        print("called")
        return h * 5

    model = applying(function)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        results = [picture(model), picture(model)]
    return results, out.getvalue()


@case
def prints_of_values():
    out = io.StringIO()

    def function(h):
        print(f"{float(h.mean()):.3f}", file=out)
        return h * 5

    model = applying(function)
    return (picture(model), picture(model, X * 3), out.getvalue())


@case
def log_lines():
    logger, lines = logging.getLogger("a script"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def function(h):
        logger.info("called %d", len(lines))
        return h * 5

    model = applying(function)
    results = [picture(model) for _ in range(3)]
    logger.removeHandler(handler)
    return results, lines


@case
def appends():
    seen: list[str] = []

    def function(h):
        seen.append(f"{type(h).__name__} {h.dtype}")
        return h * 5

    model = applying(function)
    return ([picture(model) for _ in range(3)], seen)


@case
def tensors_that_are_kept_and_edited():
    kept: list[torch.Tensor] = []
    model = applying(lambda h: kept.append(h) or h * 5)
    results = [picture(model)]
    kept[0].zero_()
    results.append(picture(model))
    return (*results, *kept)


@case
def maps_of_one_call_only():
    """A list that the script empties between two calls."""
    kept: list[torch.Tensor] = []

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        return attention(attn, hidden_states, encoder_hidden_states, kept.append)

    model = small()
    model.attn.processor = processor
    lengths = []
    for step in range(3):
        kept.clear()
        picture(model, X * (step + 1))
        lengths.append(len(kept))
    return (lengths, *kept)


@case
def statistics():
    minima: dict[str, list[float]] = {"min": [], "max": []}

    def function(h):
        minima["min"].append(h.min().item())
        minima["max"].append(h.max().item())
        return h

    model = applying(function)
    for factor in (1, 2, 3):
        picture(model, X * factor)
    return minima


@case
def attribute_of_the_model_set_in_forward():
    model = applying(lambda h: h)
    model.calls = 0

    def function(h):
        model.calls += 1
        model.last_shape = tuple(h.shape)
        return h * model.calls

    model.function = function
    results = [picture(model), picture(model, X.repeat(3, 1, 1, 1)), picture(model)]
    return (results, model.calls, model.last_shape)


@case
def progress_bar():
    from tqdm.auto import tqdm

    out, model = io.StringIO(), small()
    bar = tqdm(total=4, file=out, disable=False, mininterval=0, bar_format="{n_fmt}/{total_fmt}")
    model.ff.register_forward_hook(lambda module, inputs, output: bar.update() and None)
    results = [picture(model) for _ in range(4)]
    n = bar.n
    bar.close()
    return results, n


@case(compiled=True)
def error_of_a_processor():
    """It reaches the script as it is, and the next call works."""
    fail = True

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        if fail:
            raise OutOfStepsError("the processor gives up")
        return attention(attn, hidden_states, encoder_hidden_states)

    model = small()
    model.attn.processor = processor
    try:
        picture(model)
        text = "no error"
    except OutOfStepsError as error:
        text = said(error)
    fail = False
    return (text, picture(model))


@case
def error_after_pictures():
    calls: list[int] = []

    def function(h):
        calls.append(len(calls))
        if len(calls) == 3:
            raise OutOfStepsError("the third call")
        return h * len(calls)

    model = applying(function)
    results = []
    for _ in range(5):
        try:
            results.append(picture(model))
        except OutOfStepsError as error:
            results.append(said(error))
    return results, calls


@case
def errors_of_every_kind():
    kinds = [KeyError("a"), StopIteration(), AssertionError("no"), ValueError(), RuntimeError("x")]
    kinds += [NotImplementedError("later"), AttributeError("b"), ImportError("c"), MemoryError()]
    results = []
    for error in kinds:

        def function(h, error=error):
            raise error

        try:
            picture(applying(function))
        except Exception as caught:
            results.append((said(caught), caught is error))
    return results


@case
def keyboard_interrupt():
    """A person presses Ctrl-C in the middle of a model."""

    def function(h):
        if fail:
            raise KeyboardInterrupt
        return h * 5

    model, fail = applying(function), True
    try:
        picture(model)
        text = "no error"
    except KeyboardInterrupt:
        text = "interrupted"
    fail = False
    return text, picture(model)


@case
def exit_of_the_script():
    def function(h):
        sys.exit(3)

    try:
        picture(applying(function))
    except SystemExit as error:
        return "exit", error.code


@case
def error_that_the_forward_handles():
    def function(h):
        try:
            return h + {}["absent"]
        except KeyError as error:
            return h * len(error.args)
        finally:
            seen.append("finally")

    seen: list[str] = []
    model = applying(function)
    return (picture(model), picture(model, X * 2), seen)


@case
def wrong_shape_that_the_forward_handles():
    def function(h):
        try:
            return h @ torch.ones(3, 3)
        except RuntimeError:
            return h @ torch.eye(4) * 5

    return picture(applying(function))


@case
def assertion_about_values():
    def function(h):
        assert not torch.isnan(h).any(), "not a number"
        return h * 5

    model = applying(function)
    results = [picture(model)]
    try:
        results.append(picture(model, X * float("nan")))
    except AssertionError as error:
        results.append(said(error))
    return (*results, picture(model))


@case
def traceback_names_the_line_of_the_script():
    import traceback

    def function_that_fails(h):
        raise OutOfStepsError("here")

    try:
        picture(applying(function_that_fails))
    except OutOfStepsError as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        return "function_that_fails" in names, names[-1]


@case
def context_managers_inside():
    steps: list[str] = []

    @contextlib.contextmanager
    def named(name):
        steps.append(f"in {name}")
        try:
            yield 5.0
        finally:
            steps.append(f"out {name}")

    def function(h):
        with named("a") as factor, contextlib.suppress(ValueError), torch.no_grad():
            return h * factor

    model = applying(function)
    return (picture(model), picture(model), steps)


@case
def processor_that_calls_another_model():
    other = small(width=8)

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        extra = other(X * scale).mean()
        return attention(attn, hidden_states, encoder_hidden_states) + extra

    model, pictures = small(), []
    model.attn.processor = processor
    for scale in (1, 50):  # noqa: B007
        pictures.append(picture(model))
    with torch.no_grad():
        other.conv_out.bias.add_(5)
    return changed(*pictures, picture(model))


@case
def model_that_calls_itself():
    model = applying(lambda h: h)

    def function(h):
        depth[0] += 1
        return model(h) if depth[0] < 4 else h

    model.function, depth = function, [0]
    first = picture(model)
    depth[0] = 2
    return (*changed(first, picture(model)), depth[0])


@case
def model_in_another_model():
    inner = unet()

    class Outer(torch.nn.Module):
        """No model of diffusers: a wrapper as scripts write them."""

        def __init__(self):
            super().__init__()
            self.inner, self.scale = inner, 1.0

        def forward(self, x):
            return self.inner(x, T, E).sample * self.scale

    outer = Outer()
    pictures = [picture(outer)]
    outer.scale = 5.0
    pictures.append(picture(outer))
    inner.register_forward_hook(lambda module, inputs, output: (output[0] * 9,))
    inner.forward = types.MethodType(
        lambda self, *args, **kwargs: type(self).forward(self, *args, **kwargs), inner
    )
    outer.forward = lambda x: outer.inner(x, T, E)[0]
    pictures.append(picture(outer))
    return changed(*pictures)


@case
def generator_of_pictures():
    model = reading(lambda: scale)

    def pictures():
        with torch.no_grad():
            for factor in (1, 5):
                yield model(X * factor)

    scale = 1.0
    drawn = pictures()
    first = next(drawn)
    scale = 2.0
    return (*changed(first, next(drawn)), torch.is_grad_enabled())


@case
def state_of_python_after_a_call():
    """A call leaves nothing switched on or off."""

    def switches():
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            str(torch.get_default_dtype()),
            torch.get_num_threads(),
            sys.getrecursionlimit(),
            len(sys.path),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.backends.mkldnn.enabled,
            sys.gettrace() is None,
            sys.getprofile() is None,
        )

    before = switches()
    picture(unet())
    after = switches()
    return [one == other for one, other in zip(before, after, strict=True)]
