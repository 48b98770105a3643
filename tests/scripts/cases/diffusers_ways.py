"""What diffusers itself lets a script change between two pictures."""

from __future__ import annotations

import torch
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    IPAdapterAttnProcessor2_0,
)

from tests.scripts.models import (
    IDS,
    E,
    Scaled,
    T,
    X,
    attention,
    before_and_after,
    changed,
    clip,
    controlnet,
    picture,
    small,
    unet,
    vae,
)
from tests.scripts.registry import case


@case
def processors_set_between_calls():
    model = unet()
    return before_and_after(
        model,
        lambda: model.set_attn_processor(Scaled(lambda: 5.0)),
        lambda: model.set_attn_processor(Scaled(lambda: 9.0)),
        lambda: model.set_attn_processor(AttnProcessor2_0()),
    )


@case
def processors_of_the_same_kind():
    model = small()
    model.attn.set_processor(AttnProcessor())
    first = picture(model)
    model.attn.set_processor(AttnProcessor2_0())
    return first, picture(model)


@case
def processor_with_weights():
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.extra = torch.nn.Linear(4, 4)

        def forward(self, attn, hidden_states, encoder_hidden_states=None, **others):
            return attention(attn, hidden_states, encoder_hidden_states) + self.extra(hidden_states)

    model = small()
    return before_and_after(
        model,
        lambda: model.attn.set_processor(Mine()),
        lambda: model.attn.processor.extra.weight.mul_(5),
        lambda: model.attn.set_processor(AttnProcessor2_0()),
    )


@case(compiled=True)
def processor_as_a_closure_over_the_step():
    step = 0

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        return attention(attn, hidden_states, encoder_hidden_states) * (1 + step)

    model = unet()
    model.set_attn_processor(processor)
    pictures = []
    for step in range(0, 12, 4):  # noqa: B007
        pictures.append(picture(model))
    return changed(*pictures)


@case
def lora_scale():
    from peft import LoraConfig

    model = unet()
    model.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    pictures = [
        picture(model, cross_attention_kwargs={"scale": scale}) for scale in (1.0, 0.0, 20.0)
    ]
    model.disable_adapters()
    return (*changed(*pictures), picture(model))


@case
def lora_by_hand():
    """LoRA merged into the weights, and taken out again."""
    model = small()
    up, down = torch.full((4, 2), 0.5), torch.full((2, 4), 0.5)
    return before_and_after(
        model,
        lambda: model.attn.to_v.weight.data.add_(up @ down),
        lambda: model.attn.to_v.weight.data.sub_(up @ down),
    )


@case
def ip_adapter_scale():
    model = unet()
    processors = {}
    for name in model.attn_processors:
        torch.manual_seed(4)
        if name.endswith("attn2.processor"):
            processors[name] = IPAdapterAttnProcessor2_0(4, 4, num_tokens=(2,), scale=1.0)
        else:
            processors[name] = AttnProcessor2_0()
    model.set_attn_processor(processors)
    text = (E, [torch.cat([E, E], dim=1)[:, None, :2]])
    pictures = [picture(model, X, T, text)]
    for scale in (20.0, 0.0):
        for processor in model.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [scale]
        pictures.append(picture(model, X, T, text))
    return changed(*pictures)


@case
def attention_slicing():
    model = unet()
    first = picture(model)
    model.set_attention_slice("max")
    second = picture(model)
    names = sorted({type(each).__name__ for each in model.attn_processors.values()})
    model.set_attention_slice("auto")
    return (first, second, picture(model), names)


@case
def fused_projections():
    model = unet()
    first = picture(model)
    model.fuse_qkv_projections()
    second = picture(model)
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith("attn1"):
                module.to_qkv.weight.mul_(5)
    third = picture(model)
    model.unfuse_qkv_projections()
    return (first, *changed(second, third, picture(model)))


@case
def free_u():
    model = unet(
        sample_size=8,
        block_out_channels=(4, 8, 8, 8),
        down_block_types=("DownBlock2D",) * 4,
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D",) * 4,
    )
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    pictures = [picture(model, x, T, E)]
    for back, skip in ((1.4, 0.2), (5.0, 0.1)):
        model.enable_freeu(s1=skip, s2=skip, b1=back, b2=back)
        pictures.append(picture(model, x, T, E))
    model.disable_freeu()
    pictures.append(picture(model, x, T, E))
    return changed(*pictures)


@case
def forward_chunking():
    model = small()
    first = picture(model)
    model.attn.set_attention_slice(1)
    return first, picture(model)


@case
def token_added_to_the_text_encoder():
    """Textual inversion: the embedding gets one row more, and then other values."""
    model = clip()
    first = picture(model)
    model.resize_token_embeddings(21)
    with torch.no_grad():
        model.get_input_embeddings().weight[20] = torch.tensor([1.0, -2.0, 3.0, -4.0])
    ids = IDS.clone()
    ids[0, 2] = 20
    second = picture(model, ids)
    with torch.no_grad():
        model.get_input_embeddings().weight[20].mul_(-1)
    return changed(first, second, picture(model, ids))


@case
def hidden_states_of_the_text_encoder():
    model = clip()
    with torch.no_grad():
        plain = model(IDS)
        full = model(IDS, output_hidden_states=True)
    names = [",".join(plain.keys()), ",".join(full.keys()), type(full).__name__]
    return (names, len(full.hidden_states), *full.hidden_states, full[0], full["pooler_output"])


@case
def controlnet_residuals():
    control, model = controlnet(), unet()
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for scale in (control.controlnet_down_blocks[0], control.controlnet_mid_block):
            scale.weight.fill_(0.5)
    pictures = []
    for strength in (0.0, 5.0):
        with torch.no_grad():
            down, _mid = control(X, T, E, image, strength, return_dict=False)
        pictures.append(picture(model, X + down[0], T, E))
    return changed(*pictures)


@case
def residuals_given_and_left_out():
    model = unet(mid_block_type="UNetMidBlock2D")
    down = [torch.ones(1, 4, 4, 4), torch.ones(1, 4, 4, 4)]
    return changed(
        picture(model),
        picture(
            model,
            down_block_additional_residuals=tuple(down),
            mid_block_additional_residual=torch.ones(1, 4, 4, 4) * 3,
        ),
        picture(model),
    )


@case
def tiles_of_the_autoencoder():
    model = vae()
    z = torch.randn(2, 4, 4, 12, generator=torch.Generator().manual_seed(3))

    def decode():
        with torch.no_grad():
            return model.decode(z).sample

    pictures = [decode()]
    model.enable_tiling()
    model.tile_latent_min_size, model.tile_sample_min_size = 4, 4
    pictures.append(decode())
    model.disable_tiling()
    model.enable_slicing()
    pictures.append(decode())
    return tuple(pictures)


@case
def samples_of_the_autoencoder():
    model = vae()
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        latents = model.encode(image).latent_dist
        kind = type(latents).__name__
        drawn = latents.sample(torch.Generator().manual_seed(0))
        return (kind, drawn, latents.mode(), latents.kl(), model(image).sample)


@case
def scaling_factor_of_the_autoencoder():
    model = vae()
    pictures = []
    for factor in (1.0, 5.0):
        model.register_to_config(scaling_factor=factor)
        with torch.no_grad():
            pictures.append(model.decode(X / model.config.scaling_factor).sample)
    return changed(*pictures)


@case
def attention_mask():
    model = unet()
    return changed(
        picture(model),
        picture(model, encoder_attention_mask=torch.tensor([[True, False, False]])),
        picture(model, encoder_attention_mask=torch.tensor([[False, False, True]])),
    )


@case
def class_labels():
    model = unet(num_class_embeds=3)
    return changed(
        picture(model, class_labels=torch.tensor([0])),
        picture(model, class_labels=torch.tensor([2])),
    )


@case
def default_processors():
    model = unet()
    model.set_attn_processor(AttnProcessor())
    first = picture(model)
    model.set_default_attn_processor()
    names = sorted({type(each).__name__ for each in model.attn_processors.values()})
    return first, picture(model), names


@case
def timestep_condition():
    model = unet(time_cond_proj_dim=4)
    return changed(picture(model), picture(model, timestep_cond=torch.ones(1, 4) * 5))


@case
def unet_told_to_centre_its_input():
    model = unet()
    return before_and_after(model, lambda: model.register_to_config(center_input_sample=True))


@case
def layers_that_are_skipped():
    model = small()
    with torch.no_grad():
        return changed(model(X), model.set_submodule("ff", torch.nn.Identity()) or model(X))


@case
def loop_of_a_scheduler():
    from diffusers import DDIMScheduler

    model, scheduler = unet(), DDIMScheduler()
    scheduler.set_timesteps(4)
    latents = X
    for step in scheduler.timesteps:
        with torch.no_grad():
            noise = model(torch.cat([latents] * 2), step, torch.cat([E, -E])).sample
        one, other = noise.chunk(2)
        latents = scheduler.step(one + 5 * (other - one), step, latents).prev_sample
    return latents


@case
def loop_over_python_numbers():
    model = unet()
    return changed(*(picture(model, X, step, E) for step in (999, 500, 1, 0)))
