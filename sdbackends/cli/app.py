"""`sdbackends`: the commands, each in a module of its own, gathered here."""

from __future__ import annotations

from typing import Annotated

import typer

from sdbackends import __version__
from sdbackends.cli import cache, demo, doctor, env, scripts, table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sdbackends {__version__}")
        raise typer.Exit


@app.callback()
def sdbackends(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """One unmodified Stable Diffusion script on torch, torch.compile, JAX or OneFlow.

    \b
    sdbackends demo                              pictures on every backend, side by side
    sdbackends backends                          what there is, what is ready
    sdbackends run --backend jax your_script.py  your script, one time
    eval "$(sd-mock jax)"                        every script of this shell
    """


app.command(
    context_settings=scripts.PASS_THROUGH, options_metavar="[OPTIONS] SCRIPT [ARGUMENTS]..."
)(scripts.run)
app.command()(scripts.generate)
app.command()(table.backends)
app.command()(doctor.doctor)
app.add_typer(env.env, name="env")
app.command()(cache.cache)
app.command()(demo.demo)
