"""Reads a picture of the tiny models back: which shape, colour, size and background.

`judge` takes a PIL image, a path or an array and gives a `Verdict`; plain image analysis
with numpy and Pillow, no torch and no model. The background is the palette colour of most
of the border, the colour that of the pixels well inside whatever differs from it. Between
the two colours every pixel is read as a coverage 0..1; a circle, a square, a triangle and a
star of just that area and centre are laid over it, and the best overlap wins. On the command
line: `python judge.py picture.png ...`.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from shapes import (
    COLORS,
    PALETTE,
    RADIUS,
    RESOLUTION,
    SHAPES,
    Array,
    Color,
    Scene,
    Shape,
    Size,
    area,
    centroid,
    coverage,
    perimeter,
)

Picture = Image.Image | str | Path | ArrayLike

BORDER = 3  # pixels of rim that show the background
LEAST_AREA = 60.0  # pixels; half of the smallest shape
NOISE = 0.15  # coverage nearer than this to 0 or 1 counts as 0 or 1
LEAST_OVERLAP = 0.5  # below it nothing is recognised
_LIMIT = float(np.sqrt(RADIUS["small"] * RADIUS["big"]))
_COLORS = np.array([PALETTE[name] for name in COLORS], dtype=float)


@dataclass(frozen=True)
class Verdict:
    """What a picture shows; None where nothing could be told."""

    shape: Shape | None
    color: Color | None
    size: Size | None
    background: Color | None
    overlap: float  # of picture and best shape, intersection over union, 0..1
    margin: float  # by which it beats the second best shape
    radius: float  # of the shape, in pixels of a 64x64 picture
    edge_width: float  # of the outline's blur in pixels; about 1 where it is crisp

    @property
    def scene(self) -> Scene | None:
        """The scene, if all four parts were told."""
        if self.shape and self.color and self.size and self.background:
            return Scene(self.size, self.color, self.shape, self.background)
        return None


def judge(picture: Picture) -> Verdict:
    """Read one picture: a PIL image, a path, bytes 0..255 or floats 0..1 of shape (h, w, 3)."""
    pixels = load(picture)
    labels = _nearest_colors(pixels)
    background = _most(_rim(labels))
    differs = labels != background
    inside = _eroded(differs)
    if inside.sum() < 8:
        return Verdict(None, None, None, COLORS[background], 0.0, 0.0, 0.0, 0.0)
    color = _most(labels[inside])
    alpha = _coverage_between(pixels, labels, background, color)
    fits = {shape: _fit(alpha, shape) for shape in SHAPES}
    best, second = sorted(SHAPES, key=lambda shape: -fits[shape][0])[:2]
    overlap, radius = fits[best]
    if alpha.sum() < LEAST_AREA or overlap < LEAST_OVERLAP:
        return Verdict(None, COLORS[color], None, COLORS[background], overlap, 0.0, radius, 0.0)
    return Verdict(
        shape=best,
        color=COLORS[color],
        size="small" if radius < _LIMIT else "big",
        background=COLORS[background],
        overlap=round(overlap, 4),
        margin=round(overlap - fits[second][0], 4),
        radius=round(radius, 2),
        edge_width=round(_edge_width(alpha, best, radius), 3),
    )


def load(picture: Picture) -> Array:
    """The picture as (64, 64, 3) floats 0..255; other sizes are scaled to it."""
    if isinstance(picture, (str, Path)):
        with Image.open(picture) as opened:
            picture = opened.convert("RGB")
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(_bytes(np.asarray(picture)))
    picture = picture.convert("RGB")
    if picture.size != (RESOLUTION, RESOLUTION):
        picture = picture.resize((RESOLUTION, RESOLUTION), Image.Resampling.BOX)
    return np.asarray(picture, dtype=float)


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"a picture is an array of shape (height, width, 3), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    if np.issubdtype(array.dtype, np.floating):
        array = np.rint(np.nan_to_num(array) * 255)
    return np.clip(array.astype(float), 0, 255).astype(np.uint8)


def _nearest_colors(pixels: Array) -> NDArray[np.intp]:
    return ((pixels[:, :, None] - _COLORS) ** 2).sum(-1).argmin(-1)


def _rim(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    rim = np.ones(labels.shape, dtype=bool)
    rim[BORDER:-BORDER, BORDER:-BORDER] = False
    return labels[rim]


def _most(labels: NDArray[np.intp]) -> int:
    return int(np.bincount(labels, minlength=len(COLORS)).argmax())


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours are set as well: the mixed pixels of the outline go."""
    padded = np.pad(mask, 1)
    neighbours = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & neighbours


def _coverage_between(
    pixels: Array, labels: NDArray[np.intp], background: int, color: int
) -> Array:
    """How far every pixel lies on the way from the background's colour to the shape's."""
    back = np.median(pixels[labels == background], axis=0)
    shown = pixels[_eroded(labels == color)]
    front = np.median(shown, axis=0) if len(shown) else _COLORS[color]
    way = front - back
    return np.clip((pixels - back) @ way / max(float(way @ way), 1.0), 0.0, 1.0)


def _fit(alpha: Array, shape: Shape) -> tuple[float, float]:
    """Overlap and radius of the shape with the same area and centre as the coverage."""
    alpha = np.clip((alpha - NOISE) / (1 - 2 * NOISE), 0.0, 1.0)
    mass = max(float(alpha.sum()), 1e-6)
    radius = float(np.sqrt(mass / area(shape)))
    grid = np.arange(len(alpha)) + 0.5
    cx, cy = centroid(shape)
    x = float((alpha.sum(0) * grid).sum() / mass) - cx * radius
    y = float((alpha.sum(1) * grid).sum() / mass) - cy * radius
    ideal = coverage(shape, x, y, radius)
    return float(np.minimum(alpha, ideal).sum() / np.maximum(alpha, ideal).sum()), radius


def _edge_width(alpha: Array, shape: Shape, radius: float) -> float:
    """A straight ramp of width w adds w / 6 of alpha (1 - alpha) per pixel of outline."""
    return float(6 * (alpha * (1 - alpha)).sum() / (perimeter(shape) * radius))


def main() -> None:
    """Judge the pictures named on the command line, one line of JSON each."""
    parser = argparse.ArgumentParser(description="Tell what pictures of the tiny models show.")
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    for path in parser.parse_args().pictures:
        print(json.dumps({"picture": str(path), **asdict(judge(path))}))


if __name__ == "__main__":
    main()
