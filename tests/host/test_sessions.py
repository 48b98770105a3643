"""Sessions nest, and undo exactly what they did."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

import sdbackends
from sdbackends import session
from sdbackends.errors import UnknownBackendError, UsageError
from sdbackends.host import cuda


def test_sessions_nest(enable: Any) -> None:
    to = torch.Tensor.to
    with enable(precision="fp32") as outer:
        assert session.active() is outer
        laid = torch.Tensor.to
        with enable(precision="bf16") as inner:
            assert session.active() is inner and torch.Tensor.to is laid
        assert session.active() is outer and cuda.is_applied() == cuda.is_missing()
    assert session.active() is None and not cuda.is_applied() and torch.Tensor.to is to


def test_closing_out_of_order_is_refused(enable: Any) -> None:
    outer, inner = enable(), enable()
    with pytest.raises(UsageError, match="later one"):
        outer.close()
    assert session.active() is inner
    sdbackends.disable()
    assert session.active() is None
    outer.close()
    inner.close()


def test_an_unknown_backend_leaves_nothing() -> None:
    before = dict(vars(torch.cuda))
    with pytest.raises(UnknownBackendError, match="did you mean 'jax'"):
        sdbackends.use("jaxx")
    assert session.active() is None and dict(vars(torch.cuda)) == before


def run(script: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


WATCH = """
import sys, types, warnings
warnings.simplefilter('ignore')

def owners():
    names = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "warnings")
    for name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and name.partition(".")[0] in names:
            yield name, vars(module)
            for key, thing in list(vars(module).items()):
                if isinstance(thing, type) and thing.__module__ == name:
                    yield f"{name}.{key}", vars(thing)

def snapshot():
    seen = {name: dict(members) for name, members in owners()}
    seen["sys.modules"] = dict(sys.modules)
    seen["sys"] = {"meta_path": list(sys.meta_path), "path": list(sys.path)}
    return seen

def changed(before, after):
    for name, members in before.items():
        if name == "sys":
            yield from (k for k in members if [*map(id, members[k])] != [*map(id, after[name][k])])
            continue
        for key, value in members.items():
            if after[name].get(key, snapshot) is not value:
                yield f"{name}.{key}"
        if name not in ("sys.modules",):
            yield from (f"{name}.{key} (new)" for key in after[name] if key not in members)

def traces():
    for name, members in owners():
        for key, value in members.items():
            if isinstance(value, (classmethod, staticmethod)):
                value = value.__func__
            # Not getattr on everything: some objects of torch answer any name.
            if isinstance(value, (types.FunctionType, type)):
                function = isinstance(value, types.FunctionType)
                where = value.__globals__.get("__name__") if function else value.__module__
                if str(where).startswith("sdbackends"):
                    yield f"{name}.{key}"

def generate(folder):
    import torch
    from diffusers import StableDiffusionPipeline
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float16)
    pipe.enable_model_cpu_offload() if not torch.version.cuda else None
    pipe.to("cuda")
    g = torch.Generator("cuda").manual_seed(0)
    with torch.autocast("cuda"):
        pipe("ab", num_inference_steps=1, generator=g, output_type="np")
    torch.set_default_device("cuda"); torch.zeros(1); torch.set_default_device(None)
    torch.cuda.synchronize()
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_undo_is_exact(tiny_pipe_folder: Path) -> None:
    """Every attribute of every module and class of the libraries is the object that it was."""
    script = """
    import torch, diffusers, transformers, accelerate
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel
    import sdbackends

    # What a first picture imports and caches is plain torch's own doing.
    StableDiffusionPipeline.from_pretrained(sys.argv[1])("ab", num_inference_steps=1)
    with sdbackends.use("torch", rng="cuda", precision="bf16"):
        generate(sys.argv[1])
    before = snapshot()
    with sdbackends.use("torch", rng="cuda", precision="bf16"):
        with sdbackends.use("torch", precision="fp32"):
            generate(sys.argv[1])
    differences = sorted(changed(before, snapshot()))
    assert not differences, differences
    assert not list(traces()), list(traces())
    """
    run(WATCH + textwrap.dedent(script), tiny_pipe_folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_what_is_imported_during_a_session_keeps_no_trace(tiny_pipe_folder: Path) -> None:
    script = """
    import sdbackends

    session = sdbackends.use("torch", rng="cuda")
    generate(sys.argv[1])
    session.close()
    assert not list(traces()), list(traces())
    assert not [f for f in sys.meta_path if type(f).__module__.startswith("sdbackends")]
    """
    run(WATCH + textwrap.dedent(script), tiny_pipe_folder)
