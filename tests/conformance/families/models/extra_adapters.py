"""Files of adapters, as users load them: IP-Adapters, LoRAs, textual inversions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from tests.conformance.families.models.extra_conditions import image_encoder

#: Which layers of each part a LoRA stands on.
_TARGETS = {
    "unet": ["to_q", "to_v", "to_out.0", "ff.net.0.proj", "conv1"],
    "transformer": ["to_q", "to_v", "to_out.0"],
    "text_encoder": ["q_proj", "v_proj", "fc1"],
    "text_encoder_2": ["q_proj", "v_proj", "fc1"],
}


def ip_adapter(pipe: Any, folder: Path) -> dict[str, Any]:
    """What `load_ip_adapter` is called with: one file for the UNet, and the image encoder."""
    generator = torch.Generator().manual_seed(3)
    encoder = image_encoder()
    width, tokens = pipe.unet.config.cross_attention_dim, 4

    def weight(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * shape[-1] ** -0.5

    tensors = {
        "image_proj.proj.weight": weight(tokens * width, encoder.config.projection_dim),
        "image_proj.proj.bias": weight(tokens * width),
        "image_proj.norm.weight": 1 + weight(width),
        "image_proj.norm.bias": weight(width),
    }
    layers = [name for name in pipe.unet.attn_processors if name.endswith("attn2.processor")]
    for at, name in enumerate(layers):
        hidden = pipe.unet.get_submodule(name.removesuffix(".processor")).to_q.in_features
        for kind in ("k", "v"):
            tensors[f"ip_adapter.{2 * at + 1}.to_{kind}_ip.weight"] = weight(hidden, width)
    (folder / "models").mkdir(parents=True)
    save_file(tensors, folder / "models" / "ip-adapter.safetensors")
    encoder.save_pretrained(folder / "models" / "image_encoder")
    return {
        "pretrained_model_name_or_path_or_dict": str(folder),
        "subfolder": "models",
        "weight_name": "ip-adapter.safetensors",
    }


def lora(pipe: Any, folder: Path, parts: tuple[str, ...], number: int) -> Path:
    """A LoRA of some parts of the pipeline, in diffusers' file; `number` makes another one."""
    layers = {}
    for part in parts:
        model = getattr(pipe, part)
        # alpha is not the rank, so that a scale that is lost shows.
        config = LoraConfig(r=2, lora_alpha=3, target_modules=_TARGETS[part])
        model.add_adapter(config, adapter_name="made")
        state = get_peft_model_state_dict(model, adapter_name="made")
        generator = torch.Generator().manual_seed(number)
        layers[f"{part}_lora_layers"] = {
            name: torch.randn(tensor.shape, generator=generator) * 0.4
            for name, tensor in state.items()
        }
    for part in parts:
        model = getattr(pipe, part)
        model.delete_adapters("made") if part in _OF_DIFFUSERS else model.delete_adapter("made")
    pipe.save_lora_weights(folder / str(number), **layers)
    return folder / str(number)


_OF_DIFFUSERS = ("unet", "transformer")


def textual_inversion(width: int, folder: Path) -> Path:
    """The two vectors of a new word."""
    path = folder / "learned.safetensors"
    vectors = torch.randn((2, width), generator=torch.Generator().manual_seed(4))
    save_file({"emb_params": vectors}, path)
    return path
