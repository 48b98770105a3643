"""One file with a whole Stable Diffusion 1.x, in the layout of its first code (LDM).

The names are those that such files on the web have; diffusers reads them with `from_single_file`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def single_file(pipe: Any, path: Path) -> Path:
    """Save the UNet, the autoencoder and the text encoder of a pipeline as one file."""
    tensors = {
        **_prefixed("model.diffusion_model.", _unet(pipe.unet)),
        **_prefixed("first_stage_model.", _autoencoder(pipe.vae)),
        **_prefixed("cond_stage_model.transformer.text_model.", _text(pipe.text_encoder)),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def _prefixed(prefix: str, named: Iterator[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in named}


def _text(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in model.state_dict().items():
        yield name.removeprefix("text_model."), tensor


def _unet(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Blocks are counted through: so many of each level, then what changes the size."""
    per_level = model.config.layers_per_block + 1
    places = dict(_UNET)
    for level, block in enumerate(model.down_blocks):
        first = 1 + level * per_level
        for layer in range(len(block.resnets)):
            places[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{first + layer}.0"
            places[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{first + layer}.1"
        places[f"down_blocks.{level}.downsamplers.0.conv"] = (
            f"input_blocks.{first + per_level - 1}.0.op"
        )
    for level, block in enumerate(model.up_blocks):
        last = (level + 1) * per_level - 1
        for layer in range(len(block.resnets)):
            at = level * per_level + layer
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{at}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{at}.1"
        after = 2 if hasattr(block, "attentions") else 1
        places[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{last}.{after}.conv"
    for name, tensor in model.state_dict().items():
        place, rest = _placed(name, places)
        yield f"{place}.{_renamed(rest, _RESNET) if '.resnets.' in name else rest}", tensor


def _autoencoder(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The way up is counted from its end, and attention is a convolution of one pixel."""
    last = len(model.config.block_out_channels) - 1
    for name, tensor in model.state_dict().items():
        if ".attentions." in name:
            place, rest = name.split(".attentions.0.")
            if tensor.dim() == 2:
                tensor = tensor[:, :, None, None]
            yield f"{place.replace('mid_block', 'mid')}.attn_1.{_renamed(rest, _ATTENTION)}", tensor
            continue
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{last - int(m[1])}", name)
        name = name.replace("down_blocks.", "down.").replace("resnets.", "block.")
        name = name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        yield name, tensor


def _placed(name: str, places: dict[str, str]) -> tuple[str, str]:
    known = next(known for known in places if name.startswith(known + "."))
    return places[known], name.removeprefix(known + ".")


def _renamed(name: str, names: dict[str, str]) -> str:
    layer, _, kind = name.rpartition(".")
    return f"{names.get(layer, layer)}.{kind}"
