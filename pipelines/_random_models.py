"""Models without a download: the true classes with random weights.

`tiny-random:FAMILY` is small and quick, `full-random:FAMILY` has the family's own sizes: what it
draws is noise, but it takes as long and as much memory as the trained one. Families are sd15,
taiyi, sdxl and pixart. The weights are the same every time; the tokenizers are those of the
embedded models, whose words are a few of the family's own.
"""

from pathlib import Path

TINY = Path(__file__).resolve().parent / "tiny"
#: Numbers that all weights are made of; a prime, so that no two rows are the same.
_POOL = 1_000_003


def parts(model, dtype, device="cpu"):
    """The parts of a pipeline by the names that its class gives them, in this dtype."""
    kind, _, family = str(model).partition(":")
    made = _MAKERS[family](_SIZES[kind])
    for part in made.values():
        if hasattr(part, "parameters"):
            _fill(part, dtype, device)
    return made


def _sd15(size):
    return {
        **_stable_diffusion(size),
        "text_encoder": _empty(_clip_text(size)),
        "tokenizer": _clip_tokenizer(),
    }


def _taiyi(size):
    from transformers import BertConfig, BertModel, BertTokenizer

    def bert():
        return BertModel(BertConfig(vocab_size=21128, **size["bert"]))

    return {
        **_stable_diffusion(size),
        "text_encoder": _empty(bert),
        "tokenizer": BertTokenizer.from_pretrained(TINY / "taiyi" / "tokenizer"),
    }


def _stable_diffusion(size):
    from diffusers import UNet2DConditionModel

    return {
        "unet": _empty(lambda: UNet2DConditionModel(**size["sd_unet"])),
        "vae": _vae(size, 0.18215),
        "scheduler": _scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def _sdxl(size):
    from diffusers import UNet2DConditionModel

    return {
        "unet": _empty(lambda: UNet2DConditionModel(**size["sdxl_unet"])),
        "vae": _vae(size, 0.13025),
        "text_encoder": _empty(_clip_text(size)),
        "text_encoder_2": _empty(_clip_text(size, "clip_2")),
        "tokenizer": _clip_tokenizer(),
        "tokenizer_2": _clip_tokenizer(),
        "scheduler": _scheduler(),
    }


def _pixart(size):
    from diffusers import PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    return {
        "transformer": _empty(lambda: PixArtTransformer2DModel(**size["pixart"])),
        "vae": _vae(size, 0.13025),
        "text_encoder": _empty(lambda: T5EncoderModel(T5Config(**size["t5"]))),
        "tokenizer": _clip_tokenizer(),
        "scheduler": _scheduler(),
    }


_MAKERS = {"sd15": _sd15, "taiyi": _taiyi, "sdxl": _sdxl, "pixart": _pixart}


def _vae(size, scaling):
    from diffusers import AutoencoderKL

    blocks = len(size["vae"]["block_out_channels"])
    return _empty(
        lambda: AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            latent_channels=4,
            scaling_factor=scaling,
            **size["vae"],
        )
    )


def _clip_text(size, name="clip"):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = _clip_tokenizer()
    config = CLIPTextConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **size[name],
    )
    kind = CLIPTextModel if name == "clip" else CLIPTextModelWithProjection
    return lambda: kind(config)


def _clip_tokenizer():
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(TINY / "sd" / "tokenizer")


def _scheduler():
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        set_alpha_to_one=False,
        steps_offset=1,
        clip_sample=False,
    )


def _empty(make):
    """The model that `make` gives, with weights that take no memory and no time yet."""
    from accelerate import init_empty_weights

    with init_empty_weights():
        return make()


def _fill(model, dtype, device):
    """Random weights of a size that keeps the signal alive, zero layers included.

    The pool is drawn on the CPU, so that it is the same for every device; the weights are made of
    it where they will stand: billions of them, which a GPU multiplies in no time.
    """
    import torch

    pool = torch.randn(_POOL, generator=torch.Generator("cpu").manual_seed(0)).to(device)
    filled, at = {}, 0
    for module in model.modules():
        for name, empty in module._parameters.items():
            if empty is None:
                continue
            if id(empty) not in filled:  # some models use one weight in two places
                rounds = -(-empty.numel() // _POOL)
                values = pool.roll(-at).repeat(rounds)[: empty.numel()]
                at = (at + empty.numel()) % _POOL
                values = _scaled(values.view(empty.shape), _is_gain(module, name))
                filled[id(empty)] = torch.nn.Parameter(values.to(dtype), requires_grad=False), empty
            module._parameters[name] = filled[id(empty)][0]
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.to(dtype)
    model.eval()


def _is_gain(module, name):
    return "Norm" in type(module).__name__ and name == "weight"


def _scaled(values, around_one):
    if values.dim() > 1:
        return values * values[0].numel() ** -0.5
    return values * 0.1 + (1.0 if around_one else 0.0)


_SD_BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
_SDXL_UNET = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "addition_embed_type": "text_time",
    "use_linear_projection": True,
}
_SIZES = {
    "tiny-random": {
        "sd_unet": {
            "sample_size": 8,
            "block_out_channels": (16, 32, 32, 32),
            "layers_per_block": 1,
            "cross_attention_dim": 32,
            "attention_head_dim": 4,
            "norm_num_groups": 8,
            **_SD_BLOCKS,
        },
        "sdxl_unet": {
            "sample_size": 8,
            "block_out_channels": (16, 32, 32),
            "layers_per_block": 1,
            "transformer_layers_per_block": (1, 1, 2),
            "cross_attention_dim": 64,
            "attention_head_dim": (2, 4, 4),
            "norm_num_groups": 8,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 8 * 6 + 32,
            **_SDXL_UNET,
        },
        "pixart": {
            "sample_size": 8,
            "num_layers": 2,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "cross_attention_dim": 32,
            "caption_channels": 32,
            "out_channels": 8,
        },
        "vae": {
            "block_out_channels": (16, 16, 32, 32),
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "sample_size": 64,
        },
        "clip": {
            "vocab_size": 1000,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
        },
        "clip_2": {
            "vocab_size": 1000,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "projection_dim": 32,
        },
        "bert": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
        },
        "t5": {
            "vocab_size": 1000,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_heads": 4,
            "num_layers": 2,
            "feed_forward_proj": "gated-gelu",
        },
    },
    "full-random": {
        "sd_unet": {
            "sample_size": 64,
            "block_out_channels": (320, 640, 1280, 1280),
            "layers_per_block": 2,
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            **_SD_BLOCKS,
        },
        "sdxl_unet": {
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "layers_per_block": 2,
            "transformer_layers_per_block": (1, 2, 10),
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            **_SDXL_UNET,
        },
        "pixart": {"sample_size": 64, "caption_channels": 4096, "out_channels": 8},
        "vae": {
            "block_out_channels": (128, 256, 512, 512),
            "layers_per_block": 2,
            "sample_size": 512,
        },
        "clip": {
            "vocab_size": 49408,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
        },
        "clip_2": {
            "vocab_size": 49408,
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_attention_heads": 20,
            "num_hidden_layers": 32,
            "projection_dim": 1280,
            "hidden_act": "gelu",
        },
        "bert": {},
        "t5": {
            "d_model": 4096,
            "d_kv": 64,
            "d_ff": 10240,
            "num_heads": 64,
            "num_layers": 24,
            "feed_forward_proj": "gated-gelu",
        },
    },
}
