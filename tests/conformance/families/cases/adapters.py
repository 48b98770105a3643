"""What is loaded on top of a pipeline: LoRA, IP-Adapter, textual inversion.

Most cases draw before and after a change, so a program that outlived it would be seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.conformance.families.cases.plain import seed
from tests.conformance.families.catalog import case
from tests.conformance.families.models.extra_adapters import ip_adapter, lora, textual_inversion
from tests.conformance.families.models.weights import filled
from tests.conformance.families.pictures import depth, photograph


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as path:
        yield Path(path)


def denoiser(pipe: Any) -> tuple[str, ...]:
    return ("unet",) if "unet" in pipe.components else ("transformer",)


def text_encoders(pipe: Any) -> tuple[str, ...]:
    return tuple(name for name in pipe.components if name.startswith("text_encoder"))


@case("sd15 flux", "LoRA: load, unload", "Adapters")
def lora_load(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    plain = draw()
    with folder() as files:
        pipe.load_lora_weights(lora(pipe, files, denoiser(pipe), 1))
    loaded = draw()
    pipe.unload_lora_weights()
    return [*_different(plain, loaded), draw()]


@case("sd15 sdxl", "LoRA of UNet and text encoders", "Adapters")
def lora_text_encoder(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    plain = draw()
    with folder() as files:
        pipe.load_lora_weights(lora(pipe, files, denoiser(pipe) + text_encoders(pipe), 1))
    return _different(plain, draw())


@case("sd15", "LoRA: several at once, weights", "Adapters")
def lora_several(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    with folder() as files:
        made = {
            name: lora(pipe, files, denoiser(pipe), at) for at, name in enumerate(("ink", "glow"))
        }
        for name, file in made.items():
            pipe.load_lora_weights(file, adapter_name=name)
    pictures = []
    for weights in ([0.7, 0.4], [0.2, 0.9]):
        pipe.set_adapters(list(made), weights)
        pictures.append(draw())
    return _different(*pictures)


@case("sd15", "LoRA: scale of one call", "Adapters")
def lora_scale(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    with folder() as files:
        pipe.load_lora_weights(lora(pipe, files, denoiser(pipe) + text_encoders(pipe), 1))
    return _different(draw(cross_attention_kwargs={"scale": 0.3}), draw())


@case("sd15", "LoRA: fuse, unfuse", "Adapters")
def lora_fuse(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    with folder() as files:
        pipe.load_lora_weights(lora(pipe, files, denoiser(pipe), 1))
    pipe.fuse_lora(lora_scale=0.4)
    fused = draw()
    pipe.unfuse_lora()
    pipe.set_adapters(pipe.get_active_adapters(), 1.0)  # as it was fused, nothing would change
    return _different(fused, draw())


@case("sd15", "textual inversion", "Adapters")
def textual(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, {**call, "prompt": "a <new-word> on a blue background"})
    before = draw()
    with folder() as files:
        width = pipe.text_encoder.config.hidden_size
        pipe.load_textual_inversion(textual_inversion(width, files), token="<new-word>")
    return _different(before, draw())


@case("sd15 sdxl", "IP-Adapter", "Adapters", also="image_encoder")
def ip_adapter_image(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    with folder() as files:
        pipe.load_ip_adapter(**ip_adapter(pipe, files))
    pictures = []
    for scale in (0.4, 0.9):
        pipe.set_ip_adapter_scale(scale)
        pictures.append(draw(ip_adapter_image=photograph()))
    return _different(*pictures, draw(ip_adapter_image=depth()))


@case("sd15", "IP-Adapter: image embeddings, unload", "Adapters", also="image_encoder")
def ip_adapter_embeddings(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    with folder() as files:
        pipe.load_ip_adapter(**ip_adapter(pipe, files))
    embeddings = pipe.prepare_ip_adapter_image_embeds(
        photograph(), None, pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    led = draw(ip_adapter_image_embeds=embeddings)
    pipe.unload_ip_adapter()
    return _different(led, draw())


@case("sd15", "weights exchanged in place (DreamBooth)", "Adapters")
def weights_exchanged(pipe: Any, call: dict[str, Any]) -> Any:
    draw = _drawing(pipe, call)
    before = draw()
    pipe.unet.load_state_dict(filled(type(pipe.unet).from_config(pipe.unet.config), 7).state_dict())
    return _different(before, draw())


def _drawing(pipe: Any, call: dict[str, Any]) -> Any:
    return lambda **changes: pipe(**call, **changes, generator=seed(), output_type="np").images


def _different(*pictures: np.ndarray) -> list[np.ndarray]:
    """The pictures, if each is another one than the one before: the change had an effect."""
    for before, after in itertools.pairwise(pictures):
        assert np.abs(before - after).max() > 4 / 255, "the change shows in no picture"
    return list(pictures)
