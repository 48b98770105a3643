"""How right a cell is: what it left in its folder, against what torch fp32 left for the same work.

Every part's first output (`parts.npz`) and every final picture is compared. Out come the figures,
and a reason where they are beyond the tolerance: then the cell is `wrong`. A picture of one colour,
NaN and Inf are wrong without any tolerance.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import metrics

from sdbackends.matrix import prompt_fidelity
from sdbackends.matrix.measure.record import PARTS_FILE
from sdbackends.matrix.results import AFTER_THE_LOOP, Agreement, Cell, PictureDifference, Tolerance

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

#: scikit-image's are partly untyped.
_metrics: Any = metrics


@dataclass(frozen=True)
class _Pictures:
    """The worst of all pictures of a batch. `psnr` None: equal."""

    image_max: int
    psnr: float | None
    ssim: float


def compare(
    reference: Path, folder: Path, tolerance: Tolerance, cell: Cell
) -> tuple[Agreement, str]:
    """How far the work in `folder` is from that in `reference`, and why that is too far.

    Args:
        cell: what was drawn; the judge of the embedded models asks for it.

    Returns:
        The figures that could be had, and the reason in one sentence; "" within the tolerance.
    """
    parts, reasons = _compare_parts(_parts(reference), _parts(folder), tolerance, cell.precision)
    own, right = _pictures(folder), _pictures(reference)
    reasons += _blank(own)
    pictures = None
    if reason := _not_comparable(own, right):
        reasons.append(reason)
    else:
        pictures = _compare_pictures(list(own.values()), list(right.values()))
        reasons += _beyond(pictures, tolerance, cell.precision)
    judged = _judged(cell, folder, own)
    before = _judged(cell, reference, right)
    if judged is not None and before is not None and judged < before:
        reasons.append(
            f"the judge reads {judged:.0%} of what was asked for, and {before:.0%} in "
            "the reference's picture"
        )
    agreement = Agreement(
        parts=parts,
        image_max=pictures.image_max if pictures else None,
        psnr=pictures.psnr if pictures else None,
        ssim=pictures.ssim if pictures else None,
        judged=judged,
    )
    return agreement, "; ".join(reasons)


def difference(right: Array, own: Array) -> PictureDifference:
    """Of finite arrays of one shape. Where `right` is all zeros, what differs is 1."""
    error = np.abs(own - right)
    return PictureDifference(
        max_relative=_relative(float(error.max(initial=0)), float(np.abs(right).max(initial=0))),
        relative_l2=_relative(float(np.linalg.norm(error)), float(np.linalg.norm(right))),
    )


def _relative(error: float, scale: float) -> float:
    if scale == 0:
        return 0.0 if error == 0 else 1.0
    return error / scale


def _compare_parts(
    right: Mapping[str, Array], own: Mapping[str, Array], tolerance: Tolerance, precision: str
) -> tuple[dict[str, PictureDifference], list[str]]:
    found: dict[str, PictureDifference] = {}
    reasons = []
    for name, expected in right.items():
        given = own.get(name)
        if given is None:
            reasons.append(f"{name}: its output was not kept")
        elif given.shape != expected.shape:
            reasons.append(f"{name}: its shape is {given.shape}, not {expected.shape}")
        elif not np.isfinite(given).all():
            reasons.append(f"{name}: NaN or Inf in its output")
        elif not np.isfinite(expected).all():
            reasons.append(f"{name}: NaN or Inf in the reference's output")
        else:
            found[name] = how_far = difference(expected, given)
            held = name not in AFTER_THE_LOOP
            if held and how_far.max_relative > tolerance.part_max_relative:
                reasons.append(
                    f"{name}: off by {how_far.max_relative:.2g} of the largest value, "
                    f"{tolerance.part_max_relative:g} is allowed for {precision}"
                )
    return found, reasons


def _compare_pictures(own: Sequence[Pixels], right: Sequence[Pixels]) -> _Pictures:
    pairs = list(zip(own, right, strict=True))
    largest = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)
    error = max(float(_metrics.mean_squared_error(b, a)) for a, b in pairs)
    likeness = min(
        float(_metrics.structural_similarity(b, a, channel_axis=2, data_range=255))
        for a, b in pairs
    )
    # mean_squared_error, because peak_signal_noise_ratio warns of a division where both are equal
    psnr = None if error == 0 else 10 * math.log10(255**2 / error)
    return _Pictures(largest, psnr, likeness)


def _beyond(pictures: _Pictures, tolerance: Tolerance, precision: str) -> Iterator[str]:
    most, least = tolerance.image_max, tolerance.min_psnr
    if most is not None and pictures.image_max > most:
        yield f"the picture: off by {pictures.image_max} of 255, {most} is allowed for {precision}"
    if least is not None and pictures.psnr is not None and pictures.psnr < least:
        yield f"the picture: {pictures.psnr:.1f} dB, {least:g} dB is the least for {precision}"


def _blank(pictures: Mapping[str, Pixels]) -> list[str]:
    """NaN in the latents becomes black in the picture, without a word from anybody."""
    reasons = []
    for name, pixels in pictures.items():
        if not pixels.any():
            reasons.append(f"{name} is all black")
        elif (pixels == pixels[0, 0]).all():
            reasons.append(f"{name} is all of one colour")
    return reasons


def _not_comparable(own: Mapping[str, Pixels], right: Mapping[str, Pixels]) -> str:
    if not right:
        return "the reference left no picture"
    if missing := [name for name in right if name not in own]:
        return f"it left no {', '.join(missing)}"
    for name, pixels in right.items():
        if own[name].shape != pixels.shape:
            sizes = ("{1}x{0}".format(*picture.shape) for picture in (own[name], pixels))
            return "{}: {} pixels, the reference's has {}".format(name, *sizes)
    return ""


def _judged(cell: Cell, folder: Path, pictures: Mapping[str, Pixels]) -> float | None:
    """The mean over the batch."""
    if cell.model != "embedded" or not pictures:
        return None
    shares = [prompt_fidelity.score(cell.pipeline, folder / name) for name in pictures]
    told = [share for share in shares if share is not None]
    return sum(told) / len(told) if told else None


def _parts(folder: Path) -> dict[str, Array]:
    """By part; empty where the file is missing or was cut off."""
    try:
        with np.load(folder / PARTS_FILE, allow_pickle=False) as kept:
            return {name: kept[name].astype(np.float64) for name in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}


def _pictures(folder: Path) -> dict[str, Pixels]:
    """By file name; of a batch picture-1.png and so on, without the copy that stands for all."""
    paths = sorted(folder.glob("picture-*.png")) or sorted(folder.glob("picture.png"))
    pictures = {}
    for path in paths:
        try:
            with Image.open(path) as opened:
                pictures[path.name] = np.asarray(opened.convert("RGB"))
        except OSError:
            continue  # cut off: it is missing, and `_not_comparable` says so
    return pictures
