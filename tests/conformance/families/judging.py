"""One case on one backend, against plain torch: the models' figures and the pictures' gap.

The bars are those of backends/*.yaml at fp32: each model within 1e-4 of its largest value, each
picture within 2 of 255. Falling back is forbidden, and every part that a case names has to have run
on the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import sdbackends
from sdbackends.runtime.events import Listener
from sdbackends.runtime.verify import OutputDifference, compare, tensors_of
from tests.conformance.families.catalog import Case

MODEL_BAR = 1e-4
PICTURE_BAR = 2


@dataclass
class Figures:
    """What was measured: each routed model's worst difference, and the largest gap of 255.

    A model's name starts with its part; two models of one class have two names.
    """

    models: dict[str, OutputDifference] = field(default_factory=dict)
    picture: float = 0.0

    @property
    def worst(self) -> float:
        """The worst model's largest difference, of its largest value."""
        return max((figure.max_rel for figure in self.models.values()), default=0.0)


def agree(case: Case, backend: str) -> Figures:
    """Draw on plain torch and on the backend, and hold them to the bars."""
    expected = drawn(case)
    figures = Figures()
    with on(backend, figures):
        got = drawn(case)
    figures.picture = gap(expected, got)
    assert figures.picture <= PICTURE_BAR, f"pictures are {figures.picture:g} of 255 apart"
    if backend != "torch":
        on_engine = Counter(name.partition(" ")[0] for name in figures.models)
        absent = case.parts - on_engine
        assert not absent, f"not on the engine: {', '.join(sorted(absent.elements()))}"
    for name, figure in figures.models.items():
        assert figure.max_rel <= MODEL_BAR, f"{name}: {figure}"
    return figures


def drawn(case: Case) -> list[np.ndarray]:
    """What the case draws with a fresh pipeline, as arrays on the scale of 0 to 255."""
    pipe = case.build()
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        # Some schedulers draw noise without the generator that the pipeline was given.
        torch.manual_seed(0)
        return list(_arrays(case.draw(pipe)))


@contextmanager
def on(backend: str, figures: Figures) -> Iterator[None]:
    """All models on this backend, each program's first call compared; falling back is an error."""
    with sdbackends.use(backend, verify=True, fallback="error") as session:
        session.listeners.add(_Compared(figures))
        yield


class _Compared(Listener):
    """Keeps each model's worst figure. Two models of one class have two names."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._numbers: list[int] = []

    def compared(self, label: str, number: int, reference: Any, result: Any) -> None:
        figure = compare(tensors_of(reference), tensors_of(result))
        if number not in self._numbers:
            self._numbers.append(number)
        name = f"{label} {self._numbers.index(number) + 1}"
        known = self._figures.models.get(name)
        if known is None or figure.max_rel > known.max_rel:
            self._figures.models[name] = figure


def gap(expected: list[np.ndarray], got: list[np.ndarray]) -> float:
    """The largest difference of 255; pictures that show nothing agree with nothing."""
    assert [x.shape for x in got] == [x.shape for x in expected]
    for x in expected:
        assert np.isfinite(x).all(), "plain torch drew NaN or Inf"
        assert x.std() > 1, "plain torch drew nothing"
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, got, strict=True))


def _arrays(things: Any) -> Iterator[np.ndarray]:
    if isinstance(things, (list, tuple)):
        for thing in things:
            yield from _arrays(thing)
    elif isinstance(things, torch.Tensor):
        yield things.detach().float().cpu().numpy().astype(np.float64) * 255
    elif isinstance(things, np.ndarray) and things.dtype.kind == "f":
        yield things.astype(np.float64) * 255
    else:
        yield np.asarray(things).astype(np.float64)
