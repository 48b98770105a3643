"""`sdbackends`: the commands, each in a module of its own, gathered here."""

from __future__ import annotations

import typer

from sdbackends.cli import (
    backend_list,
    cache,
    demo,
    doctor,
    env,
    matrix,
    ops,
    options,
    report,
    scripts,
)

app = typer.Typer(no_args_is_help=True, **options.APP)


@app.callback()
def sdbackends(_: options.Version = False) -> None:
    """One unmodified Stable Diffusion script on torch, torch.compile, JAX or OneFlow.

    \b
    sdbackends demo                              pictures on every backend, side by side
    sdbackends matrix --quick                    speed and agreement of every backend
    sdbackends backends                          what there is, what is ready
    sdbackends run --backend jax your_script.py  your script, one time
    eval "$(sd-mock jax)"                        every script of this shell
    """


app.command(
    context_settings=scripts.PASS_THROUGH, options_metavar="[OPTIONS] SCRIPT [ARGUMENTS]..."
)(scripts.run)
app.command()(scripts.generate)
app.command(
    context_settings=scripts.PASS_THROUGH, options_metavar="[OPTIONS] SCRIPT [ARGUMENTS]..."
)(ops.ops)
app.command()(backend_list.backends)
app.command()(doctor.doctor)
app.add_typer(env.env, name="env")
app.command()(cache.cache)
app.command()(demo.demo)
app.command()(matrix.matrix)
app.command()(report.report)
