"""`sdbackends.disable()`: everything is what it was, and the host can be laid again."""

from __future__ import annotations

from sdbackends.paths import pipelines_dir
from tests.oneflow_host.conftest import Host

SCRIPT = """
import importlib.metadata, sys
import numpy as np
import oneflow, safetensors, safetensors.numpy
import sdbackends, sdbackends.session, sdbackends.oneflow_host.loading
import sdbackends.oneflow_host.graphs, sdbackends.oneflow_host.safetensors_bridge

def state():
    ours = ("torch", "safetensors", "oneflow")
    return {
        "sys.modules": {n: m for n, m in sys.modules.items() if n.partition(".")[0] in ours},
        "Tensor": dict(vars(oneflow.Tensor)),
        "Module": dict(vars(oneflow.nn.Module)),
        "device": dict(vars(oneflow.device)),
        "safetensors": dict(vars(safetensors)),
        "sys.meta_path": dict(enumerate(sys.meta_path)),
        "importlib.metadata": dict(vars(importlib.metadata)),
        "default dtype": {"": sys.intern(str(oneflow.get_default_dtype()))},
    }

def changed(one, other):
    return [n for n in one.keys() | other.keys() if one.get(n, n) is not other.get(n, n)]

def draw(pipe):
    import torch
    generator = torch.Generator("cpu").manual_seed(0)
    return np.asarray(pipe("a red circle", num_inference_steps=3, generator=generator).images[0])

before = state()
with sdbackends.use("oneflow-host"):
    import torch, diffusers
    import diffusers.models.modeling_utils, transformers.modeling_utils
    bases = diffusers.models.modeling_utils.ModelMixin, transformers.modeling_utils.PreTrainedModel
    laid = [dict(vars(base)) for base in bases]
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(sys.argv[1])
    first = draw(pipe)
    with sdbackends.use("oneflow-host"):
        inner = draw(pipe)
    print("inside:", len(changed(before["Tensor"], state()["Tensor"])) > 10)

after = state()
print({key: names for key in before if (names := changed(before[key], after[key]))})
print([changed(old, dict(vars(base))) for old, base in zip(laid, bases)])
try:
    import torch
except ImportError as error:
    print(error)

sdbackends.use("oneflow-host")
import torch
print(np.array_equal(first, inner), np.array_equal(first, draw(pipe)))
sdbackends.disable()
print({key: names for key in before if (names := changed(after[key], state()[key]))})
"""


def test_disable_restores_exactly(host: Host) -> None:
    lines = host.says(SCRIPT, str(pipelines_dir() / "tiny" / "sd"), shim=False)
    assert lines == [
        "inside: True",
        "{}",
        "[['__call__'], ['from_pretrained']]",
        "No module named 'torch'",
        "True True",
        "{}",
    ]


def test_also_where_the_shim_began(host: Host) -> None:
    script = """
    import torch, sys, sdbackends
    print(torch.randn(2, generator=torch.Generator().manual_seed(0)).shape)
    sdbackends.disable()
    import oneflow
    print([n for n in sys.modules if n.partition(".")[0] == "torch"], hasattr(oneflow.Tensor, "mT"))
    """
    assert host.says(script) == ["oneflow.Size([2])", "[] False"]
