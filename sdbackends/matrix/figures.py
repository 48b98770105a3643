"""What the raw samples of a run say: percentiles, speeds, ratios to the reference, shares.

In come records of `results`, out go numbers; None where a cell has not what a figure needs. The
report shows these figures and `against` judges by them, so that both mean the same by a word.
Every ratio is "how many times as fast as the reference": above 1 the cell is faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sdbackends.matrix.results import Ceilings, Cell, CellResult, Part, Run

#: How often a bootstrap draws: the ends of its interval are then steady to about 1%.
DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Percentiles:
    """Seconds that half, 90% and 99% of the samples stay below; `count` says how many there are."""

    p50: float
    p90: float
    p99: float
    count: int


@dataclass(frozen=True)
class Interval:
    """A figure with the ends between which it lies with `CONFIDENCE`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figures:
    """All figures of one cell.

    Attributes:
        image: seconds of a whole call of the pipeline, which draws `cell.batch` pictures.
        ratio: times as fast as the interleaved reference.
        loop_rate: steps a second, the denoising calls alone. end_to_end_rate: steps a second of
            the whole call, encoding and decoding included.
        shares: of the machine's ceiling, by part, 0..1.
    """

    image: Percentiles | None = None
    parts: Mapping[Part, Percentiles] = field(default_factory=dict)
    ratio: Interval | None = None
    images_per_minute: float | None = None
    loop_rate: float | None = None
    end_to_end_rate: float | None = None
    shares: Mapping[Part, float] = field(default_factory=dict)


def of(result: CellResult, ceilings: Ceilings) -> Figures:
    """Every figure of `result`; `ceilings` are those of the run that it comes from."""
    parts = {part: percentiles(samples) for part, samples in result.timings.parts.items()}
    return Figures(
        image=percentiles(result.timings.images),
        parts={part: found for part, found in parts.items() if found is not None},
        ratio=ratio(result),
        images_per_minute=images_per_minute(result),
        loop_rate=loop_rate(result),
        end_to_end_rate=end_to_end_rate(result),
        shares=shares(result, ceilings),
    )


def percentiles(samples: Sequence[float]) -> Percentiles | None:
    """Interpolated between samples; with few of them p90 and p99 are close to the largest."""
    if not samples:
        return None
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    return Percentiles(p50, p90, p99, len(samples))


def ratio(result: CellResult) -> Interval | None:
    """Times as fast as the reference was, measured in turn with this cell."""
    return ratio_of_medians(result.interleaved, result.timings.images)


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> Interval | None:
    """Median of `above` / median of `below`, with a bootstrap's interval.

    Samples that were taken in turn are drawn in pairs: a slow minute hits both of a pair, and
    must not count as noise of their ratio. One sample alone has no interval but itself.
    """
    if not above or not below:
        return None
    value = float(np.median(above) / np.median(below))
    return _interval(value, _drawn_ratios(above, below, seed=0))


def change(old: CellResult, new: CellResult) -> Interval | None:
    """How many times as fast `new` is as `old`, each against its own reference."""
    before, after = ratio(old), ratio(new)
    if before is None or after is None:
        return None
    # Two runs have nothing in common that could be drawn together: two seeds.
    first = _drawn_ratios(old.interleaved, old.timings.images, seed=0)
    second = _drawn_ratios(new.interleaved, new.timings.images, seed=1)
    return _interval(after.value / before.value, second / first)


def images_per_minute(result: CellResult) -> float | None:
    return _rate(60.0 * result.cell.batch, result.timings.images)


def end_to_end_rate(result: CellResult) -> float | None:
    """Denoising steps a second of the whole call: what a person waits for.

    The steps that were taken: an image to begin with spares some of those that were asked for.
    """
    images, steps = result.timings.images, result.timings.parts.get("step", ())
    taken = len(steps) / len(images) if images and steps else float(result.cell.steps)
    return _rate(taken, images)


def loop_rate(result: CellResult) -> float | None:
    """Denoising steps a second of the model's calls alone: what most papers quote."""
    return _rate(1.0, result.timings.parts.get("step", ()))


def shares(result: CellResult, ceilings: Ceilings) -> dict[Part, float]:
    """The share of this machine's ceiling that each part reached, 0..1."""
    most = ceiling(ceilings, result.cell)
    rates = {
        part: _rate(operations, result.timings.parts.get(part, ()))
        for part, operations in result.flops.items()
    }
    return {part: rate / most for part, rate in rates.items() if rate is not None and most}


def ceiling(ceilings: Ceilings, cell: Cell) -> float | None:
    """The most FLOP/s that the probe saw on the cell's device in the cell's precision.

    The better of matmul and convolution: a model is made of both, and a share must not be
    flattered by the worse one. And never less than in fp32: where a chip has no bf16 of its own,
    torch is slow at it, and an engine that calculates in fp32 would reach several times a ceiling.
    """
    names = {ceiling_name(cell.device, precision) for precision in (cell.precision, "fp32")}
    found = [table.get(name) for table in (ceilings.matmul, ceilings.conv) for name in names]
    return max((rate for rate in found if rate is not None), default=None)


def ceiling_name(device: str, precision: str) -> str:
    """The key in `Ceilings`: "fp32" on the CPU, "cuda/fp32" on another device."""
    kind = device.partition(":")[0]
    return precision if kind == "cpu" else f"{kind}/{precision}"


def reference_of(run: Run, cell: Cell) -> CellResult | None:
    """The reference backend's own cell for the same work in `run`."""
    same = (
        result
        for result in run.cells
        if result.cell.work == cell.work and result.cell.backend == run.reference
    )
    return next(same, None)


def _rate(amount: float, seconds: Sequence[float]) -> float | None:
    if not seconds:
        return None
    half = float(np.median(seconds))
    return amount / half if half > 0 and math.isfinite(half) else None


def _drawn_ratios(
    above: Sequence[float], below: Sequence[float], *, seed: int
) -> NDArray[np.float64]:
    """`DRAWS` ratios of medians; seeded: the same file must always give the same verdict."""
    first, second = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    drawn = np.random.default_rng(seed)
    picks = drawn.integers(len(first), size=(DRAWS, len(first)))
    in_turn = len(first) == len(second)
    others = picks if in_turn else drawn.integers(len(second), size=(DRAWS, len(second)))
    ratios: NDArray[np.float64] = np.median(first[picks], axis=1) / np.median(
        second[others], axis=1
    )
    return ratios


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in np.quantile(drawn, (tail, 1 - tail)))
    return Interval(value, low, high)
