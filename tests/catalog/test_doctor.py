"""Troubles of the machine as a whole, each with the command that fixes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbackends.catalog import doctor, requirements


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Package -> version: what this machine seems to have; no GPU, and a cache that works."""
    versions: dict[str, str] = {}
    monkeypatch.setattr(requirements, "version", versions.get)
    monkeypatch.setattr(requirements, "gpu", lambda: False)
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "not" / "made" / "yet"))
    return versions


def test_a_healthy_machine_has_no_troubles(packages: dict[str, str]) -> None:
    packages.update(torch="2.13.0+cpu", oneflow="0.9.0")
    assert doctor.troubles() == ()


def test_the_oneflow_stub_is_known(packages: dict[str, str]) -> None:
    packages["oneflow"] = "0.7.0"
    (trouble,) = doctor.troubles()
    assert "stub" in trouble.why
    assert trouble.fix == f"{requirements.python()} -m pip uninstall -y oneflow"


def test_a_cuda_torch_without_a_gpu_is_told(packages: dict[str, str]) -> None:
    packages["torch"] = "2.13.0+cu130"
    (trouble,) = doctor.troubles()
    assert "no GPU" in trouble.why
    assert "--torch-backend=cpu" in trouble.fix and trouble.fix.endswith(" torch==2.13.0")


def test_a_cpu_torch_beside_a_gpu_is_told(
    packages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages["torch"] = "2.13.0+cpu"
    monkeypatch.setattr(requirements, "gpu", lambda: True)
    (trouble,) = doctor.troubles()
    assert "CPU build" in trouble.why and "--torch-backend=auto" in trouble.fix


def test_a_cache_that_cannot_be_written_is_told(
    packages: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "file"))
    (trouble,) = doctor.troubles()
    assert "cannot be written" in trouble.why and "SD_CACHE_DIR" in trouble.fix


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hidden: str) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(requirements, "_DEVICES", tmp_path)
    assert not _gpu(monkeypatch, hidden)
    assert _gpu(monkeypatch, "0")


@pytest.mark.parametrize(
    ("nodes", "there"),
    [
        (("nvidia3", "nvidiactl", "nvidia-uvm"), True),
        (("nvidia12",), True),
        (("nvidiactl", "nvidia-uvm", "nvidia-caps"), False),  # a driver whose card is not given
    ],
)
def test_a_card_keeps_the_number_that_it_has_on_its_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodes: tuple[str, ...], there: bool
) -> None:
    for name in nodes:
        (tmp_path / name).touch()
    monkeypatch.setattr(requirements, "_DEVICES", tmp_path)
    assert _gpu(monkeypatch, "0") is there


def _gpu(monkeypatch: pytest.MonkeyPatch, visible: str) -> bool:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    return requirements.gpu()
