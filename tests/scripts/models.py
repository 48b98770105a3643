"""The models that the cases call, as small as they can be, and what they call them with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ConfigMixin, ControlNetModel, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from transformers import CLIPTextConfig, CLIPTextModel


def _numbers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


#: Latents, timestep and text, for every model here. A case that edits one clones it first.
X = _numbers(1, 4, 4, 4, seed=1)
T = torch.tensor(7)
E = _numbers(1, 3, 4, seed=2)


class Small(ModelMixin, ConfigMixin):
    """A convolution, one attention with a processor, a feed-forward and a convolution."""

    @register_to_config
    def __init__(self, width: int = 4, gain: float = 1.0) -> None:
        super().__init__()
        self.conv_in = torch.nn.Conv2d(4, width, 3, padding=1)
        self.attn = Attention(width, heads=2, dim_head=2)
        self.ff = FeedForward(width, mult=1)
        self.conv_out = torch.nn.Conv2d(width, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.silu(self.conv_in(x))
        tokens = h.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(tokens)
        tokens = tokens + self.ff(tokens)
        return self.conv_out(tokens.transpose(1, 2).reshape(h.shape)) * self.config.gain


class Applying(ModelMixin, ConfigMixin):
    """A convolution, and then whatever `function` does with its result."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 1)
        self.function: Callable[[torch.Tensor], Any] = lambda h: h

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.conv(x))


class Scaled:
    """An attention processor that multiplies its result by what `read` gives at that moment."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return attention(attn, hidden_states, encoder_hidden_states) * self.read()


def attention(
    attn: Attention,
    hidden_states: torch.Tensor,
    encoder_hidden_states: torch.Tensor | None = None,
    keep: Callable[[torch.Tensor], Any] = lambda scores: None,
) -> torch.Tensor:
    """Attention as processors of scripts write it; `keep` gets the map."""
    text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    query, key, value = (
        attn.head_to_batch_dim(each)
        for each in (attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text))
    )
    scores = attn.get_attention_scores(query, key)
    keep(scores)
    return attn.to_out[0](attn.batch_to_head_dim(torch.bmm(scores, value)))


def small(**changes: Any) -> Small:
    torch.manual_seed(0)
    return Small(**changes).eval()


def applying(function: Callable[[torch.Tensor], Any]) -> Applying:
    torch.manual_seed(0)
    model = Applying().eval()
    model.function = function
    return model


def reading(read: Callable[[], Any]) -> Applying:
    """A model whose result is multiplied by what `read` gives at that moment."""
    return applying(lambda h: h * read())


def with_processor(read: Callable[[], Any]) -> Small:
    model = small()
    model.attn.set_processor(Scaled(read))
    return model


def unet(**changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(0)
    config = {
        "sample_size": 4,
        "block_out_channels": (4,),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D",),
        "mid_block_type": None,
        "up_block_types": ("UpBlock2D",),
        "cross_attention_dim": 4,
        "attention_head_dim": 2,
        "norm_num_groups": 2,
    }
    return UNet2DConditionModel(**{**config, **changes}).eval()


def controlnet() -> ControlNetModel:
    torch.manual_seed(0)
    return ControlNetModel(
        block_out_channels=(4,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        cross_attention_dim=4,
        attention_head_dim=2,
        norm_num_groups=2,
        conditioning_embedding_out_channels=(4,),
    ).eval()


def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(4,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=8,
        mid_block_add_attention=False,
    ).eval()


def clip() -> CLIPTextModel:
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=4,
        intermediate_size=8,
        num_attention_heads=2,
        num_hidden_layers=1,
        max_position_embeddings=8,
        vocab_size=20,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return CLIPTextModel(config).eval()


IDS = torch.tensor([[0, 5, 7, 9, 2]])


def picture(model: torch.nn.Module, *arguments: Any, **words: Any) -> torch.Tensor:
    """What `model` gives for the usual inputs (or for `arguments`), without gradients."""
    with torch.no_grad():
        if isinstance(model, UNet2DConditionModel):
            return model(*(arguments or (X, T, E)), **words).sample
        if isinstance(model, CLIPTextModel):
            return model(*(arguments or (IDS,)), **words).last_hidden_state
        return model(*(arguments or (X,)), **words)


def changed(*pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`pictures`, each of which must show a change from the one before it.

    Raises:
        AssertionError: one is the same as the one before it: it is stale.
    """
    for number, (before, after) in enumerate(itertools.pairwise(pictures), start=2):
        if before.shape == after.shape:
            difference = (before.double() - after.double()).abs().max()
            assert difference > 1e-3 * before.abs().max(), f"picture {number} is stale"
    return pictures


def before_and_after(
    model: torch.nn.Module, *changes: Callable[[], Any]
) -> tuple[torch.Tensor, ...]:
    """A picture, and one more after each of `changes`.

    Each is made three times: guards that have passed once take a shorter way.
    """

    def three() -> list[torch.Tensor]:
        return [picture(model) for _ in range(3)]

    pictures = three()[-1:]
    for change in changes:
        with torch.no_grad():
            change()
        pictures += three()[:1]
    return changed(*pictures)
