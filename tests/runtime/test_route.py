"""Which calls reach the engine, and what the script gets when the engine cannot serve it."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.modeling_utils import ModelMixin
from transformers import CLIPTextModelWithProjection, PreTrainedModel

from sdbackends.errors import BackendNotReadyError, RunError, UnsupportedOpsError, UsageError
from sdbackends.runtime import program_cache
from sdbackends.settings import Settings
from tests import tiny_models


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def test_a_call_runs_on_the_engine_and_gives_what_eager_gives(replayed, capsys):
    unet, inputs = tiny_models.unet(), tiny_models.unet_inputs()
    expected = unet(*inputs)
    replayed.install()
    result = unet(*inputs)
    assert replayed.behaviour.calls == 1
    assert type(result) is type(expected)
    torch.testing.assert_close(result.sample, expected.sample, rtol=1e-5, atol=1e-6)
    line = capsys.readouterr().err
    assert "unet (UNet2DConditionModel): jax, ready in" in line and "capture" in line


def test_the_second_session_reads_the_capture(replayed, capsys, tmp_path):
    replayed.install(cache_dir=tmp_path)
    clip = tiny_models.clip_text()
    clip(tiny_models.token_ids())
    assert "capture new" in capsys.readouterr().err
    replayed.patches.undo()
    replayed.install(cache_dir=tmp_path)
    clip(tiny_models.token_ids())
    assert "capture from cache" in capsys.readouterr().err


def test_only_the_outermost_call_is_routed(replayed):
    replayed.install()
    outer = CLIPTextModelWithProjection(tiny_models.clip_text().config).eval()
    assert isinstance(outer.text_model, PreTrainedModel)
    outer(tiny_models.token_ids())
    assert replayed.behaviour.builds == 1


def test_several_controlnets_are_routed_one_by_one(replayed):
    from diffusers import MultiControlNetModel

    # Not in eval mode, as the pipelines of diffusers make it from a list.
    many = MultiControlNetModel([tiny_models.controlnet(), tiny_models.controlnet()])
    sample, t, states = tiny_models.unet_inputs()
    call = (sample, t, states, [torch.randn(2, 3, 64, 64)] * 2, [1.0, 0.5])
    expected = many(*call, return_dict=False)
    replayed.install()
    result = many(*call, return_dict=False)
    assert replayed.behaviour.builds == 2
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


def test_an_autoencoder_is_routed_at_its_encoder_and_decoder(replayed):
    vae = tiny_models.autoencoder()
    image = torch.randn(2, 3, 16, 16)
    expected = vae.decode(vae.encode(image).latent_dist.mode()).sample
    replayed.install()
    result = vae.decode(vae.encode(image).latent_dist.mode()).sample
    assert replayed.behaviour.builds == 2
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    vae(image, sample_posterior=True, generator=torch.Generator().manual_seed(0))
    assert (replayed.behaviour.builds, replayed.behaviour.calls) == (2, 4)


def test_sizes_and_batches_take_turns_without_building_again(replayed):
    replayed.install()
    unet = tiny_models.unet()
    shapes = [(2, 8), (1, 16), (2, 8), (1, 16)]
    for batch, size in shapes:
        inputs = tiny_models.unet_inputs(batch, size)
        assert unet(*inputs).sample.shape == inputs[0].shape
    assert (replayed.behaviour.builds, replayed.behaviour.calls) == (2, 4)


def test_a_number_as_timestep_is_one_program(replayed):
    replayed.install()
    unet = tiny_models.unet()
    sample, _, states = tiny_models.unet_inputs()
    results = [unet(sample, t, encoder_hidden_states=states).sample for t in (981, 961, 1)]
    results.append(unet(sample, timestep=7, encoder_hidden_states=states).sample)
    assert replayed.behaviour.builds <= 2
    assert not torch.equal(results[0], results[1])


def test_an_edited_weight_is_never_stale(replayed):
    replayed.install()
    unet, inputs = tiny_models.unet(), tiny_models.unet_inputs()
    unet(*inputs)
    unet.conv_out.weight.mul_(2)
    unet.conv_out.bias.data = torch.ones(4)
    result = unet(*inputs).sample
    replayed.patches.undo()
    torch.testing.assert_close(result, unet(*inputs).sample, rtol=1e-5, atol=1e-6)
    assert (replayed.behaviour.builds, replayed.behaviour.rebinds) == (1, 1)


@pytest.mark.parametrize("situation", ["gradients", "gradients of an input", "train mode"])
def test_what_is_no_plain_inference_stays_on_eager_and_is_said_once(replayed, situation, capsys):
    replayed.install()
    unet, inputs = tiny_models.unet(), tiny_models.unet_inputs()
    if situation == "train mode":
        unet.train().mid_block.attentions[0].dropout = torch.nn.Dropout(0.5)
    elif situation == "gradients":
        unet.requires_grad_(True)
    else:
        unet.requires_grad_(False)
        inputs[0].requires_grad_(True)
    for _ in range(2):
        with torch.set_grad_enabled(situation.startswith("gradients")):
            unet(*inputs)
    assert replayed.behaviour.calls == 0
    assert capsys.readouterr().err.count("stays on eager torch") == 1


def test_train_mode_that_changes_nothing_is_no_reason(replayed):
    """A model that was built, not loaded, and whose script never calls `eval()`."""
    replayed.install()
    unet, inputs = tiny_models.unet().train(), tiny_models.unet_inputs()
    result = unet(*inputs).sample
    assert replayed.behaviour.calls == 1
    replayed.patches.undo()
    torch.testing.assert_close(result, unet.eval()(*inputs).sample, rtol=1e-5, atol=1e-6)


def test_a_hook_of_the_script_runs_at_each_call(replayed):
    replayed.install()
    unet, inputs, seen = tiny_models.unet(), tiny_models.unet_inputs(), []
    unet(*inputs)
    hook = unet.mid_block.register_forward_hook(lambda *a: seen.append(a[2].shape))
    for _ in range(3):
        unet(*inputs)
    hook.remove()
    unet(*inputs)
    assert len(seen) == 3 and replayed.behaviour.calls == 5


def test_gradients_flow_in_a_training_step(replayed):
    replayed.install()
    unet = tiny_models.unet().requires_grad_(True).train()
    with torch.enable_grad():
        unet(*tiny_models.unet_inputs()).sample.square().mean().backward()
    assert unet.conv_in.weight.grad.abs().max() > 0


def misbehave(behaviour, how):
    if how == "missing op":
        behaviour.missing = {"aten.group_norm.default", "aten.silu.default"}
    else:
        setattr(behaviour, how, True)


@pytest.mark.parametrize("how", ["missing op", "crash", "poison"])
def test_a_model_that_the_engine_cannot_serve_falls_back_with_the_reason(replayed, how, capsys):
    unet, inputs = tiny_models.unet(), tiny_models.unet_inputs()
    expected = unet(*inputs).sample
    misbehave(replayed.behaviour, how)
    replayed.install()
    for _ in range(2):
        assert torch.equal(unet(*inputs).sample, expected)
    said = capsys.readouterr().err
    assert said.count("this call runs on eager torch") == 1
    reason = {
        "missing op": "jax lacks 2 ops:",
        "crash": "RuntimeError: the replay engine was told to crash",
        "poison": "NaN or Inf where eager torch does not",
    }[how]
    assert reason in said
    if how == "missing op":
        assert "aten.group_norm.default, 21 places" in said
        assert "4 × mid_block.resnets.{0,1}.norm{1,2}: float32[2, 16, 4, 4], float32[16]" in said


def test_a_missing_op_is_raised_before_the_model_has_run(replayed):
    misbehave(replayed.behaviour, "missing op")
    replayed.install(fallback="error")
    unet, seen = tiny_models.unet(), []
    unet.conv_in.register_forward_hook(lambda *a: seen.append(1))
    with pytest.raises(UnsupportedOpsError):
        unet(*tiny_models.unet_inputs())
    assert seen == []


@pytest.mark.parametrize("how", ["missing op", "crash", "poison"])
def test_what_falls_back_runs_once(replayed, how):
    misbehave(replayed.behaviour, how)
    replayed.install()
    unet, seen = tiny_models.unet(), []
    unet.conv_in.register_forward_hook(lambda *a: seen.append(1))
    for _ in range(2):
        unet(*tiny_models.unet_inputs())
    assert seen == [1, 1]


@pytest.mark.parametrize(
    ("how", "error"),
    [("missing op", UnsupportedOpsError), ("crash", RunError), ("poison", RunError)],
)
def test_fallback_can_be_forbidden(replayed, how, error):
    misbehave(replayed.behaviour, how)
    replayed.install(fallback="error")
    with pytest.raises(error):
        tiny_models.unet()(*tiny_models.unet_inputs())


def test_nan_of_the_models_own_is_not_the_engines_fault(replayed, capsys):
    replayed.install()
    unet = tiny_models.unet()
    unet.conv_out.bias.data.fill_(float("nan"))
    assert unet(*tiny_models.unet_inputs()).sample.isnan().all()
    assert "eager" not in capsys.readouterr().err


@pytest.mark.parametrize("fallback", ["warn", "error"])
def test_a_wrong_call_raises_the_scripts_own_error(replayed, fallback):
    replayed.install(fallback=fallback)
    with pytest.raises(RuntimeError, match=r"channels|size|mat1"):
        tiny_models.unet()(torch.randn(1, 9, 8, 8), torch.tensor(1), torch.randn(1, 7, 16))


def test_verify_prints_the_figures_of_the_first_call(replayed, capsys):
    replayed.behaviour.scale = 1.5
    replayed.install(verify=True)
    unet = tiny_models.unet()
    for _ in range(2):
        unet(*tiny_models.unet_inputs())
    said = capsys.readouterr().err
    assert said.count("against eager torch") == 1
    assert "5.00e-01 of max" in said


def test_a_part_can_have_a_backend_of_its_own(replayed):
    replayed.install("unet=jax")
    clip, unet = tiny_models.clip_text(), tiny_models.unet()
    clip(tiny_models.token_ids())
    assert replayed.behaviour.calls == 0
    unet(*tiny_models.unet_inputs())
    assert replayed.behaviour.calls == 1


def test_a_state_that_changes_at_every_call_does_not_capture_forever(replayed, capsys, monkeypatch):
    monkeypatch.setattr(program_cache, "_RESTLESS", 2)
    replayed.install()
    model = Stepping()
    for step in range(5):
        model.step = step
        assert model(torch.ones(2)).tolist() == [step + 1, step + 1]
    assert replayed.behaviour.builds == 2
    assert capsys.readouterr().err.count("new at each of") == 1
    model.step = 1  # a program that there is serves on
    before = replayed.behaviour.calls
    assert model(torch.ones(2)).tolist() == [2, 2]
    assert replayed.behaviour.calls == before + 1


class Softened(ModelMixin):
    def forward(self, x):
        return x.softmax(-1)


def test_what_cannot_even_be_traced_runs_as_the_script_has_it_with_the_reason(
    replayed, capsys, monkeypatch
):
    real = torch.Tensor.softmax
    replayed.install()
    model, x = Softened().eval(), torch.randn(2, 3)
    # Dynamo takes what torch's methods are for granted from its first trace on.
    torch.testing.assert_close(model(x), real(x, -1))
    monkeypatch.setattr(torch.Tensor, "softmax", lambda *a: 5 * real(*a), raising=False)
    for _ in range(2):
        torch.testing.assert_close(model(x), 5 * real(x, -1))
    said = capsys.readouterr().err
    assert "torch.Tensor.softmax was replaced" in said and "this call runs on eager torch" in said


class Stepping(ModelMixin):
    """A model that counts."""

    def __init__(self):
        super().__init__()
        self.step = 0
        self.eval()

    def forward(self, x):
        return x + self.step


def test_accelerate_offload_keeps_working(replayed):
    from accelerate import cpu_offload_with_hook

    unet, inputs = tiny_models.unet(), tiny_models.unet_inputs()
    expected = unet(*inputs).sample
    unet, hook = cpu_offload_with_hook(unet, torch.device("cpu"))
    replayed.install()
    torch.testing.assert_close(unet(*inputs).sample, expected, rtol=1e-5, atol=1e-6)
    assert replayed.behaviour.calls == 1
    hook.remove()


def test_a_scripts_own_torch_compile_is_left_to_the_backend(replayed, capsys):
    replayed.install()
    unet = tiny_models.unet()
    assert torch.compile(unet)._orig_mod is unet
    torch.compile(unet)(*tiny_models.unet_inputs())
    unet.compile()
    unet(*tiny_models.unet_inputs())
    assert replayed.behaviour.calls == 2
    assert "left to jax" in capsys.readouterr().err
    assert torch.compile(torch.nn.Linear(2, 2), backend="eager")(torch.ones(1, 2)).shape == (1, 2)


def test_undo_is_exact(replayed):
    before = dict(vars(ModelMixin)), torch.compile, torch.nn.Module.__call__
    replayed.install()
    assert vars(ModelMixin) != before[0]
    replayed.patches.undo()
    assert (dict(vars(ModelMixin)), torch.compile, torch.nn.Module.__call__) == before


def test_a_model_that_is_dropped_takes_its_programs_along(replayed):
    import gc
    import weakref

    replayed.install()
    clip = tiny_models.clip_text()
    clip(tiny_models.token_ids())
    gone = weakref.ref(clip)
    del clip
    gc.collect()
    assert gone() is None


def test_a_backend_that_is_not_ready_is_one_clear_error(monkeypatch, replayed):
    from sdbackends.catalog import requirements

    monkeypatch.setattr(
        requirements,
        "module_lacks",
        lambda *a: [requirements.MissingRequirement("no jax", "pip install jax")],
    )
    with pytest.raises(BackendNotReadyError) as caught:
        replayed.install()
    assert "no jax" in str(caught.value) and "pip install jax" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_precision_that_the_backend_lacks_is_refused(replayed):
    with pytest.raises(UsageError, match=r"int8.*[\s\S]*accepted: fp32, bf16, fp16"):
        replayed.install(precision="int8")


def test_nothing_chosen_is_plain_torch(replayed, tmp_path):
    from sdbackends.runtime import router

    router.install(Settings(cache_dir=tmp_path), replayed.patches)
    tiny_models.unet()(*tiny_models.unet_inputs())
    assert replayed.behaviour.calls == 0
