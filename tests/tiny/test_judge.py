"""The judge against pictures whose content is known, and against what is no such picture."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from judge import judge
from PIL import Image, ImageFilter
from shapes import SHAPES, SIZES, Placement, Scene, all_scenes, jitter, render

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny"
SCENES = all_scenes()


def test_reads_every_scene_at_random_places() -> None:
    rng = np.random.default_rng(1)
    for scene in SCENES:
        verdict = judge(render(scene, jitter(rng)))
        assert verdict.scene == scene, verdict
        assert verdict.overlap > 0.95 and verdict.margin > 0.1, verdict


def test_outlines_are_as_crisp_for_small_as_for_big() -> None:
    width = {
        size: np.mean([judge(render(s)).edge_width for s in SCENES if s.size == size])
        for size in SIZES
    }
    assert width["small"] == pytest.approx(width["big"], rel=0.25)
    assert 0.5 < width["small"] < 1.5


def test_blur_widens_the_edge_and_changes_nothing_else() -> None:
    for scene in SCENES[::7]:
        crisp = Image.fromarray(render(scene))
        soft = judge(crisp.filter(ImageFilter.GaussianBlur(1.0)))
        assert soft.scene == scene, soft
        assert soft.edge_width > 2 * judge(crisp).edge_width


def test_reads_through_noise() -> None:
    rng = np.random.default_rng(2)
    noisy = [render(scene) + rng.normal(0, 8, (64, 64, 3)) for scene in SCENES]
    right = [
        judge(np.clip(picture, 0, 255).astype(np.uint8)).scene == scene
        for picture, scene in zip(noisy, SCENES, strict=True)
    ]
    assert np.mean(right) > 0.97


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_answer_is_told_from_a_right_one(shape: str) -> None:
    others = [other for other in SHAPES if other != shape]
    for other in others:
        assert judge(render(Scene("big", "red", other, "white"))).shape != shape


def test_size_is_told_by_area_up_to_the_middle_between_both() -> None:
    for size, scale in (("small", 1.25), ("big", 0.8)):
        for shape in SHAPES:
            scene = Scene(size, "blue", shape, "yellow")
            assert judge(render(scene, Placement(scale=scale))).size == size


def test_accepts_paths_images_bytes_floats_and_other_sizes(tmp_path: Path) -> None:
    scene = Scene("big", "green", "star", "black")
    array = render(scene)
    image = Image.fromarray(array)
    image.save(tmp_path / "star.png")
    forms = [
        array,
        array.astype(np.float32) / 255,
        array.astype(int),
        image,
        image.convert("RGBA"),
        image.resize((256, 256)),
        tmp_path / "star.png",
        str(tmp_path / "star.png"),
    ]
    for form in forms:
        assert judge(form).scene == scene


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_shows_no_shape(level: int) -> None:
    verdict = judge(np.full((64, 64, 3), level, np.uint8))
    assert verdict.shape is None and verdict.size is None and verdict.scene is None
    assert verdict.background is not None and verdict.overlap == 0


def test_noise_shows_no_shape() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        verdict = judge(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        assert verdict.scene is None, verdict


def test_a_speck_is_no_shape_and_two_shapes_overlap_badly() -> None:
    speck = np.full((64, 64, 3), 245, np.uint8)
    speck[30:35, 30:35] = (220, 30, 30)
    assert judge(speck).shape is None
    left = render(Scene("small", "red", "circle", "white"), Placement(-16, -16))
    right = render(Scene("small", "red", "circle", "white"), Placement(16, 16))
    assert judge(np.minimum(left, right)).overlap < 0.6


def test_nan_does_not_crash_and_a_wrong_array_is_named() -> None:
    assert judge(np.full((64, 64, 3), np.nan)).scene is None
    with pytest.raises(ValueError, match=r"\(4, 4, 4, 3\)"):
        judge(np.zeros((4, 4, 4, 3)))


def test_the_command_line_prints_json_and_loads_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "square.png"
    Image.fromarray(render(Scene("small", "purple", "square", "orange"))).save(path)
    command = [sys.executable, str(TINY / "judge.py"), str(path)]
    printed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (printed["shape"], printed["size"]) == ("square", "small")
    assert (printed["color"], printed["background"]) == ("purple", "orange")
    probe = "import sys; sys.path.append(sys.argv[1]); import judge; print('torch' in sys.modules)"
    command = [sys.executable, "-c", probe, str(TINY)]
    assert subprocess.run(command, capture_output=True, check=True).stdout.strip() == b"False"
