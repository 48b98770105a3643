"""The command line of the scripts in this folder: checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Of models with random weights, see _random_models.py.
FAMILIES = ("sd15", "taiyi", "sdxl", "pixart")
SCHEDULERS = ("pndm", "ddim", "euler", "euler_a", "dpm++", "unipc")


def parser(description: str, model: str, prompt: str) -> argparse.ArgumentParser:
    """What every script here accepts; `model` and `prompt` are its defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=_Help)
    add = parser.add_argument
    add("prompts", metavar="PROMPT", nargs="*", type=text, default=[prompt], help="what to draw")
    add("-o", "--output", type=picture_file, default="out.png", help="several: out-1.png, …")
    add("--model", type=model_name, default=_default(model), help="a folder, a hub id, or random")
    add("--negative-prompt", metavar="TEXT", default="", help="what to keep out of the picture")
    add("--steps", type=positive, default=20, help="denoising steps")
    add("--guidance", type=float, default=7.5, help="how strictly to follow the prompt")
    add("--seed", type=int, default=0, help="picture n of a batch has seed + n")
    add("--height", type=multiple_of_8, help="in pixels; one of the two alone: a square")
    add("--width", type=multiple_of_8, help="in pixels; neither: the model's own size")
    add("--scheduler", choices=SCHEDULERS, help="the model's own if not given")
    add("--batch", type=positive, default=1, help="pictures of each prompt")
    add("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    add("--device", default="auto", help="cpu, cuda, …; auto: cuda where there is one")
    add("--repeat", type=positive, default=1, help="draw so many times, to see the steady speed")
    add("--json", action="store_true", help="last line: files and seconds as JSON")
    return parser


def _default(model: str) -> Path | str:
    return model if is_random(model) else HERE / model


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Lines of the description as they stand, and defaults behind the options."""


def is_random(model: object) -> bool:
    """Whether `model` names random weights: `tiny-random:sd15`, `full-random:sdxl`, …"""
    return str(model).partition(":")[0] in ("tiny-random", "full-random")


def files(output: Path, count: int) -> list[Path]:
    """Where `count` pictures go: x.png, or x-1.png, x-2.png, …"""
    if count == 1:
        return [output]
    return [output.with_stem(f"{output.stem}-{n}") for n in range(1, count + 1)]


def text(given: str) -> str:
    if not given.strip():
        raise argparse.ArgumentTypeError("the prompt is empty; say what to draw")
    return given


def positive(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is not a whole number from 1")
    return int(given)


def multiple_of_8(given: str) -> int:
    pixels = positive(given)
    if pixels % 8:
        near = max(8, round(pixels / 8) * 8)
        raise argparse.ArgumentTypeError(f"{pixels} is not a multiple of 8; try {near}")
    return pixels


def share(given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number above 0 and up to 1")
    return number


def existing_file(given: str) -> Path:
    path = Path(given).expanduser()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {given!r}")
    return path


def model_name(given: str) -> str:
    """A folder in diffusers' layout, something that can be a hub id, or random weights."""
    if is_random(given):
        family = given.partition(":")[2]
        if family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise argparse.ArgumentTypeError(f"{given!r}: the families are {known}")
    elif Path(given).is_dir():
        if not (Path(given) / "model_index.json").is_file():
            raise argparse.ArgumentTypeError(
                f"the folder {given!r} holds no model_index.json; name one that "
                "pipe.save_pretrained() wrote"
            )
    elif not re.fullmatch(r"\w[\w.-]*/[\w.-]+", given):
        raise argparse.ArgumentTypeError(f"{given!r} is neither a folder nor a hub id (owner/name)")
    return given


def picture_file(given: str) -> Path:
    """Proven writable now: after minutes of work it would be too late."""
    path = Path(given).expanduser()
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise argparse.ArgumentTypeError(f"{given!r}: the name must end in .png, .jpg or .webp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{given!r} cannot be written: {error.strerror}") from None
    return path
