"""transformers' hooks for hidden states are laid before an engine sees the call."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPTextModelWithProjection

from sdbackends.capture.direct import capture
from sdbackends.runtime import transformers_hooks
from sdbackends.runtime.program_cache import RoutedModel
from tests import tiny_models

ASKED = {"output_hidden_states": True}


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def model():
    return CLIPTextModelWithProjection(tiny_models.clip_text().config).eval()


def hooks(model):
    return sum(len(part._forward_hooks) for part in model.modules())


def test_a_call_that_asks_for_them_leaves_nothing_behind(model):
    transformers_hooks.apply(model, ASKED)
    laid = hooks(model)
    assert laid
    capture(model, (tiny_models.token_ids(),), ASKED)
    layers = model.config.num_hidden_layers
    assert len(model(tiny_models.token_ids(), **ASKED).hidden_states) == layers + 1
    assert hooks(model) == laid


def test_they_are_laid_as_transformers_would(model):
    other = CLIPTextModelWithProjection(model.config).eval()
    other(tiny_models.token_ids(), **ASKED)
    transformers_hooks.apply(model, ASKED)
    names = [name for name, part in model.named_modules() if part._forward_hooks]
    assert names == [name for name, part in other.named_modules() if part._forward_hooks]


def test_what_a_call_has_laid_is_not_laid_again(model):
    model(tiny_models.token_ids(), **ASKED)
    laid = hooks(model)
    transformers_hooks.apply(model, ASKED)
    assert hooks(model) == laid


def test_a_configuration_asks_too(model):
    model.config.output_hidden_states = True
    transformers_hooks.apply(model, {})
    assert hooks(model)


def test_without_being_asked_for_there_are_none(model):
    transformers_hooks.apply(model, {"output_hidden_states": False, "return_dict": True})
    transformers_hooks.apply(tiny_models.unet(), ASKED)
    assert not hooks(model)


def test_dynamo_has_the_call_in_one_graph(model):
    torch._dynamo.reset()
    expected = model(tiny_models.token_ids(), output_hidden_states=False).text_embeds
    transformers_hooks.apply(model, ASKED)
    whole = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(tiny_models.token_ids(), **ASKED).text_embeds, expected)


def test_the_router_lays_them_before_an_engine_has_the_call(model, replayed, monkeypatch):
    laid, call = [], RoutedModel.__call__

    def watched(self, module, *rest, **options):
        laid.append(hooks(module))
        return call(self, module, *rest, **options)

    monkeypatch.setattr(RoutedModel, "__call__", watched)
    replayed.install()
    states = model(tiny_models.token_ids(), **ASKED).hidden_states
    assert replayed.behaviour.calls == 1 and laid[0] > 0
    assert len(states) == model.config.num_hidden_layers + 1
