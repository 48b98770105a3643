"""The survey: what is missing is found, and no model runs."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from sdbackends.capture import size_limit
from sdbackends.runtime import op_survey
from tests import tiny_models


@pytest.fixture
def surveyed(replayed, tmp_path):
    replayed.behaviour.missing = {"aten.silu.default"}
    found = op_survey.OpSurvey(tmp_path / "found")
    replayed.install(listeners=[found], strategy=found.build)
    found.keep_pictures_from_saving(replayed.patches)
    return replayed, tmp_path / "found"


def test_models_are_captured_and_answer_with_zeros(surveyed):
    replayed, file = surveyed
    for _ in range(2):
        text = tiny_models.clip_text()(tiny_models.token_ids()).last_hidden_state
        assert text.shape == (2, 9, 16) and not text.any()
    sample = tiny_models.unet()(*tiny_models.unet_inputs()).sample
    assert sample.shape == tiny_models.unet_inputs()[0].shape and not sample.any()
    assert replayed.behaviour.builds == replayed.behaviour.calls == 0
    text_encoder, _, unet = op_survey.read(file)
    assert (text_encoder.model, text_encoder.backend) == ("text_encoder (CLIPTextModel)", "jax")
    assert text_encoder.missing == ()
    (silu,) = unet.missing
    assert silu.op == "aten.silu.default" and len(silu.sites) == 26
    assert silu.sites[-1].path == "conv_act"
    assert silu.sites[-1].takes == silu.sites[-1].gives == "float32[2, 8, 8, 8]"


def test_a_model_that_cannot_be_captured_is_a_finding_and_runs_on_torch(surveyed, monkeypatch):
    _, file = surveyed
    monkeypatch.setattr(size_limit, "LIMIT", 10)
    assert tiny_models.unet()(*tiny_models.unet_inputs()).sample.any()
    (finding,) = op_survey.read(file)
    assert "more than 10 operations" in finding.obstacle and not finding.missing


def test_pictures_of_zeros_are_not_saved(surveyed, tmp_path, capsys):
    replayed, _ = surveyed
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
    assert "x.png is not written" in capsys.readouterr().err
    replayed.patches.undo()
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()
    assert torch.equal(*[tiny_models.unet()(*tiny_models.unet_inputs()).sample for _ in "ab"])
