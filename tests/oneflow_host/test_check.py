"""`sd-mock --check` with the real OneFlow behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdbackends.oneflow_host.check import check
from sdbackends.oneflow_host.check.findings import PLACEHOLDER
from sdbackends.oneflow_host.check.oneflow_query import OneFlowOracle
from sdbackends.paths import pipelines_dir

SCRIPT = """\
import torch
import torch.nn.functional as F
from torch import fft

def sharpen(latents: torch.Tensor):
    wave = torch.fft.fftn(latents)
    if hasattr(torch, "vmap"):
        wave = torch.vmap(abs)(wave)
    return F.silu(fft.ifftn(wave)), torch.randn(2, 3).softmax(-1)

torch.manual_seed(0)
torch.complex64
"""


def test_the_real_reasons_in_the_right_lines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    report = check(script)
    assert report.answer.oneflow.startswith("0.9") and report.answer.python.startswith("3.10")
    assert [(found.line, found.name) for found in report.findings if found.weight == "own"] == [
        (3, "torch.fft"),
        (6, "torch.fft.fftn"),
        (9, "torch.fft.ifftn"),
        (12, "torch.complex64"),
    ]
    assert [found.line for found in report.findings if found.weight == "guarded"] == [8]
    assert all(found.why for found in report.findings)


def test_the_pipeline_needs_nothing_itself() -> None:
    report = check(pipelines_dir() / "stable_diffusion.py")
    assert report.count("own") == 0
    assert {"diffusers", "transformers"} <= set(report.libraries)
    assert report.files > 200


def test_a_placeholder_is_told_from_an_import_that_fails() -> None:
    from sdbackends.oneflow_host.placeholders import PLACEHOLDERS

    name = min(PLACEHOLDERS)
    with OneFlowOracle() as oracle:
        assert oracle.ask([name, "torch.nn"]).lacking.keys() == {name}
    with OneFlowOracle() as oracle:
        assert oracle.ask([name]).lacking[name].startswith(PLACEHOLDER)


def test_as_a_command(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    code = "from sdbackends.cli import sd_mock; sd_mock()"
    command = [sys.executable, "-c", code, "--check", str(script), "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["counts"]["own"] == 4


def test_what_the_host_is_tried_with_can_be_imported() -> None:
    """In the Pythons of `nox -s tests-oneflow` that have diffusers and no torch."""
    pythons = os.environ.get("SD_TEST_HOST_PYTHONS", "")
    if not pythons:
        pytest.fail("no Python with OneFlow and diffusers is named; fix: nox -s tests-oneflow")
    code = "from sdbackends.cli import sd_mock; sd_mock()"
    script = str(pipelines_dir() / "stable_diffusion.py")
    for python in pythons.split(os.pathsep):
        command = [python, "-c", code, "--check", script]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, f"{python}\n{done.stdout}\n{done.stderr}"
        assert "may have others" not in done.stdout
