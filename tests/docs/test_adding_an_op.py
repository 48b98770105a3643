"""docs/adding-an-op.md, step by step, in a copy of the checkout."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks, change, follow, write

pytestmark = pytest.mark.slow

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy to write into: the package, its data and its tests."""
    for folder in ("sdbackends", "backends", "shim", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    return tmp_path


def test_an_op_is_found_missing_and_added(checkout: Path) -> None:
    script, look, report, listed, lowering, judge, run = blocks("adding-an-op.md")
    write(script, checkout)
    before = follow(look.commands[0], checkout)
    assert (before.returncode, before.stdout) == (1, report.text), before.stderr
    on_torch = follow("sdbackends run --backend jax quantile.py", checkout)
    assert on_torch.returncode == 0 and "1 × probit: float32[2, 8]" in on_torch.stderr

    change(listed, checkout)
    write(lowering, checkout)
    for command in judge.commands:
        done = follow(command, checkout)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    on_jax = follow(run.commands[0], checkout)
    assert on_jax.returncode == 0, on_jax.stderr
    assert on_jax.stdout == on_torch.stdout
    (figure,) = re.findall(r"on jax, against eager torch: .*? (\S+) of max", on_jax.stderr)
    assert float(figure) < 1e-6
