"""The world of the tiny models: one shape on a plain background, 64x64 pixels.

A `Scene` says what a picture shows (size, colour, shape, background); `render` turns it
into an anti-aliased RGB array by measuring every pixel's distance to the outline.
`training_scenes` and `withheld_scenes` split all 448 scenes: the withheld 200 are never
rendered during training and are the test set. Needs numpy only. The files of this folder
import each other by plain name, so run them as scripts or put the folder on `sys.path`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Size = Literal["small", "big"]
Color = Literal["red", "green", "blue", "yellow", "purple", "orange", "white", "black"]
Shape = Literal["circle", "square", "triangle", "star"]
Array = NDArray[np.float64]

SIZES: tuple[Size, ...] = get_args(Size)
COLORS: tuple[Color, ...] = get_args(Color)
SHAPES: tuple[Shape, ...] = get_args(Shape)

RESOLUTION = 64
WITHHELD = 200
RADIUS: dict[Size, float] = {"small": 12.0, "big": 23.0}
PALETTE: dict[Color, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 170, 60),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 40),
    "purple": (150, 50, 180),
    "orange": (245, 140, 30),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}


@dataclass(frozen=True)
class Scene:
    """What one picture shows."""

    size: Size
    color: Color
    shape: Shape
    background: Color


@dataclass(frozen=True)
class Placement:
    """Where the shape stands, in pixels: offset from the middle, and radius against nominal."""

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0


def all_scenes() -> list[Scene]:
    """Every scene whose shape can be told from its background: 2 x 8 x 4 x 7 = 448."""
    scenes = (Scene(*parts) for parts in product(SIZES, COLORS, SHAPES, COLORS))
    return [scene for scene in scenes if scene.color != scene.background]


@cache
def withheld_scenes() -> tuple[Scene, ...]:
    """The 200 scenes of the test set, picked by a hash of their words: stable for ever."""
    return tuple(sorted(all_scenes(), key=_digest)[:WITHHELD])


def training_scenes() -> list[Scene]:
    """The 248 scenes that training may show."""
    withheld = set(withheld_scenes())
    return [scene for scene in all_scenes() if scene not in withheld]


def jitter(rng: np.random.Generator) -> Placement:
    """A small random placement, so that no two training pictures are alike."""
    dx, dy = rng.uniform(-2.5, 2.5, 2)
    return Placement(float(dx), float(dy), float(rng.uniform(0.94, 1.06)))


def render(scene: Scene, placement: Placement = Placement()) -> NDArray[np.uint8]:
    """The picture of a scene as a (64, 64, 3) array of bytes."""
    middle = RESOLUTION / 2
    radius = RADIUS[scene.size] * placement.scale
    alpha = coverage(scene.shape, middle + placement.dx, middle + placement.dy, radius)[..., None]
    front, back = np.array(PALETTE[scene.color]), np.array(PALETTE[scene.background])
    return np.rint(alpha * front + (1 - alpha) * back).astype(np.uint8)


def coverage(
    shape: Shape, x: float, y: float, radius: float, resolution: int = RESOLUTION
) -> Array:
    """How much of every pixel the shape covers, 0..1, for a shape centred at pixel (x, y)."""
    grid = np.arange(resolution) + 0.5
    px, py = np.meshgrid(grid - x, grid - y)
    return np.clip(0.5 - _DISTANCE[shape](px, py, radius), 0.0, 1.0)


def area(shape: Shape) -> float:
    """The area of a shape of radius one."""
    corners = _CORNERS.get(shape)
    if corners is None:
        return float(np.pi)
    following = np.roll(corners, -1, axis=0)
    return float(abs(_cross(corners, following).sum()) / 2)


def centroid(shape: Shape) -> tuple[float, float]:
    """The centre of mass of a shape of radius one, against its own centre."""
    corners = _CORNERS.get(shape)
    if corners is None:
        return 0.0, 0.0
    following = np.roll(corners, -1, axis=0)
    cross = _cross(corners, following)
    x, y = ((corners + following) * cross[:, None]).sum(0) / (3 * cross.sum())
    return float(x), float(y)


def perimeter(shape: Shape) -> float:
    """The length of the outline of a shape of radius one."""
    corners = _CORNERS.get(shape)
    if corners is None:
        return float(2 * np.pi)
    return float(np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).sum())


def _digest(scene: Scene) -> str:
    words = f"{scene.size} {scene.color} {scene.shape} {scene.background}"
    return hashlib.sha256(words.encode()).hexdigest()


def _cross(a: Array, b: Array) -> Array:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _ring(count: int, *radii: float, lower: float = 0.0) -> Array:
    """Corners around the centre, the first at the top, their radii taken in turn."""
    angle = 2 * np.pi * np.arange(count) / count
    r = np.resize(np.array(radii), count)
    return np.stack([r * np.sin(angle), lower - r * np.cos(angle)], axis=1)


_HALF = np.sqrt(np.pi) / 2  # a square as large as the circle
_INNER = np.sin(np.pi / 10) / np.sin(3 * np.pi / 10)  # the pentagram's own ratio, 0.382
_CORNERS: dict[Shape, Array] = {
    "square": _HALF * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]),
    "triangle": _ring(3, 1.25, lower=0.3125),  # lowered so that its box is centred
    "star": _ring(10, 1.15, 1.15 * _INNER),
}


def _circle(px: Array, py: Array, radius: float) -> Array:
    return np.hypot(px, py) - radius


def _polygon(corners: Array) -> Callable[[Array, Array, float], Array]:
    def distance(px: Array, py: Array, radius: float) -> Array:
        """Signed distance to the outline: negative inside, by the even-odd rule."""
        nearest = np.full(px.shape, np.inf)
        inside = np.zeros(px.shape, dtype=bool)
        points = corners * radius
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
            ex, ey = bx - ax, by - ay
            along = np.clip(((px - ax) * ex + (py - ay) * ey) / (ex * ex + ey * ey), 0.0, 1.0)
            gap = np.hypot(px - ax - along * ex, py - ay - along * ey)
            nearest = np.minimum(nearest, gap)
            if ay != by:
                crosses = (py < ay) != (py < by)
                inside ^= crosses & (px < ax + (py - ay) * ex / ey)
        return np.where(inside, -nearest, nearest)

    return distance


_DISTANCE: dict[Shape, Callable[[Array, Array, float], Array]] = {
    "circle": _circle,
    **{shape: _polygon(corners) for shape, corners in _CORNERS.items()},
}
