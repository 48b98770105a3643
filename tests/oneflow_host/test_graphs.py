"""The UNet under nn.Graph gives what it gives eagerly, whatever changes between two calls."""

from __future__ import annotations

from sdbackends.paths import pipelines_dir
from tests.oneflow_host.conftest import Host

UNET = str(pipelines_dir() / "tiny" / "sd" / "unet")

BEGIN = """
import sys
import torch, diffusers, oneflow
from sdbackends.oneflow_host import graphs


unet = diffusers.UNet2DConditionModel.from_pretrained(sys.argv[1])
width = unet.config.cross_attention_dim

def inputs(batch, size, seed=0):
    g = torch.Generator().manual_seed(seed)
    latents = torch.randn(batch, 4, size, size, generator=g)
    return latents, torch.randn(batch, 77, width, generator=g)

def error(x, text, t=7):
    with torch.no_grad():
        ours = unet(x, torch.tensor(t), encoder_hidden_states=text).sample
        theirs = graphs._nn_call(unet, x, torch.tensor(t), encoder_hidden_states=text).sample
    return float((ours - theirs).abs().max() / theirs.abs().max())
"""

CHANGES = """
for batch, size in ((1, 8), (2, 8), (1, 8), (1, 16), (2, 8), (1, 8)):
    assert error(*inputs(batch, size)) < 1e-5, (batch, size)

# Strided inputs: the graph would overwrite them.
x, text = inputs(1, 8)
wide = x.expand(2, -1, -1, -1)
before = wide.numpy().copy()
for _ in range(3):
    assert error(wide, text.expand(2, -1, -1)) < 1e-5
assert (wide.numpy() == before).all()

# Results of earlier calls stay what they were: a scheduler keeps four.
with torch.no_grad():
    results = [unet(inputs(1, 8, n)[0], torch.tensor(n), text).sample for n in range(6)]
copies = [r.numpy().copy() for r in results]
for n in range(6):
    error(*inputs(1, 8, 50 + n))
assert all((r.numpy() == c).all() for r, c in zip(results, copies))

# Weights edited in place, and replaced.
with torch.no_grad():
    unet.conv_out.weight.mul_(1.5) if hasattr(unet.conv_out.weight, "mul_") else None
    assert error(x, text) < 1e-5 and error(x, text) < 1e-5
    unet.conv_out.weight = torch.nn.Parameter(unet.conv_out.weight * 2)
    assert error(x, text) < 1e-5 and error(x, text) < 1e-5
print("same")
"""


def test_shapes_strides_and_weights(host: Host) -> None:
    assert host.says(BEGIN + CHANGES, UNET)[-1] == "same"


def test_above_the_memory_limit_it_runs_eagerly_and_says_so(host: Host) -> None:
    limited = """
import sys
from sdbackends.host.patches import Patches
from sdbackends.oneflow_host import session
patches = Patches()
session.apply(patches, {"graph_memory_limit": "1 MB"})
"""
    script = limited + BEGIN + "print(all(error(*inputs(1, 8)) == 0 for _ in range(3)))"
    done = host.run(script, UNET, shim=False)
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr
    assert done.stderr.count("UNet2DConditionModel runs eagerly: its nn.Graph would take") == 1
    assert "the limit is 0.0 GB" in done.stderr and "nn.Graph\n" not in done.stderr
