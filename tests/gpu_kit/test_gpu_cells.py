"""What the GPU machine has is what the backends accept, as far as its list tells."""

from __future__ import annotations

from pathlib import Path

import collect
import measure
import pytest

from sdbackends.catalog import backend_files, environments, requirements
from sdbackends.matrix import cell_command

LISTED = collect.read_list((collect.HERE / "machine.txt").read_text("utf-8"))


@pytest.fixture
def gpu_machine(monkeypatch):
    """Readiness asks for versions and files; both are those of the GPU machine here."""
    there = {name: version or None for name, version in LISTED.items()}
    there |= {"torch": f"{LISTED['torch']}+cu130", "diffusers": "0.42.1"}
    monkeypatch.setattr(requirements, "version", lambda name: there.get(name.replace("_", "-")))
    monkeypatch.setattr(requirements, "importable", lambda name: name in there)
    monkeypatch.setattr(requirements, "gpu", lambda: True)
    monkeypatch.setattr(requirements, "compiler_lacks", list)
    # What the packages here ask of each other says nothing of those there.
    monkeypatch.setattr(requirements, "_peer_lacks", lambda *_: [])
    monkeypatch.setattr(environments, "lacks", lambda _: [])


def test_every_cell_of_the_kit_starts_there(gpu_machine):
    assert requirements.device() == "cuda"
    cells = measure.cells(quick=False, device=None, only=None)
    assert {cell.device for cell in cells} == {"cuda"}
    assert [refused.reason for cell in cells if (refused := cell_command.refusal(cell))] == []


def test_an_older_torch_would_be_refused_there(gpu_machine, monkeypatch):
    newer = requirements.version
    monkeypatch.setattr(
        requirements, "version", lambda name: "2.10.0+cu130" if name == "torch" else newer(name)
    )
    lacks = backend_files.readiness(backend_files.load("torch")).reasons
    assert ["2.10.0" in lack.why for lack in lacks] == [True]


def test_fp32_is_fp32_in_every_process_of_a_cell():
    cell = measure.cells(quick=False, device="cuda", only=None)[0]
    found = cell_command.environment(cell, measure=Path("measure"), cache=Path("cache"))
    assert found["NVIDIA_TF32_OVERRIDE"] == "0" and found["SD_DEVICE"] == "cuda"
