"""`sd-mock --check` with the real OneFlow behind it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdbackends.oneflow_host.check import check
from sdbackends.oneflow_host.name_list import NameList
from sdbackends.oneflow_host.name_list_query import find_oneflow, name_list
from sdbackends.oneflow_host.names import PLACEHOLDER
from sdbackends.paths import pipelines_dir

#: Names on stdin, and why each is lacking (or null) on stdout, in the Python that has oneflow.
ASK = """
import json, sys
from sdbackends.oneflow_host.names import lacking
print(json.dumps({dotted: lacking(dotted) for dotted in json.load(sys.stdin)}))
"""
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


@pytest.fixture(scope="module")
def names() -> NameList:
    return name_list(None)


def test_the_real_reasons_in_the_right_lines(tmp_path: Path, names: NameList) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    report = check(script, lambda: names)
    assert report.oneflow.startswith("0.9") and report.oneflow_python.startswith("3.10")
    assert [(found.line, found.name) for found in report.findings if found.weight == "own"] == [
        (3, "torch.fft"),
        (6, "torch.fft.fftn"),
        (9, "torch.fft.ifftn"),
        (12, "torch.complex64"),
    ]
    assert [found.line for found in report.findings if found.weight == "guarded"] == [8]
    assert all(found.why for found in report.findings)


def test_the_pipeline_needs_nothing_itself(names: NameList) -> None:
    report = check(pipelines_dir() / "stable_diffusion.py", lambda: names)
    assert report.clean
    assert {"diffusers", "transformers"} <= set(report.installed)


def test_a_placeholder_is_told_from_an_import_that_fails(names: NameList) -> None:
    from sdbackends.oneflow_host.placeholders import PLACEHOLDERS

    assert names.lacking("torch.nn") is None
    assert (names.lacking(min(PLACEHOLDERS)) or "").startswith(PLACEHOLDER)
    assert (names.lacking("torch.fft") or PLACEHOLDER).startswith("OneFlow has no")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_list_answers_as_oneflow_does(names: NameList) -> None:
    """For what stands in torch's modules of the same names, and the attributes of that."""
    pytest.importorskip("torch")
    asked = {"torch.gone.deep", "torch.nn.Linear.gone", "torch.cuda.gone", "torch.gone_too.x.y"}
    for module in sorted(names.modules.keys() & sys.modules.keys()):
        for name, value in vars(sys.modules[module]).items():
            asked.add(f"{module}.{name}")
            if inspect.isclass(value) and value.__module__ == module:
                asked.update(f"{module}.{name}.{attribute}" for attribute in vars(value))
    asked.update(f"torch.Tensor.{name}" for name in dir(sys.modules["torch"].Tensor))
    done = subprocess.run(
        [find_oneflow().python, "-c", ASK],
        input=json.dumps(sorted(asked)),
        capture_output=True,
        encoding="utf-8",
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said) > 2000
    assert {name: names.lacking(name) for name in said} == said


def test_as_a_command(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    code = "from sdbackends.cli import sd_mock; sd_mock()"
    command = [sys.executable, "-c", code, "--check", str(script), "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["counts"]["own"] == 4


def test_where_the_host_stands_its_own_oneflow_answers() -> None:
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
        assert "Installed, and not read: " in done.stdout
