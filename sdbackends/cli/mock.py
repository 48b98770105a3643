"""`sd-mock`: the text that a shell evaluates so that scripts run on another engine.

argparse, where the other commands have typer: every shell start pays for this one, and typer's
imports alone cost five times the rest.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn, cast

from sdbackends import __version__, shells
from sdbackends.errors import UsageError
from sdbackends.launch import check_choice

_HELP = """\
Print shell text that puts the stand-in for torch in front of every Python script.

  eval "$(sd-mock jax)"      bash, zsh: from here on scripts run on jax
  sd-mock jax | source       fish
  python your_script.py      nothing changed in it
  export SD_BACKEND=compile  another backend, without a new eval
  eval "$(sd-mock --off)"    everything as it was

Without BACKEND the choice is left to SD_BACKEND. `sdbackends backends` lists the names.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, mend="`sd-mock --help` shows how it is used")


def sd_mock() -> None:
    """Read the command line and the environment, write the text."""
    given = _parser().parse_args()
    if given.off and given.backend is not None:
        raise UsageError(
            f"--off takes no backend, and {given.backend!r} was given",
            mend='eval "$(sd-mock --off)"',
        )
    check_choice(given.backend)
    env = os.environ
    shell = shells.detect(env) if given.shell == "auto" else cast(shells.Shell, given.shell)
    text = shells.leave(shell, env) if given.off else shells.enter(shell, given.backend, env)
    if sys.stdout.isatty():
        line = shells.eval_line(shell, "--off" if given.off else (given.backend or ""))
        text = f"# This is shell text; to use it: {line}\n{text}"
    sys.stdout.write(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sd-mock",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "backend",
        metavar="BACKEND",
        nargs="?",
        help="a backend, auto, or per part: unet=jax,vae=torch",
    )
    parser.add_argument("--off", action="store_true", help="undo it in this shell")
    parser.add_argument(
        "--shell",
        choices=("auto", "bash", "zsh", "fish"),
        default="auto",
        help="whose text to write (default: auto, the shell that asks)",
    )
    parser.add_argument("--version", action="version", version=f"sdbackends {__version__}")
    return parser
