"""The dtype in which models are loaded, and what float16 means without CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdbackends import session as activate
from sdbackends.host import precision

diffusers = pytest.importorskip("diffusers")
safetensors = pytest.importorskip("safetensors.torch")
transformers = pytest.importorskip("transformers")
HERE_HALF = torch.float16 if torch.cuda.is_available() else torch.float32
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


def called_after_cuda_was_named(model: Any) -> Any:
    latents = torch.zeros(1, 3, 8, 8, dtype=torch.float16, device="cuda")
    with torch.no_grad():
        model(latents, 0)
    return model


@without_cuda
@pytest.mark.parametrize(
    "use",
    [brought_to_cuda, brought_to_cuda_by_its_method, offloaded, called_after_cuda_was_named],
)
def test_float16_becomes_float32_when_the_model_is_used_on_cuda(
    enable: Any, unet_folder: Path, tmp_path: Path, use: Any
) -> None:
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16)
    model.save_pretrained(tmp_path)
    assert safetensors.load_file(tmp_path / FILE)["conv_in.weight"].dtype is torch.float16
    used = use(model)
    assert used.dtype is torch.float32
    assert isinstance(used.conv_in.weight, torch.nn.Parameter)


@without_cuda
def test_a_script_that_names_no_cuda_keeps_its_float16(enable: Any, unet_folder: Path) -> None:
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16)
    with torch.no_grad():
        out = model(torch.zeros(1, 3, 8, 8, dtype=torch.float16), 0).sample
    assert model.dtype is out.dtype is torch.float16
    assert model.to("cpu").float().half().dtype is torch.float16


@without_cuda
def test_bfloat16_stays_on_cuda(enable: Any, unet_folder: Path) -> None:
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.bfloat16).to("cuda")
    assert model.dtype is torch.bfloat16


@without_cuda
def test_after_cuda_was_named_models_are_loaded_as_float32(enable: Any, unet_folder: Path) -> None:
    enable(precision=None)
    torch.nn.Linear(1, 1).to("cuda")
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16)
    assert model.dtype is torch.float32
    assert model.float().half().dtype is torch.float32


@without_cuda
def test_bf16_is_taken_where_it_is_chosen(enable: Any, unet_folder: Path) -> None:
    enable(precision="bf16")
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16).to("cuda")
    assert model.dtype is torch.bfloat16
    kept = model.conv_norm_out.float()  # as `_keep_in_fp32_modules` has it
    called_after_cuda_was_named(model)
    assert model.dtype is torch.bfloat16 and kept.weight.dtype is torch.float32
    assert precision.of_autocast(torch.float16) is torch.bfloat16


@without_cuda
@pytest.mark.parametrize(("units", "words"), [(True, True), (False, False)])
def test_the_line_names_bf16_where_the_cpu_is_made_for_it(
    enable: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    units: bool,
    words: bool,
) -> None:
    monkeypatch.setattr(precision, "has_bf16_units", lambda: units)
    enable(precision=None)
    for _ in range(2):
        torch.autocast("cuda")
    said = capfd.readouterr().err
    assert said.count("float16 runs as float32 here") == 1
    assert ("SD_PRECISION=bf16 is less exact, and faster on this CPU" in said) is words


@without_cuda
@pytest.mark.parametrize(("units", "said"), [(True, False), (False, True)])
def test_a_slow_bf16_is_said(
    enable: Any,
    unet_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    units: bool,
    said: bool,
) -> None:
    monkeypatch.setattr(precision, "has_bf16_units", lambda: units)
    enable(precision="bf16")
    diffusers.UNet2DModel.from_pretrained(unet_folder)
    assert ("this CPU computes float32 faster" in capfd.readouterr().err) is said


@without_cuda
def test_where_the_engine_has_a_gpu_float16_stays(
    enable: Any, unet_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdbackends.host.gpu.runs_models", lambda settings: True)
    enable(precision=None)
    model = diffusers.UNet2DModel.from_pretrained(unet_folder, dtype=torch.float16).to("cuda")
    assert model.dtype is torch.float16 and torch.cuda.is_available()


@without_cuda
def test_an_autoencoder_is_used_by_its_coders(enable: Any) -> None:
    enable(precision=None)
    vae = diffusers.VQModel(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    vae.eval().half()
    assert vae.dtype is torch.float16
    with torch.no_grad():
        latents = vae.encode(torch.zeros(1, 3, 8, 8, dtype=torch.float16)).latents
        assert vae.dtype is latents.dtype is torch.float16
        picture = torch.zeros(1, 3, 8, 8, dtype=torch.float16, device="cuda")
        latents = vae.encode(picture).latents
    assert vae.dtype is latents.dtype is torch.float32


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
def test_modules_of_the_script_are_torchs_own_business(enable: Any) -> None:
    """Their inputs are the script's, in float16; torch runs them so."""
    enable()
    for convert in (
        lambda m: m.half().cuda(),
        lambda m: m.to("cuda", torch.float16),
        lambda m: m.to(dtype=torch.float16, device="cuda"),
    ):
        module = convert(torch.nn.Linear(1, 1))
        assert module(torch.ones(1, 1).half().cuda()).dtype is torch.float16


@without_cuda
def test_a_module_that_holds_a_model_is_converted_with_it(enable: Any, unet_folder: Path) -> None:
    enable(precision=None)
    holder = torch.nn.Module()
    holder.unet = diffusers.UNet2DModel.from_pretrained(unet_folder)
    holder.head = torch.nn.Linear(1, 1)
    holder.half().to("cuda")
    assert {p.dtype for p in holder.parameters()} == {torch.float32}


@without_cuda
def test_numpy_gives_the_float16_that_the_script_expects(enable: Any) -> None:
    tensor = torch.tensor([1.0, 0.5, -3.25], dtype=torch.bfloat16)
    with enable(precision=None), pytest.raises(TypeError):
        tensor.numpy()
    enable(precision="bf16")
    assert tensor.numpy().dtype == np.float16
    assert tensor.cpu().numpy().tolist() == np.asarray(tensor).tolist() == [1.0, 0.5, -3.25]
    assert torch.ones(1).numpy().dtype == np.float32
    activate.close_all()
    with pytest.raises(TypeError):
        tensor.numpy()


@without_cuda
@pytest.mark.parametrize(
    ("chosen", "dtype"), [(None, torch.float32), ("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_tensors_are_made_to_fit_a_substituted_model(
    enable: Any, chosen: str | None, dtype: torch.dtype
) -> None:
    enable(precision=chosen)
    model = torch.nn.Linear(2, 2).to("cuda", dtype)
    latents = torch.ones(1, 2, dtype=torch.float16)
    mixed, ids, step = torch.ones(1, 2), torch.ones(1, 2).long(), torch.tensor([999.0])
    args, kwargs = precision.convert_inputs(model, (latents, step), {"a": [mixed, ids], "b": None})
    assert [t.dtype for t in args] == [dtype, torch.float32]
    assert [t.dtype for t in kwargs["a"]] == [dtype, torch.int64]
    same = torch.nn.Linear(2, 2)
    assert precision.convert_inputs(same, (mixed,), {})[0][0] is mixed


@without_cuda
def test_tensors_of_a_script_without_cuda_stay(enable: Any) -> None:
    enable(precision=None)
    given = torch.ones(1, 2, dtype=torch.float16)
    assert not precision.substituted()
    assert precision.convert_inputs(torch.nn.Linear(2, 2), (given,), {})[0][0] is given
