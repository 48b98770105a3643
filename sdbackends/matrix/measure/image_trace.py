"""One picture while it is drawn: the spans of its parts, and from the first one what was computed.

Text encoders are "encode", the UNet or transformer is "step" (with the ControlNet before it), the
autoencoder's decoder is "decode". Encode and decode are summed over the picture, because a
pipeline calls the encoder once for the prompt and once for what should not be in the picture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sdbackends.matrix.measure import stopwatch
from sdbackends.matrix.measure.flops import CountedCall
from sdbackends.runtime.parts import part_of
from sdbackends.runtime.verify import tensors_of

Span = Callable[[], float]
_names: weakref.WeakKeyDictionary[torch.nn.Module, str] = weakref.WeakKeyDictionary()

#: Name of a model's part -> the part of the picture that its calls are counted to.
_COUNTED = {
    "text_encoder": "encode",
    "image_encoder": "encode",
    "controlnet": "step",
    "unet": "step",
    "transformer": "step",
    "vae": "decode",
}
_ENDS_A_STEP = ("unet", "transformer")


class ImageTrace:
    """`first`: also keep what every model was called with, and what it gave."""

    def __init__(self, *, first: bool) -> None:
        self.first = first
        #: While true, models are to be called without anything before them.
        self.counting = False
        self.models: dict[torch.nn.Module, str] = {}
        self._inside = False
        self._spans: dict[str, list[Span]] = {"encode": [], "decode": []}
        self._steps: list[list[Span]] = [[]]
        self._calls: list[tuple[str, CountedCall]] = []
        self._outputs: dict[str, Any] = {}

    def call(
        self,
        call: Callable[..., Any],
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """One call of a model; calls inside it belong to it."""
        name = _name(module)
        # An autoencoder as a whole is its coders and noise; those are met on their own.
        if self._inside or not name:
            return call(module, *args, **kwargs)
        self._inside = True
        try:
            stop = stopwatch.start()
            result = call(module, *args, **kwargs)
            self._add(name, stop())
        finally:
            self._inside = False
        if self.first:
            self._keep(name, module, args, kwargs, result)
        return result

    def samples(self) -> dict[str, list[float]]:
        """Seconds by part, once the device is done."""
        sums = {part: [sum(span() for span in spans)] for part, spans in self._spans.items()}
        sums["step"] = [sum(span() for span in step) for step in self._steps[:-1]]
        return {part: taken for part, taken in sums.items() if any(taken)}

    def flops(self) -> dict[str, float]:
        """Of one sample of each part of the picture."""
        self.counting = True
        try:
            totals: dict[str, float] = {}
            for part, call in self._calls:
                totals[part] = totals.get(part, 0.0) + call.flops()
            return totals
        finally:
            self.counting = False

    def save(self, path: Path) -> None:
        """The first output of each model, and the latents that were decoded."""
        import numpy

        numpy.savez(path, **self._outputs)

    def _add(self, name: str, span: Span) -> None:
        if _COUNTED.get(name) == "step":
            self._steps[-1].append(span)
            if name in _ENDS_A_STEP:
                self._steps.append([])
        elif name in _COUNTED:
            self._spans[_COUNTED[name]].append(span)

    def _keep(
        self, name: str, module: torch.nn.Module, args: Any, kwargs: dict[str, Any], result: Any
    ) -> None:
        steps_done = len(self._steps) - 1
        part = _COUNTED.get(name)
        in_first_step = steps_done == 0 or (steps_done == 1 and name in _ENDS_A_STEP)
        if part is not None and (part != "step" or in_first_step):
            self._calls.append((part, CountedCall(module, args, kwargs)))
        if module not in self.models:
            twins = sum(other == name for other in self.models.values())
            self.models[module] = name
            self._outputs[name if not twins else f"{name}_{twins + 1}"] = _array(result)
            if name == "vae":
                self._outputs["latents"] = _array((args, kwargs))


def _name(module: torch.nn.Module) -> str:
    """The part that a model is; "" for one whose calls are not its own work."""
    known = _names.get(module)
    if known is None:
        known = part_of(module)
        if known == "vae":
            kind = type(module).__name__
            known = "vae" if "Decoder" in kind else "vae_encoder" if "Encoder" in kind else ""
        _names[module] = known
    return known


def _array(value: Any) -> Any:
    """The first tensor of floating point numbers in `value`, as numpy's float32."""
    return tensors_of(value)[0].detach().to("cpu", torch.float32, copy=True).numpy()
