"""The pictures that cases begin with: drawn by arithmetic, the same on every machine."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 64


def photograph(side: int = SIDE) -> Image.Image:
    """Something with slopes, edges and all colours."""
    y, x = np.mgrid[0:side, 0:side] / side
    red = np.where((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1, 0.9, x)
    return _picture(np.stack([red, y, (1 + np.sin(9 * (x + y))) / 2], axis=-1))


def edges(side: int = SIDE) -> Image.Image:
    """White outlines on black, as a ControlNet for edges is given."""
    y, x = np.mgrid[0:side, 0:side] / side
    outline = np.abs(np.hypot(x - 0.5, y - 0.5) - 0.3) < 0.04
    return _picture(np.repeat(outline[..., None].astype(float), 3, axis=-1))


def depth(side: int = SIDE) -> Image.Image:
    """Grey slopes, as a ControlNet for depth is given."""
    y, x = np.mgrid[0:side, 0:side] / side
    return _picture(np.repeat((x * y)[..., None], 3, axis=-1))


def mask(side: int = SIDE) -> Image.Image:
    """The left half is to be drawn anew."""
    return _picture(np.mgrid[0:side, 0:side][1] < side // 2).convert("L")


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray((values * 255).astype(np.uint8))
