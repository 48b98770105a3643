"""Why a cell is not started: each lack is known, and told, before any process begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from sdbackends.catalog import requirements
from sdbackends.launch.pipeline_scripts import defaults, pipeline_names
from sdbackends.matrix import cell_command, model_availability
from sdbackends.matrix.results import Cell
from tests.matrix.made_up import cell


def refused(one: Cell) -> tuple[str, str]:
    ended = cell_command.refusal(one)
    return (ended.outcome, ended.reason) if ended else ("", "")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "gpu", lambda: True)


def test_a_cell_that_can_run_is_not_refused() -> None:
    assert cell_command.refusal(cell(backend="torch")) is None


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "gpu", lambda: False)
    expected = ("not-installed", "this machine has no NVIDIA GPU")
    assert refused(cell(backend="torch", device="cuda")) == expected
    assert refused(cell(backend="jax", device="tpu"))[0] == "not-installed"


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_with_a_gpu_and_a_torch_that_does_not_know_it(
    gpu: None, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(requirements, "cuda_torch", lambda: False)
    outcome, reason = refused(cell(backend=backend, device="cuda"))
    assert outcome == "not-installed" and "is a build without CUDA" in reason
    monkeypatch.setattr(requirements, "cuda_torch", lambda: True)
    assert cell_command.refusal(cell(backend=backend, device="cuda")) is None


@pytest.mark.parametrize(
    ("backend", "precision", "device", "why"),
    [
        ("oneflow", "bf16", "cpu", "oneflow has no bf16 on cpu (it has fp32)"),
        ("oneflow", "bf16", "cuda", "oneflow has no bf16 on cuda (it has fp32, fp16)"),
        ("torch", "int8", "cpu", "torch has no int8 on cpu"),
        ("compile", "fp32", "tpu", "compile runs on cpu, cuda only"),
    ],
)
def test_precisions_and_devices_are_those_of_the_backends_file(
    gpu: None, backend: str, precision: str, device: str, why: str
) -> None:
    outcome, reason = refused(cell(backend=backend, precision=precision, device=device))
    assert outcome == "unsupported" and why in reason


@pytest.mark.parametrize("pipeline", pipeline_names())
def test_the_embedded_model_is_where_a_script_has_one(pipeline: str) -> None:
    lacks = model_availability.lack(cell(pipeline=pipeline))
    model, prompt = defaults(pipeline)
    assert prompt
    if model.startswith("tiny/"):
        assert lacks is None
    else:
        assert lacks is not None and lacks.outcome == "unsupported"
        assert model in lacks.reason


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    lacks = model_availability.lack(cell(model=str(tmp_path)))
    assert lacks is not None and "no model_index.json" in lacks.reason
    (tmp_path / "model_index.json").write_text("{}")
    assert model_availability.lack(cell(model=str(tmp_path))) is None
    for nowhere in ("./nowhere", "some/where/else", str(tmp_path / "not")):
        lacks = model_availability.lack(cell(model=nowhere))
        assert lacks is not None and lacks.reason == f"there is no folder {nowhere}"
        assert lacks.outcome == "not-installed"


def test_a_model_of_the_hub_that_may_not_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = cell(model="somebody/something-that-is-nowhere")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    lacks = model_availability.lack(hub)
    assert lacks is not None and lacks.outcome == "not-installed"
    assert "HF_HUB_OFFLINE" in lacks.reason
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert model_availability.lack(hub) is None
