"""The dtype in which models are loaded, and what float16 means without CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdbackends.host import activate, precision

diffusers = pytest.importorskip("diffusers")
safetensors = pytest.importorskip("safetensors.torch")
transformers = pytest.importorskip("transformers")
HERE_HALF = torch.float16 if torch.cuda.is_available() else torch.bfloat16
FILE = "diffusion_pytorch_model.safetensors"
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
    [("none", torch.float32), ("float16", torch.float16), ("variant", torch.float16)],
)
def test_without_a_choice_the_script_decides(
    enable: Any, unet_folder: Path, named: str, dtype: torch.dtype
) -> None:
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, **NAMED[named])
    assert model.dtype is dtype


def brought_to_cuda(model: Any) -> Any:
    return model.to("cuda")


def brought_to_cuda_by_its_method(model: Any) -> Any:
    return model.cuda()


def offloaded(model: Any) -> Any:
    model.enable_group_offload("cuda")
    return model


def called(model: Any) -> Any:
    with torch.no_grad():
        model(torch.zeros(1, 3, 8, 8, dtype=torch.float16), 0)
    return model


@without_cuda
@pytest.mark.parametrize("use", [brought_to_cuda, brought_to_cuda_by_its_method, offloaded, called])
def test_float16_becomes_bfloat16_when_the_model_is_used(
    enable: Any, unet_folder: Path, tmp_path: Path, use: Any
) -> None:
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16)
    kept = model.conv_norm_out.float()  # as `_keep_in_fp32_modules` has it
    model.save_pretrained(tmp_path)
    assert safetensors.load_file(tmp_path / FILE)["conv_in.weight"].dtype is torch.float16
    used = use(model)
    assert used.dtype is torch.bfloat16
    assert kept.weight.dtype is torch.float32
    assert isinstance(used.conv_in.weight, torch.nn.Parameter)


@without_cuda
def test_after_cuda_was_named_models_are_loaded_as_bfloat16(enable: Any, unet_folder: Path) -> None:
    enable(precision=None)
    torch.nn.Linear(1, 1).to("cuda")
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16)
    assert model.dtype is torch.bfloat16
    assert model.float().half().dtype is torch.bfloat16


@without_cuda
def test_an_autoencoder_is_used_by_its_coders(enable: Any) -> None:
    enable(precision=None)
    vae = diffusers.VQModel(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    vae.eval().half()
    assert vae.dtype is torch.float16
    with torch.no_grad():
        latents = vae.encode(torch.zeros(1, 3, 8, 8, dtype=torch.float16)).latents
    assert vae.dtype is latents.dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("chosen", "named", "dtype"),
    [
        ("fp32", "none", torch.float32),
        ("bf16", "float32", torch.bfloat16),
        (None, "float32", torch.float32),
        (None, "none", torch.float16),
        (None, "old name", torch.float16),
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
