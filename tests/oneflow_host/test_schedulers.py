"""Schedulers other than the saved one draw torch's picture too, on a machine without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oneflow_host.conftest import Host
from tests.oneflow_host.pictures import assert_same_picture
from tests.scripts import RunScript


@pytest.mark.parametrize("scheduler", ["pndm", "euler", "dpm++"])
def test_the_same_picture(
    scheduler: str, host: Host, run_script: RunScript, tmp_path: Path
) -> None:
    arguments = ["stable_diffusion.py", f"--scheduler={scheduler}"]
    assert_same_picture(*arguments, host=host, run_script=run_script, folder=tmp_path)
