"""Models with random weights and what they are called with, at full size or tiny."""

from __future__ import annotations

import sys
from typing import Any

import torch
from run import ROOT

from first_run.child import Turn

sys.path.insert(0, str(ROOT / "pipelines"))

import _random_models

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def device(turn: Turn) -> str:
    """The GPU, which has to be there but in a rehearsal."""
    if turn.rehearsal:
        return "cpu"
    if not torch.cuda.is_available():
        raise RuntimeError(f"torch sees no GPU here: {_why_none()}")
    return "cuda"


def kind(turn: Turn) -> str:
    return "tiny-random" if turn.rehearsal else "full-random"


def unet(turn: Turn, family: str, dtype: torch.dtype) -> torch.nn.Module:
    """The family's UNet alone: the other parts would be filled for nothing."""
    model = _random_models._MAKERS[family](_random_models._SIZES[kind(turn)])["unet"]
    _random_models._fill(model, dtype, device(turn))
    return model.to(device(turn))


def inputs(turn: Turn, model: Any, batch: int, dtype: torch.dtype) -> dict[str, Any]:
    """One step with guidance: of each picture the part with and without the prompt."""
    config, place = model.config, device(turn)
    rows, size = 2 * batch, config.sample_size

    def random(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(sum(shape)))
        return values.to(place, dtype)

    given: dict[str, Any] = {
        "sample": random(rows, config.in_channels, size, size),
        "timestep": torch.tensor(981, device=place),
        "encoder_hidden_states": random(rows, 77, config.cross_attention_dim),
        "return_dict": False,
    }
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        ids = torch.tensor([[8.0 * size, 8.0 * size, 0, 0, 8.0 * size, 8.0 * size]] * rows)
        given["added_cond_kwargs"] = {
            "text_embeds": random(rows, width),
            "time_ids": ids.to(place, dtype),
        }
    return given


def in_fp32(given: Any) -> Any:
    """The inputs with every floating tensor as float32."""
    if isinstance(given, dict):
        return {name: in_fp32(value) for name, value in given.items()}
    if isinstance(given, torch.Tensor) and given.is_floating_point():
        return given.float()
    return given


def _why_none() -> str:
    try:
        torch.zeros(1, device="cuda")
    except Exception as error:
        return str(error)
    return ""
