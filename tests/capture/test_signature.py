"""A capture is reused only where it is valid: any change to a call or a model changes the key."""

from __future__ import annotations

import pytest
import torch

from sdbackends.capture.signature import UnsupportedArgument, call_signature, module_state
from tests import tiny_models


def key(*args, **kwargs):
    return call_signature(args, kwargs).key


def test_equal_calls_have_equal_keys():
    assert key(torch.ones(2, 3), t=1) == key(torch.zeros(2, 3), t=1)
    assert hash(key(torch.ones(2), a={"b": [1, None]})) == hash(
        key(torch.ones(2), a={"b": [1, None]})
    )
    assert key(a=1, b=2) == key(b=2, a=1)


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(torch.ones(2, 4), t=1),
        lambda: key(torch.ones(2, 3, dtype=torch.bfloat16), t=1),
        lambda: key(torch.ones(2, 3), t=2),
        lambda: key(torch.ones(2, 3), t=1.0),
        lambda: key(torch.ones(2, 3), t=True),
        lambda: key(torch.ones(2, 3), t=None),
        lambda: key(torch.ones(2, 3), t=1, u=None),
        lambda: key(torch.ones(2, 3), t=torch.tensor(1)),
    ],
)
def test_another_call_has_another_key(other):
    assert other() != key(torch.ones(2, 3), t=1)


def test_autocast_is_part_of_the_key():
    plain = key(torch.ones(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert key(torch.ones(2)) != plain


def test_an_object_as_argument_is_refused():
    with pytest.raises(UnsupportedArgument, match="Generator"):
        key(torch.Generator())


def test_shapeless_keys_ignore_sizes_only():
    def shapeless(*args, **kwargs):
        return call_signature(args, kwargs).shapeless

    assert shapeless(torch.ones(2, 3)) == shapeless(torch.ones(5, 7))
    assert shapeless(torch.ones(2, 3)) != shapeless(torch.ones(2))
    assert shapeless(torch.ones(2)) != shapeless(torch.ones(2).half())


def test_state_is_stable():
    unet = tiny_models.unet()
    assert module_state(unet) == module_state(unet)
    assert module_state(unet).persistent
    assert module_state(unet).structure == module_state(tiny_models.unet()).structure


def test_the_folder_that_a_model_came_from_is_no_part_of_it(tmp_path):
    states = []
    for name in ("here", "there"):
        for make in (tiny_models.unet, tiny_models.clip_text):
            make().save_pretrained(tmp_path / name / make.__name__)
            model = type(make()).from_pretrained(tmp_path / name / make.__name__)
            states.append(module_state(model).structure)
    assert states[:2] == states[2:]


def add_lora(unet):
    from peft import LoraConfig

    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))


def scale_lora(unet):
    for part in unet.modules():
        if hasattr(part, "scaling"):
            part.scaling["default"] = 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda u: u.set_attn_processor(
            __import__("diffusers").models.attention_processor.AttnProcessor()
        ),
        lambda u: u.fuse_qkv_projections(),
        lambda u: u.enable_freeu(0.9, 0.2, 1.2, 1.4),
        lambda u: u.set_attention_slice("max"),
        lambda u: setattr(u.mid_block, "some_flag", True),
        lambda u: u.to(torch.bfloat16),
        lambda u: setattr(u, "forward", lambda *a: None),
        add_lora,
    ],
)
def test_a_changed_model_has_another_structure(change):
    unet = tiny_models.unet()
    before = module_state(unet)
    change(unet)
    assert module_state(unet).structure != before.structure


def test_a_lora_scale_is_part_of_the_structure():
    unet = tiny_models.unet()
    add_lora(unet)
    before = module_state(unet)
    scale_lora(unet)
    assert module_state(unet).structure != before.structure
    active = module_state(unet)
    unet.disable_adapters()
    assert module_state(unet).structure != active.structure


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: p.mul_(2),
        lambda p: setattr(p, "data", p.data.clone()),
    ],
    ids=["in place", "new storage"],
)
def test_an_edited_weight_changes_the_weights_not_the_structure(edit):
    unet = tiny_models.unet()
    before = module_state(unet)
    with torch.no_grad():
        edit(unet.conv_in.weight)
    after = module_state(unet)
    assert after.weights != before.weights
    assert after.structure == before.structure


def test_a_users_hook_is_an_obstacle_and_a_librarys_is_not():
    unet = tiny_models.unet()
    handle = unet.mid_block.register_forward_hook(lambda *a: None)
    assert "mid_block" in (module_state(unet).obstacle or "")
    handle.remove()
    assert module_state(unet).obstacle is None
    clip = tiny_models.clip_text()
    clip(tiny_models.token_ids(), output_hidden_states=True)
    assert module_state(clip).obstacle is None


def keep_blocks(unet):
    from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast

    every_second = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: 500
    )
    apply_pyramid_attention_broadcast(unet, every_second)


def store_in_8_bits(unet):
    unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)


@pytest.mark.parametrize(
    ("change", "why"),
    [(keep_blocks, "keeps results for its next call"), (store_in_8_bits, "change at every call")],
)
def test_hooks_of_diffusers_that_work_from_call_to_call_are_obstacles(change, why):
    unet = tiny_models.unet()
    assert module_state(unet).obstacle is None
    change(unet)
    assert why in (module_state(unet).obstacle or "")


def test_a_users_class_is_not_kept_on_disk():
    unet = tiny_models.unet()
    unet.mid_block = type("Mine", (torch.nn.Identity,), {"__module__": "mine"})()
    assert not module_state(unet).persistent


def test_inference_tensors_as_weights():
    with torch.inference_mode():
        unet = tiny_models.unet()
    assert module_state(unet) == module_state(unet)
