"""`sd-mock`: the text that a shell evaluates so that scripts run on another engine.

With `--check`, which script would find what it needs on a machine that has OneFlow and no torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from sdbackends.cli import options
from sdbackends.errors import UsageError
from sdbackends.launch import shells
from sdbackends.launch.start import check_choice

app = typer.Typer(**options.APP)

_HOST = "oneflow-host"


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
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="SCRIPT",
            help="List the torch names that a script and its local modules use and OneFlow lacks.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With --check: those that hasattr or try guards too.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Say what this shell's scripts run on, and why.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --check or --status: write JSON, for programs.")
    ] = False,
    _: options.Version = False,
) -> None:
    """Print shell text that puts the stand-in for torch in front of every Python script.

    \b
    eval "$(sd-mock jax)"      bash, zsh: from here on scripts run on jax
    sd-mock jax | source       fish
    python your_script.py      nothing changed in it
    export SD_BACKEND=compile  another backend, without a new eval
    eval "$(sd-mock --off)"    everything as it was
    sd-mock --status           is this shell switched? exit code 0: yes, 1: no

    Without BACKEND the choice is left to SD_BACKEND. `sdbackends backends` lists the names.

    On a machine that has oneflow and no torch, OneFlow takes torch's place:

    \b
    sd-mock --check your_script.py     what the script needs and OneFlow lacks
    eval "$(sd-mock oneflow-host)"     `import torch` is OneFlow from here on
    python your_script.py

    --check runs nothing and takes less than a second, the first time a few: OneFlow is asked which
    names it has, and the answer is kept. It reads the script and the local modules that it imports:
    those in the script's folder, below it, or in a folder that PYTHONPATH names. What is installed
    (site-packages, editable too) and the standard library are not read. It lists by file and line
    what they lack; --all adds what a hasattr or a try guards.
    Methods are known where something is a tensor for sure: torch.Tensor.x, torch.randn(…).x(),
    an argument that is annotated torch.Tensor. Not seen: other methods, which arguments a function
    takes, names that are computed in a run. Exit code 0: nothing is listed; 1: something is;
    2: no such file, or not Python.
    """
    if check is not None:
        _check(check, backend, off=off, everything=everything, as_json=as_json)
    if status and not (off or backend or everything):
        from sdbackends.cli.status import say  # imported late, as `run` below

        raise typer.Exit(say(as_json=as_json))
    if everything or as_json or status:
        raise UsageError(
            "--all belongs to --check, --json to --check or --status, --status stands alone",
            fix="sd-mock --check your_script.py, or sd-mock --status",
        )
    if off and backend is not None:
        raise UsageError(
            f"--off takes no backend, and {backend!r} was given",
            fix='eval "$(sd-mock --off)"',
        )
    check_choice(backend)
    env = os.environ
    named = shells.detect(env) if shell == "auto" else shell
    text = shells.leave(named, env) if off else shells.enter(named, backend, env)
    if sys.stdout.isatty():
        line = shells.eval_line(named, "--off" if off else (backend or ""))
        text = f"# This is shell text; to use it: {line}\n{text}"
    sys.stdout.write(text)


def _check(
    script: Path, backend: str | None, *, off: bool, everything: bool, as_json: bool
) -> NoReturn:
    if off or backend not in (None, _HOST):
        given = "--off" if off else repr(backend)
        raise UsageError(
            f"--check does not go with {given}",
            why=f"it looks at what OneFlow lacks in torch's place, which is {_HOST}",
            fix=f"sd-mock --check {script}",
        )
    from sdbackends.cli.check import run  # imported late: every shell start runs this module

    raise typer.Exit(run(script, everything=everything, as_json=as_json))
