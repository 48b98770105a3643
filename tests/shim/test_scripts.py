"""Scripts under the shim with the real torch: as without it, and with "cuda" on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts import RunScript

torch = pytest.importorskip("torch")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")

PLAIN = """
import importlib.metadata, importlib.util, io, multiprocessing, pickle, sys

spec = importlib.util.find_spec("torch")
import torch, torch.nn as nn

def child(queue):
    queue.put(torch.full((2,), 3.0).sum().item())

def train():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    for x, y in torch.utils.data.DataLoader(data, batch_size=8, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return model, loss.item()

if __name__ == "__main__":
    print(spec.origin == torch.__file__, spec.loader.path == torch.__loader__.path)
    print(importlib.metadata.version("torch") == torch.__version__.partition("+")[0])
    model, loss = train()
    print(loss, [p.sum().item() for p in model.parameters()])
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    print(torch.load(file)["0.bias"].equal(model[0].bias), pickle.loads(pickle.dumps(model))[0])
    print(pickle.dumps(torch.Generator().manual_seed(1)) is not None, torch.Generator().device)
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(method, queue.get(timeout=100))
        process.join()
    raise RuntimeError("the script's own")
"""


def test_a_plain_torch_script_runs_as_without_the_shim(run_script: RunScript) -> None:
    under_shim = run_script(PLAIN, backend="torch")
    plain = run_script(PLAIN, shim=False)
    assert under_shim == plain and plain.code == 1
    assert "spawn 6.0" in plain.stdout
    assert plain.stderr.endswith("RuntimeError: the script's own\n")


def test_a_script_without_diffusers_loads_no_engine(run_script: RunScript) -> None:
    script = """
    import sys, torch
    heavy = ("jax", "yaml", "pydantic", "diffusers", "torch._dynamo", "numpy")
    heavy += ("sdbackends.runtime.router",)
    before = {"numpy"} if "numpy" in sys.modules else set()
    print([name for name in heavy if name in sys.modules and name not in before])
    """
    assert run_script(script, backend="jax").ok().stdout == "[]\n"


def test_a_notebook_that_has_torch_already(run_script: RunScript) -> None:
    script = """
    import torch, sdbackends
    to = torch.Tensor.to
    with sdbackends.use("torch"):
        x = torch.ones(2).to("cpu")
    sdbackends.use("torch")
    sdbackends.disable()
    print(torch.Tensor.to is to)
    """
    for shim in (True, False):
        assert run_script(script, shim=shim).ok().stdout == "True\n"


GPU_SCRIPT = """
import sys
from diffusers import StableDiffusionPipeline
import torch

device = "cuda"
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float16)
pipe = pipe.to(device)
pipe.enable_model_cpu_offload()
generator = torch.Generator(device="cuda").manual_seed(1)
torch.cuda.reset_peak_memory_stats()
with torch.autocast("cuda"):
    pictures = pipe("ab", num_inference_steps=2, generator=generator, output_type="np").images
torch.cuda.synchronize()
given = torch.randn(1, 4, 16, 16, device=device, dtype=torch.float16)
latents = pipe("ab", num_inference_steps=2, latents=given, output_type="latent").images
pipe("ab", num_inference_steps=1, latents=given)
print(pictures.shape[-1], latents.cpu().numpy().dtype, torch.cuda.max_memory_allocated())
"""


@without_cuda
@pytest.mark.parametrize("backend", ["torch", "jax", "compile"])
def test_a_script_for_a_gpu_runs_here(
    run_script: RunScript, tiny_pipe_folder: Path, backend: str
) -> None:
    done = run_script(
        GPU_SCRIPT, tiny_pipe_folder, backend=backend, env={"SD_FALLBACK": "error"}
    ).ok()
    assert done.stdout == "3 float32 0\n"
    for words in ("'cuda' means torch on the CPU", "float16 runs as float32", "does nothing here"):
        assert done.stderr.count(words) == 1


SEEDED = """
import sys
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1])
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
pipe.to("cuda")

seen = []
call = pipe.unet.forward

def forward(sample, *args, **kwargs):
    seen.append(sample[:1])
    return call(sample, *args, **kwargs)

pipe.unet.forward = forward
for generator in (torch.Generator("cuda").manual_seed(0), None):
    torch.manual_seed(0)
    seen.clear()
    pipe("ab", num_inference_steps=1, generator=generator, output_type="latent")
    print(*(f"{number:.4f}" for number in seen[0].flatten()[:4]))
"""


@without_cuda
def test_the_noise_is_that_of_a_gpu(run_script: RunScript, tiny_pipe_folder: Path) -> None:
    done = run_script(SEEDED, tiny_pipe_folder, backend="torch", env={"SD_RNG": "cuda"}).ok()
    # The first numbers of seed 0 on any GPU (see tests/host/test_philox.py).
    assert done.stdout == "-0.9247 -0.4253 -2.6438 0.1452\n" * 2
