"""What is said of a machine, and that nothing tells whose it is."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
from pathlib import Path

import pytest

from sdbackends import paths
from sdbackends.matrix import machine


@pytest.mark.parametrize(
    ("chip", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("AMD EPYC 9R14 96-Core Processor", "amd-epyc-9r14"),
        ("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", "intel-core-i7-8700k"),
        ("Apple M3 Max", "apple-m3-max"),
        ("../..", "machine"),
    ],
)
def test_short_names(chip: str, name: str) -> None:
    assert machine.short_name(chip) == name


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    here = machine.describe()
    assert here.gpu is None and here.threads == 3
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert here.memory_bytes > 1 << 28 and here.cpu
    assert here.name == f"{machine.short_name(here.cpu)}-{here.cores}c"
    node = platform.node()
    assert len(node) < 4 or node not in here.model_dump_json()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("says", "gpu"),
    [("NVIDIA H100 80GB HBM3, 81559, 570.86.10, 1980", True), ("No devices", False)],
)
def test_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, gpu: bool) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\necho "{says}"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("sdbackends.catalog.requirements.gpu", lambda: True)
    here = machine.describe()
    if not gpu:
        assert (here.gpu, here.driver) == (None, None)
        return
    assert (here.name, here.gpu) == ("h100-80gb-hbm3", "NVIDIA H100 80GB HBM3")
    assert (here.driver, here.clock_mhz) == ("570.86.10", 1980)
    assert here.gpu_memory_bytes == 81559 << 20


def test_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    pipelines = tmp_path / "pipelines"
    pipelines.mkdir()
    (pipelines / "a.py").write_text("1")
    monkeypatch.setattr(paths, "pipelines_dir", lambda: pipelines)
    assert machine.commit().startswith("sdbackends ")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    clean = machine.commit()
    assert len(clean) == 40
    (tmp_path / "results.json").write_text("{}")
    assert machine.commit() == clean
    (pipelines / "a.py").write_text("2")
    assert machine.commit() == f"{clean}+changes"
    # installed as a wheel into an environment inside a checkout of something else
    monkeypatch.setattr(paths, "pipelines_dir", lambda: pipelines / "pipelines")
    assert machine.commit().startswith("sdbackends ")
