"""The ways to the host, and what is said where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.interpreter import ROOT, Interpreter
from tests.oneflow_host.conftest import Host

NUMBERS = (
    "import torch\nprint(torch.randn(20, generator=torch.Generator().manual_seed(3)).tolist())"
)


def test_sdbackends_run(host: Host, tmp_path: Path) -> None:
    (tmp_path / "draw.py").write_text(NUMBERS)
    run = "from sdbackends.cli import main; main()"
    start = host.folder / "start.py"
    start.write_text(run)
    words = ["run", "--backend", "oneflow-host", str(tmp_path / "draw.py")]
    import torch

    expected = torch.randn(20, generator=torch.Generator().manual_seed(3)).tolist()
    assert host.says(start, *words, shim=False) == [str(expected)]


def test_sd_mock(host: Host, tmp_path: Path) -> None:
    (tmp_path / "draw.py").write_text(NUMBERS)
    code = f"{host.python} -c 'from sdbackends.cli import sd_mock; sd_mock()' oneflow-host"
    shell = f'eval "$({code} --shell bash)"; {host.python} draw.py'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120
    )
    assert done.returncode == 0 and len(done.stdout) > 100, done.stderr


def test_too_late(host: Host) -> None:
    script = """
    import sdbackends, transformers
    sdbackends.use("oneflow-host")
    """
    done = host.run(script, shim=False)
    assert done.returncode == 1
    assert "transformers is imported already" in done.stderr
    assert "before torch, diffusers and transformers" in done.stderr


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"SD_BACKEND": "unet=oneflow-host"}, 2, "cannot run a part of a pipeline"),
        ({"SD_BACKEND": "oneflow-hosts-host"}, 2, "there is no backend"),
        ({"SD_PRECISION": "int8"}, 2, "has no precision 'int8'"),
    ],
)
def test_wrong_words(host: Host, env: dict[str, str], code: int, words: str) -> None:
    done = host.run("import torch", **env)
    assert done.returncode == code and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_on_a_python_without_oneflow(tmp_path: Path) -> None:
    """This one: newer than 3.10, and with the real torch."""
    assert sys.version_info[:2] != (3, 10)
    done = Interpreter(tmp_path).run("import torch", SD_BACKEND="oneflow-host")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "it needs Python ==3.10.*, this is" in done.stderr and "fix:" in done.stderr


def test_the_numbers_and_the_memory_limit(host: Host) -> None:
    """Half precision on a CPU, "cuda" without a card: float32 on the CPU, and said."""
    script = """
    import torch
    x = torch.zeros(2, dtype=torch.float16, device="cuda")
    print(x.dtype, x.device.type, torch.cuda.is_available())
    print(torch.nn.Linear(2, 2).half().to("cuda").weight.dtype)
    """
    done = host.run(script)
    assert done.stdout.splitlines() == ["oneflow.float32 cpu False", "oneflow.float32"]
    assert done.stderr.count("has no half precision on a CPU") == 1
    assert done.stderr.count('"cuda" means the CPU') == 1
