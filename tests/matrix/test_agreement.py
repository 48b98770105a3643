"""How right is right: figures that can be done in the head, and every way of being wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sdbackends.launch.pipeline_scripts import pipeline_script
from sdbackends.matrix import agreement, prompt_fidelity
from sdbackends.matrix.agreement import compare
from sdbackends.matrix.results import PictureDifference, Tolerance
from sdbackends.paths import pipelines_dir
from tests.matrix import made_up

STRICT = Tolerance(part_max_relative=1e-3, image_max=3, min_psnr=45, reason="sums")
LOOSE = Tolerance(part_max_relative=0.1, min_psnr=20, reason="8 bits of mantissa")
RANDOM = made_up.cell(model="tiny-random:sd15")
Arrays = Mapping[str, NDArray[np.float32]]


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(16, 200, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def parts() -> dict[str, NDArray[np.float32]]:
    drawn = np.random.default_rng(1)
    names = ("text_encoder", "unet", "vae", "latents")
    return {name: drawn.normal(size=(2, 4, 8, 8)).astype(np.float32) for name in names}


@pytest.fixture
def left(
    tmp_path: Path, pixels: NDArray[np.uint8], parts: Arrays
) -> Callable[..., tuple[Path, Path]]:
    """Two folders, the reference's and one in which some things are other ones."""

    def write(other: Arrays | None = None, *pictures: NDArray[np.uint8]) -> tuple[Path, Path]:
        right, own = tmp_path / "right", tmp_path / "own"
        for folder, arrays in ((right, parts), (own, {**parts, **(other or {})})):
            folder.mkdir(exist_ok=True)
            np.savez(folder / "parts.npz", **arrays)
            Image.fromarray(pixels).save(folder / "picture.png")
        for picture in pictures:
            Image.fromarray(picture).save(own / "picture.png")
        return right, own

    return write


Left = Callable[..., tuple[Path, Path]]


def test_equal_is_equal(left: Left) -> None:
    figures, reason = compare(*left(), STRICT, RANDOM)
    assert reason == ""
    assert set(figures.parts) == {"text_encoder", "unet", "vae", "latents"}
    assert set(figures.parts.values()) == {PictureDifference(max_relative=0, relative_l2=0)}
    assert (figures.image_max, figures.psnr, figures.judged) == (0, None, None)
    assert figures.ssim == pytest.approx(1)


def test_differences_are_relative_to_the_right_one() -> None:
    right, own = np.array([3.0, -4.0]), np.array([3.0, -2.0])
    assert agreement.difference(right, own) == PictureDifference(max_relative=0.5, relative_l2=0.4)
    zeros = np.zeros(2)
    assert agreement.difference(zeros, zeros).max_relative == 0
    assert agreement.difference(zeros, own).max_relative == 1


def test_a_part_that_is_off(left: Left, parts: Arrays) -> None:
    figures, reason = compare(*left({"unet": parts["unet"] * np.float32(1.02)}), STRICT, RANDOM)
    assert figures.parts["unet"].max_relative == pytest.approx(0.02, rel=1e-3)
    assert figures.parts["unet"].relative_l2 == pytest.approx(0.02, rel=1e-3)
    assert reason == "unet: off by 0.02 of the largest value, 0.001 is allowed for fp32"
    assert compare(*left({"unet": parts["unet"] * np.float32(1.02)}), LOOSE, RANDOM)[1] == ""


def test_what_comes_after_the_loop_is_told_and_the_picture_is_held(
    left: Left, parts: Arrays
) -> None:
    other = {"vae": -parts["vae"], "latents": -parts["latents"]}
    figures, reason = compare(*left(other), STRICT, RANDOM)
    assert reason == "" and figures.parts["vae"].max_relative == pytest.approx(2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_a_part(left: Left, parts: Arrays, bad: float) -> None:
    broken = parts["vae"].copy()
    broken[0, 0, 0, 0] = bad
    figures, reason = compare(*left({"vae": broken}), LOOSE, RANDOM)
    assert reason == "vae: NaN or Inf in its output" and "vae" not in figures.parts
    right, own = left({"vae": broken})
    assert "in the reference's output" in compare(own, right, LOOSE, RANDOM)[1]


def test_a_part_of_another_shape_or_none(left: Left, parts: Arrays) -> None:
    _, reason = compare(*left({"unet": parts["unet"][:1]}), LOOSE, RANDOM)
    assert reason == "unet: its shape is (1, 4, 8, 8), not (2, 4, 8, 8)"
    right, own = left()
    (own / "parts.npz").write_bytes((own / "parts.npz").read_bytes()[:100])
    assert "unet: its output was not kept" in compare(right, own, LOOSE, RANDOM)[1]


def test_pictures(left: Left, pixels: NDArray[np.uint8]) -> None:
    figures, reason = compare(*left({}, pixels + np.uint8(2)), STRICT, RANDOM)
    assert figures.image_max == 2 and reason == "the picture: 42.1 dB, 45 dB is the least for fp32"
    assert figures.psnr == pytest.approx(20 * np.log10(255 / 2))
    assert figures.ssim is not None and 0.9 < figures.ssim < 1
    one = pixels.copy()
    one[5, 5, 1] += 40
    figures, reason = compare(*left({}, one), STRICT, RANDOM)
    assert reason == "the picture: off by 40 of 255, 3 is allowed for fp32"


def test_pictures_that_show_nothing(left: Left, pixels: NDArray[np.uint8]) -> None:
    nothing = Tolerance(part_max_relative=1, reason="any")
    for colour, words in ((0, "is all black"), (128, "is all of one colour")):
        blank = np.full_like(pixels, colour)
        right, own = left({}, blank)
        assert compare(right, own, nothing, RANDOM)[1] == f"picture.png {words}"
        assert compare(own, own, nothing, RANDOM)[1] == f"picture.png {words}"


def test_pictures_that_are_not_there(left: Left, pixels: NDArray[np.uint8]) -> None:
    _, reason = compare(*left({}, pixels[:32]), LOOSE, RANDOM)
    assert reason == "picture.png: 64x32 pixels, the reference's has 64x64"
    right, own = left()
    (own / "picture.png").write_bytes(b"\x89PNG cut off")
    assert compare(right, own, LOOSE, RANDOM)[1] == "it left no picture.png"
    assert compare(own, right, LOOSE, RANDOM)[1] == "the reference left no picture"


def test_every_picture_of_a_batch_counts(left: Left, pixels: NDArray[np.uint8]) -> None:
    right, own = left()
    for folder, second in ((right, pixels), (own, pixels + np.uint8(9))):
        Image.fromarray(pixels).save(folder / "picture-1.png")
        Image.fromarray(second).save(folder / "picture-2.png")
    figures, reason = compare(right, own, STRICT, RANDOM)
    assert figures.image_max == 9 and "off by 9" in reason


def test_the_judge_of_the_embedded_models(left: Left) -> None:
    def drawn(colour: str) -> NDArray[np.uint8]:
        shapes = prompt_fidelity._tiny("shapes")
        scene = shapes.Scene("big", colour, "circle", "blue")
        return np.rint(shapes.render(scene)).astype(np.uint8)

    right, own = left()
    anything = Tolerance(part_max_relative=1, reason="any")
    Image.fromarray(drawn("red")).save(right / "picture.png")
    for colour, share in (("red", 1.0), ("green", 0.75)):
        Image.fromarray(drawn(colour)).save(own / "picture.png")
        figures, reason = compare(right, own, anything, made_up.cell())
        assert figures.judged == share
        assert ("the judge reads 75%" in reason) == (colour == "green")
    assert compare(right, own, anything, made_up.cell(pipeline="sdxl"))[0].judged is None


def test_every_pipeline_of_the_embedded_models_can_be_judged() -> None:
    for path in pipelines_dir().glob("[a-z]*.py"):
        embedded = '"tiny/' in pipeline_script(path.stem).read_text("utf-8")
        assert (prompt_fidelity._asked(path.stem) is not None) == embedded, path.stem
