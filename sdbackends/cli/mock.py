"""`sd-mock`: the text that a shell evaluates so that scripts run on another engine."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from sdbackends import __version__, shells
from sdbackends.errors import UsageError
from sdbackends.launch import check_choice

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sdbackends {__version__}")
        raise typer.Exit


@app.command()
def sd_mock(
    backend: Annotated[
        str | None,
        typer.Argument(metavar="BACKEND", help="A backend, auto, or per part: unet=jax,vae=torch."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Undo it in this shell.")] = False,
    shell: Annotated[
        Literal["auto", "bash", "zsh", "fish"],
        typer.Option(help="Whose text to write (auto: the shell that asks)."),
    ] = "auto",
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Print shell text that puts the stand-in for torch in front of every Python script.

    \b
    eval "$(sd-mock jax)"      bash, zsh: from here on scripts run on jax
    sd-mock jax | source       fish
    python your_script.py      nothing changed in it
    export SD_BACKEND=compile  another backend, without a new eval
    eval "$(sd-mock --off)"    everything as it was

    Without BACKEND the choice is left to SD_BACKEND. `sdbackends backends` lists the names.
    """
    if off and backend is not None:
        raise UsageError(
            f"--off takes no backend, and {backend!r} was given",
            mend='eval "$(sd-mock --off)"',
        )
    check_choice(backend)
    env = os.environ
    named = shells.detect(env) if shell == "auto" else shell
    text = shells.leave(named, env) if off else shells.enter(named, backend, env)
    if sys.stdout.isatty():
        line = shells.eval_line(named, "--off" if off else (backend or ""))
        text = f"# This is shell text; to use it: {line}\n{text}"
    sys.stdout.write(text)
