"""`sdbackends run` and `sdbackends generate`: one script, one time, on the backend chosen.

Everything that can be checked is checked before the script's process starts; then that process
takes this one's place, so its exit code, output and signals are the script's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdbackends.cli import options
from sdbackends.errors import UsageError
from sdbackends.launch import start
from sdbackends.launch.pipeline_scripts import check_arguments, pipeline_script
from sdbackends.launch.start import Choices

if TYPE_CHECKING:
    from sdbackends.catalog.backend_files import Backend as Record

#: Everything from the script's name on belongs to the script, `--help` included.
PASS_THROUGH = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}


def run(
    context: typer.Context,
    backend: options.Backend = None,
    precision: options.PrecisionOption = None,
    device: options.Device = None,
    verify: options.Verify = False,
    fallback: options.FallbackOption = None,
) -> None:
    """Run a script, or a module with -m, with nothing changed in it.

    \b
    sdbackends run --backend jax your_script.py --steps 30
    sdbackends run -b unet=jax,vae=compile --verify -m your.module

    What follows the script's name goes to the script untouched.
    """
    arguments = list(context.args)
    check_script(arguments)
    _start(Choices(backend, precision, device, fallback, verify), arguments)


def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What to draw.")],
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", metavar="NAME", help="A script of pipelines/.")
    ] = "stable_diffusion",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to.", show_default=False),
    ] = None,
    backend: options.Backend = None,
    precision: options.PrecisionOption = None,
    device: options.Device = None,
    verify: options.Verify = False,
    fallback: options.FallbackOption = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A folder, or a hub id.", show_default=False),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What to keep out.", show_default=False)
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="N", help="Denoising steps.", show_default=False)
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(metavar="X", help="How strictly to follow the prompt.", show_default=False),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(metavar="N", help="Picture n of a batch has seed + n.", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="512 or 640x512, in pixels.", show_default=False),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="pndm, ddim, euler, euler_a, dpm++, unipc.", show_default=False
        ),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="N", help="Pictures of each prompt.", show_default=False)
    ] = None,
) -> None:
    """Draw a picture with one of the pipelines.

    \b
    sdbackends generate "a big red circle on a blue background" --backend jax -o x.png
    sdbackends generate 蓝色背景上的红色大圆形 --pipeline taiyi -o x.png
    sdbackends generate "a cat" --model sd-legacy/stable-diffusion-v1-5 -b compile

    The pipelines are plain scripts; what is not given here is left to their own defaults.
    """
    script = pipeline_script(pipeline)
    width, height = _size(size)
    given = {
        "--output": output,
        "--model": model,
        "--steps": steps,
        "--guidance": guidance,
        "--seed": seed,
        "--width": width,
        "--height": height,
        "--scheduler": scheduler,
        "--batch": batch,
        "--negative-prompt": negative_prompt,
        # A device that torch has too is the script's own; on another torch itself stays at home.
        "--device": device if device and device.startswith(("cpu", "cuda")) else None,
    }
    # "=", so that a value may begin with a dash; "--" for the same reason before the prompts.
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    words += ["--", *prompts]
    check_arguments(script, words)
    _start(Choices(backend, precision, device, fallback, verify), [str(script), *words])


def _start(choices: Choices, arguments: Sequence[str]) -> None:
    choices = start.chosen(choices, os.environ)
    check_ready(choices)
    start.execute(arguments, start.environment(choices, os.environ))


def check_ready(choices: Choices) -> list[Record]:
    """The backends chosen. A message now is better than one from the middle of a script."""
    from sdbackends.catalog import backend_files
    from sdbackends.settings import Settings

    settings = Settings.from_environment(start.environment(choices, os.environ))
    return [backend_files.require(name) for name in settings.backend.names]


def check_script(arguments: Sequence[str]) -> None:
    """Nothing, when `arguments` begin with a script that exists, or with -m or -c and a word."""
    if not arguments:
        raise UsageError("no script was named", fix="sdbackends run --backend jax your_script.py")
    first = arguments[0]
    if first in ("-m", "-c"):
        if len(arguments) < 2:
            raise UsageError(f"{first} needs a word after it", fix="sdbackends run -m your.module")
    elif first.startswith("-"):
        raise UsageError(
            f"no such option: {first}",
            fix="`sdbackends run --help`; options come before the script",
        )
    elif not Path(first).exists():
        raise UsageError(f"there is no script {first!r}", fix="name a file, or -m and a module")


def _size(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    if not found:
        raise UsageError(f"--size {text!r} cannot be read", fix="--size 512, or --size 640x512")
    return found[1], found[2] or found[1]
