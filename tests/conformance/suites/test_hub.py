"""The stand-ins for the hub load as the tests of pipelines load them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.suites.hub import fill
from tests.scripts import RunScript

pytest.importorskip("transformers")

LOAD = """
    from transformers import AutoConfig, AutoTokenizer, CLIPTokenizer, T5EncoderModel

    clip = CLIPTokenizer.from_pretrained("hf-internal-testing/tiny-random-clip")
    ids = clip("a painting of a squirrel", padding="max_length").input_ids
    print(len(ids), len(set(ids)) > 5, max(ids) < 1000)
    t5 = AutoTokenizer.from_pretrained("hf-internal-testing/tiny-random-t5")
    ids = t5("a squirrel", padding="max_length", max_length=16).input_ids
    print(len(ids), ids[ids.index(t5.eos_token_id) :])
    print(T5EncoderModel(AutoConfig.from_pretrained("hf-internal-testing/tiny-random-t5")).dtype)
"""


def test_tokenizers_and_shapes_come_from_the_folder(run_script: RunScript, tmp_path: Path) -> None:
    fill(tmp_path / "hub")
    env = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    lines = run_script(LOAD, shim=False, env=env).ok().stdout.splitlines()
    assert lines == ["77 True True", "16 [1, 0, 0, 0, 0]", "torch.float32"]
