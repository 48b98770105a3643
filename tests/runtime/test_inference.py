"""A T5 as an encoder of text goes to the engine; as a writer of text it keeps to eager torch."""

from __future__ import annotations

import pytest
import torch
from transformers import T5Config, T5EncoderModel, T5ForQuestionAnswering, T5Model

from tests import tiny_models


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def config() -> T5Config:
    small = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return T5Config(vocab_size=99, decoder_start_token_id=0, **small)


def test_an_encoder_is_routed_though_its_configuration_names_a_decoder(replayed):
    replayed.install()
    encoder = T5EncoderModel(config()).eval()
    encoder.config.is_encoder_decoder = True  # as transformers 4 has it
    encoder(tiny_models.token_ids())
    assert replayed.behaviour.calls == 1


def test_a_decoder_with_a_growing_cache_stays_on_eager_and_is_said_once(replayed, capsys):
    replayed.install()
    model = T5Model(config()).eval().requires_grad_(False)
    ids = tiny_models.token_ids()
    first = model(input_ids=ids, decoder_input_ids=ids[:, :1])
    again = {"decoder_input_ids": ids[:, 1:2], "past_key_values": first.past_key_values}
    second = model(encoder_outputs=(first.encoder_last_hidden_state,), **again)
    assert second.past_key_values.get_seq_length() == 2
    assert replayed.behaviour.calls == 0
    assert capsys.readouterr().err.count("stays on eager torch: it keeps a cache") == 1


def test_a_head_that_keeps_its_decoders_cache_to_itself_stays_on_eager_too(replayed):
    replayed.install()
    ids = tiny_models.token_ids()
    assert T5ForQuestionAnswering(config()).eval()(ids, decoder_input_ids=ids).past_key_values
    assert replayed.behaviour.calls == replayed.behaviour.builds == 0


def test_without_a_cache_the_decoder_is_one_call_like_others(replayed):
    model, ids = T5Model(config()).eval(), tiny_models.token_ids()
    call = {"input_ids": ids, "decoder_input_ids": ids, "use_cache": False}
    expected = model(**call).last_hidden_state
    replayed.install()
    result = model(**call).last_hidden_state
    assert replayed.behaviour.calls == 1
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)
