"""The machine's ceilings: measured elsewhere, and a run goes on where they cannot be."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sdbackends.matrix import peak_probe
from sdbackends.matrix.results import Ceilings
from sdbackends.paths import shim_dir


@pytest.mark.slow
def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    # A shell in which sd-mock chose an engine: plain torch is measured all the same.
    monkeypatch.setenv("PYTHONPATH", str(shim_dir()))
    monkeypatch.setenv("SD_BACKEND", "no-such")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = peak_probe.ceilings()
    assert {"fp32", "bf16"} <= set(found.matmul) and {"fp32", "bf16"} <= set(found.conv)
    # Any machine of the last twenty years: units are not off by a thousand.
    assert all(1e7 < rate < 1e15 for rate in (*found.matmul.values(), *found.conv.values()))
    assert found.copy_bytes is not None and 1e8 < found.copy_bytes < 1e14


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise ImportError('No module named torch')", "No module named torch"),
        ("print('{\"matmul\": 3}')", "not its own"),
        ("", "said nothing"),
        ("import time; time.sleep(60)", "not done after 1 s"),
    ],
)
def test_a_probe_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str, words: str
) -> None:
    run = subprocess.run

    def instead(_command: list[str], **options: object) -> object:
        return run([sys.executable, "-c", script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(peak_probe, "_LIMIT_SECONDS", 1.0 if "sleep" in script else 60.0)
    monkeypatch.setattr(subprocess, "run", instead)
    assert peak_probe.ceilings() == Ceilings()
    assert words in capsys.readouterr().err


def test_fp32_is_fp32_as_in_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_BACKEND", "jax")
    env = peak_probe._environment()
    assert env["NVIDIA_TF32_OVERRIDE"] == "0" and "SD_BACKEND" not in env
