"""`sdbackends ops`: the report of a whole script, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdbackends.cli.app import app
from sdbackends.errors import UsageError

MODEL = """
import sys
import torch
from diffusers import ModelMixin

class Model(ModelMixin):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Softplus(), torch.nn.GELU()
    def forward(self, x):
        return self.second(self.first(x))

if "lacking" in sys.argv:
    from sdbackends.engines.jax.ops import LOWERINGS
    del LOWERINGS["aten.gelu.default"]
with torch.no_grad():
    print(Model().eval()(torch.ones(2, 3)))
sys.exit(3 if "failing" in sys.argv else 0)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(MODEL)
    return path


def ops(*words: str | Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "sdbackends", "ops", *words],
        env={**os.environ, "PYTHONPATH": root, "SD_VERIFY": "1"},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.slow
def test_a_missing_op_is_reported_with_its_place_and_its_file(script: Path) -> None:
    done = ops("--backend", "jax", script, "lacking")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "transformer (Model): jax lacks 1 op",
        "  aten.gelu.default, 1 place",
        "    1 × second: float32[2, 3] -> float32[2, 3]",
        "sdbackends/engines/jax/ops/activation.py: a lowering of aten.gelu.default",
        "docs/adding-an-op.md shows how",
    ]
    assert "tensor([[0., 0., 0.]" in done.stderr, "what the script prints is no part of the report"
    assert "against eager torch" not in done.stderr


@pytest.mark.slow
def test_nothing_missing_and_a_script_that_fails(script: Path) -> None:
    whole = ops("--backend", "jax", script)
    assert (whole.returncode, whole.stdout) == (0, "transformer (Model): all on jax\n")
    cut_off = ops("--backend", "jax", "--json", script, "failing")
    assert cut_off.returncode == 1
    record = json.loads(cut_off.stdout)
    assert record["exit_code"] == 3 and record["script"] == [str(script), "failing"]
    (model,) = record["models"]
    assert (model["model"], model["backend"]) == ("transformer (Model)", "jax")
    assert model["missing"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-b", "compile"], "no table of operations"),
        (["-b", "unet=torch,vae=compile"], "torch, compile has no table"),
    ],
)
def test_backends_without_a_table_are_refused(script: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["ops", *words, str(script)])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception) and "--backend jax" in done.exception.fix


def test_a_script_has_to_be_named() -> None:
    done = CliRunner().invoke(app, ["ops", "-b", "jax"])
    assert isinstance(done.exception, UsageError)
    assert "no script was named" in str(done.exception)


def test_help_teaches() -> None:
    text = CliRunner().invoke(app, ["ops", "--help"]).stdout
    assert "sdbackends ops --backend jax your_script.py" in text
    assert "Exit code 0" in text and "docs/adding-an-op.md" in text
