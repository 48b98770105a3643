"""Unmodified scripts under `SD_BACKEND=oneflow`, in processes of their own."""

from __future__ import annotations

import pytest

PICTURE = """
    import sys
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline

    dtype = getattr(torch, sys.argv[3]) if len(sys.argv) > 3 else None
    pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1], torch_dtype=dtype).to("cuda")
    image = pipe(
        "a red circle",
        num_inference_steps=4,
        height=32,
        width=32,
        generator=torch.Generator("cuda").manual_seed(0),
    ).images[0]
    np.save(sys.argv[2], np.asarray(image).astype(int))
"""


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_script_written_for_a_gpu(run_script, tiny_pipe_folder, tmp_path, dtype) -> None:
    import numpy as np

    pictures = []
    for backend in ("torch", "oneflow"):
        path = tmp_path / f"{backend}.npy"
        # The reference in full precision: that is what OneFlow's CPU kernels compute in.
        asked = "float32" if backend == "torch" else dtype
        done = run_script(
            PICTURE,
            tiny_pipe_folder,
            path,
            asked,
            backend=backend,
            env={"SD_FALLBACK": "error"},
        ).ok()
        pictures.append(np.load(path))
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    assert "nn.Graph" in done.stderr
    if dtype != "float32":
        assert f"{dtype} runs as float32 here (oneflow has no {dtype} on a CPU)" in done.stderr


def test_a_precision_that_it_lacks_is_refused(run_script, tiny_pipe_folder, tmp_path) -> None:
    done = run_script(
        PICTURE,
        tiny_pipe_folder,
        tmp_path / "x.npy",
        backend="oneflow",
        env={"SD_PRECISION": "bf16"},
    )
    assert done.code == 2
    assert "has no precision 'bf16' on cpu" in done.stderr and "accepted: fp32" in done.stderr
    assert "Traceback" not in done.stderr
