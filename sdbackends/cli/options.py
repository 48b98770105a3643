"""Options that several commands share: their types and their help, once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sdbackends._version import __version__
from sdbackends.settings import Fallback, Precision

#: Of both command lines: plain help without boxes, -h, and errors without a traceback's frame.
APP: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sdbackends {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version."),
]

Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        "-b",
        metavar="NAME",
        help="A backend, auto, or per part: unet=jax,vae=torch. Default: SD_BACKEND, else auto.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    Precision | None, typer.Option("--precision", help="Dtype of the models.", show_default=False)
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", help="The engine's device: cpu, cuda, tpu.", show_default=False
    ),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Compare each model's first call with plain torch.")
]
FallbackOption = Annotated[
    Fallback | None,
    typer.Option(
        "--fallback",
        help="warn: what the engine cannot run runs on torch. error: stop instead.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
