"""The command line of the scripts in this folder: checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import math
import os
import re
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Of models with random weights, see _random_models.py.
FAMILIES = ("sd15", "taiyi", "sdxl", "pixart")
SCHEDULERS = ("pndm", "ddim", "euler", "euler_a", "dpm++", "unipc")
#: No scheduler has so many; how many the model's own has is known when it is loaded.
MOST_STEPS = 10_000
#: Far beyond what draws a picture, and far below where numbers of 16 bits end.
MOST_GUIDANCE = 1000.0
#: What torch's generators take.
FIRST_SEED, LAST_SEED = -(2**63), 2**64 - 1


def parser(description: str, model: str, prompt: str) -> argparse.ArgumentParser:
    """What every script here accepts; `model` and `prompt` are its defaults."""
    parser = _Parser(description=description, formatter_class=_Help)
    add = parser.add_argument
    add("prompts", metavar="PROMPT", nargs="*", type=text, default=[prompt], help="what to draw")
    add("-o", "--output", type=picture_file, default="out.png", help="several: out-1.png, …")
    add("--model", type=model_name, default=_default(model), help="a folder, a hub id, or random")
    add(
        "--negative-prompt",
        metavar="TEXT",
        type=decoded,
        default="",
        help="what to keep out of the picture",
    )
    add("--steps", type=steps, default=20, help="denoising steps")
    add("--guidance", type=guidance, default=7.5, help="how strictly to follow the prompt")
    add("--seed", type=seed, default=0, help="picture n of a batch has seed + n")
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


class _Parser(argparse.ArgumentParser):
    """Knows what one argument alone does not tell."""

    def parse_args(self, *words):
        arguments = super().parse_args(*words)
        if arguments.seed + len(arguments.prompts) * arguments.batch - 1 > LAST_SEED:
            self.error(f"argument --seed: the last picture's would be above {LAST_SEED}")
        # Of a picture to start from, only a share of the steps is taken.
        if int(arguments.steps * getattr(arguments, "strength", 1)) < 1:
            self.error(f"argument --strength: of {arguments.steps} steps it leaves none")
        return arguments


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
    return decoded(given)


def decoded(given: str) -> str:
    """Bytes that are no text in the terminal's encoding come as lone surrogates."""
    try:
        given.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{given!a} is no text in UTF-8") from None
    return given


def positive(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is not a whole number from 1")
    return int(given)


def steps(given: str) -> int:
    number = positive(given)
    if number > MOST_STEPS:
        raise argparse.ArgumentTypeError(f"{number} is above {MOST_STEPS}")
    return number


def seed(given: str) -> int:
    number = int(given)
    if not FIRST_SEED <= number <= LAST_SEED:
        raise argparse.ArgumentTypeError(f"{number} is not from {FIRST_SEED} to {LAST_SEED}")
    return number


def guidance(given: str) -> float:
    number = float(given)
    if not (math.isfinite(number) and abs(number) <= MOST_GUIDANCE):
        raise argparse.ArgumentTypeError(
            f"{given!r} is not a number from {-MOST_GUIDANCE:g} to {MOST_GUIDANCE:g}"
        )
    return number


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


def _path(given: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError:
        user = given.partition("/")[0]
        raise argparse.ArgumentTypeError(f"{given!r}: nobody knows the home of {user}") from None


def existing_file(given: str) -> Path:
    path = _path(given)
    if not os.path.isfile(path):  # False, too, where it cannot be looked at
        raise argparse.ArgumentTypeError(f"there is no file {given!r}")
    return path


def model_name(given: str) -> str:
    """A folder in diffusers' layout, something that can be a hub id, or random weights."""
    if is_random(given):
        family = given.partition(":")[2]
        if family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise argparse.ArgumentTypeError(f"{given!r}: the families are {known}")
    elif os.path.isdir(given):
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
    path = _path(decoded(given))
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise argparse.ArgumentTypeError(f"{given!r}: the name must end in .png, .jpg or .webp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link stays one: what it leads to is written.
        real = path.resolve()
        if real.exists():
            if not real.is_file():
                raise argparse.ArgumentTypeError(f"{given!r} cannot be written: it is no file")
            real.open("ab").close()
        # The picture is written beside it, and takes its place when it is whole.
        tempfile.TemporaryFile(dir=real.parent).close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{given!r} cannot be written: {error.strerror}") from None
    return path
