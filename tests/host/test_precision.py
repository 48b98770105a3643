"""The dtype in which models are loaded, and what float16 means without CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdbackends.host import activate, precision

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
HERE_HALF = torch.float16 if torch.cuda.is_available() else torch.bfloat16
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@pytest.fixture(scope="module")
def unet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unet")
    model = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    model.save_pretrained(folder)
    model.half().save_pretrained(folder, variant="fp16")
    return folder


@pytest.fixture(scope="module")
def half_text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text encoder that was saved as float16, which transformers takes as its default."""
    folder = tmp_path_factory.mktemp("text")
    config = transformers.CLIPTextConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=8,
    )
    transformers.CLIPTextModel(config).half().save_pretrained(folder)
    return folder


NAMED: dict[str, dict[str, Any]] = {
    "none": {},
    "float16": {"dtype": torch.float16},
    "old name": {"torch_dtype": torch.float16},
    "bfloat16": {"dtype": torch.bfloat16},
    "float32": {"dtype": torch.float32},
    "variant": {"variant": "fp16", "dtype": torch.float16},
}


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize(
    ("chosen", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", HERE_HALF)],
)
def test_the_chosen_precision_wins(
    enable: Any, unet_folder: Path, named: str, chosen: str, dtype: torch.dtype
) -> None:
    enable(precision=chosen)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, **NAMED[named])
    assert model.dtype is dtype


@pytest.mark.parametrize(
    ("named", "dtype"),
    [("none", torch.float32), ("float16", HERE_HALF), ("variant", HERE_HALF)],
)
def test_without_a_choice_the_script_decides(
    enable: Any, unet_folder: Path, named: str, dtype: torch.dtype
) -> None:
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, **NAMED[named])
    assert model.dtype is dtype


@pytest.mark.parametrize(
    ("chosen", "named", "dtype"),
    [
        ("fp32", "none", torch.float32),
        ("bf16", "float32", torch.bfloat16),
        (None, "float32", torch.float32),
        (None, "none", HERE_HALF),
        (None, "old name", HERE_HALF),
    ],
)
def test_transformers_too(
    enable: Any, half_text_folder: Path, chosen: str | None, named: str, dtype: torch.dtype
) -> None:
    enable(precision=chosen)
    model = transformers.CLIPTextModel.from_pretrained(half_text_folder, **NAMED[named])
    assert {p.dtype for p in model.parameters()} == {dtype}


def test_one_line_says_so(
    enable: Any, unet_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    enable(precision="fp32")
    for _ in range(2):
        diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.bfloat16)
    said = "sdbackends: SD_PRECISION: models are loaded as float32 instead of bfloat16\n"
    assert capfd.readouterr().err.count(said) == 1


def test_conversions_of_loaded_models(enable: Any, unet_folder: Path) -> None:
    session = enable(precision="fp32")
    model = diffusers.UNet2DModel.from_pretrained(unet_folder)
    assert model.half().dtype is torch.float32
    assert model.to("cpu", torch.bfloat16).dtype is torch.float32
    session.close()
    enable(precision="bf16")
    assert model.half().dtype is torch.bfloat16
    # Pipelines upcast the autoencoder on purpose.
    assert model.to(dtype=torch.float32).dtype is torch.float32


@without_cuda
def test_float16_runs_as_bfloat16(enable: Any) -> None:
    assert not precision.substituted()
    session = enable()
    assert precision.substituted()
    for convert in (
        lambda m: m.half(),
        lambda m: m.to(torch.float16),
        lambda m: m.to("cuda", torch.float16),
        lambda m: m.to(dtype=torch.float16, device="cuda"),
    ):
        assert convert(torch.nn.Linear(1, 1)).weight.dtype is torch.bfloat16
    assert torch.nn.Linear(1, 1).to(torch.float64).weight.dtype is torch.float64
    session.close()
    assert not precision.substituted()
    assert torch.nn.Linear(1, 1).half().weight.dtype is torch.float16


@without_cuda
def test_numpy_gives_the_float16_that_the_script_expects(enable: Any) -> None:
    enable()
    tensor = torch.tensor([1.0, 0.5, -3.25], dtype=torch.bfloat16)
    assert tensor.numpy().dtype == np.float16
    assert tensor.cpu().numpy().tolist() == np.asarray(tensor).tolist() == [1.0, 0.5, -3.25]
    assert torch.ones(1).numpy().dtype == np.float32
    activate.close_all()
    with pytest.raises(TypeError):
        tensor.numpy()


@without_cuda
def test_tensors_are_made_to_fit_a_substituted_model(enable: Any) -> None:
    enable()
    model = torch.nn.Linear(2, 2).half()
    latents = torch.ones(1, 2, dtype=torch.float16)
    mixed, ids, step = torch.ones(1, 2), torch.ones(1, 2).long(), torch.tensor([999.0])
    args, kwargs = precision.fitting(model, (latents, step), {"a": [mixed, ids], "b": None})
    assert [t.dtype for t in args] == [torch.bfloat16, torch.float32]
    assert [t.dtype for t in kwargs["a"]] == [torch.bfloat16, torch.int64]
    same = torch.nn.Linear(2, 2)
    assert precision.fitting(same, (mixed,), {})[0][0] is mixed
