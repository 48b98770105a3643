"""The wheel, built, looked into, and used outside the checkout.

The clean environment has this wheel and nothing else of its own: installing torch and diffusers
afresh would take minutes, so a `.pth` file lends it the site-packages of the environment that the
tests run in, *after* its own. A path that a `.pth` file adds is not searched for further `.pth`
files, so an editable install of the checkout there stays out of reach; `test_it_stands_alone`
holds that. The commands run in an empty folder, without `PYTHONPATH`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installed:
    """A clean environment with the wheel in it."""

    prefix: Path
    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the environment's programs first on PATH; it must succeed."""
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        env["PATH"] = os.pathsep.join([str(self.prefix / "bin"), env["PATH"]])
        env["SHELL"] = "/bin/bash"
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, encoding="utf-8", timeout=300
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, folder], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    prefix = tmp_path_factory.mktemp("with spaces") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = prefix / "lib" / version / "site-packages"
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", f"--python={prefix}", "--disable-pip-version-check"]
    options = ["install", "--quiet", "--no-index", "--no-deps", "--force-reinstall"]
    subprocess.run([*pip, *options, wheel], check=True, capture_output=True)
    return Installed(prefix, tmp_path_factory.mktemp("elsewhere"))


def test_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "sdbackends", "backends", "shim", "pipelines"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if tracked:  # an unpacked sdist has no git
        inside = {n if n.startswith("sdbackends/") else f"sdbackends/{n}" for n in tracked}
        assert inside <= names
    assert {f"sdbackends/shim/{n}" for n in ("sitecustomize.py", "torch/__init__.py")} <= names
    assert "sdbackends/backends/environments/oneflow.yaml" in names
    assert {n.partition("/")[0].partition("-")[0] for n in names} == {"sdbackends"}
    assert not [n for n in names if "__pycache__" in n or "/tests/" in n]


def test_it_stands_alone(installed: Installed) -> None:
    code = "import sdbackends, sys; print(sdbackends.__file__, *sys.path, sep='\\n')"
    file, *path = installed.run("python", "-c", code).stdout.splitlines()
    assert Path(file).is_relative_to(installed.prefix)
    assert str(ROOT) not in path


def test_the_commands_answer(installed: Installed) -> None:
    assert "jax" in installed.run("sdbackends", "backends").stdout
    assert "OneFlow" in installed.run("sdbackends", "env", "list").stdout
    assert str(installed.prefix) in installed.run("sd-mock", "jax", "--shell", "bash").stdout


def test_a_script_enters_through_its_shim(installed: Installed) -> None:
    pytest.importorskip("torch")
    script = "import torch, sdbackends.session as a; print(a.active().settings.backend.names)"
    done = installed.run("bash", "-c", f'eval "$(sd-mock torch)"; python -c "{script}"')
    assert done.stdout.strip() == "('torch',)"


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_it_generates(
    installed: Installed, embedded_models: dict[str, Path], backend: str, tmp_path: Path
) -> None:
    pytest.importorskip("jax" if backend == "jax" else "diffusers")
    picture = tmp_path / "circle.png"
    prompt = "a big red circle on a blue background"
    options = ["--backend", backend, "--steps", "2", "--output", str(picture)]
    installed.run("sdbackends", "generate", prompt, *options)
    assert picture.read_bytes().startswith(b"\x89PNG")
