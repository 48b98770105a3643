"""The embedded models on a machine without torch draw torch's pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oneflow_host.conftest import Host
from tests.oneflow_host.pictures import assert_same_picture
from tests.scripts import RunScript


@pytest.mark.parametrize("script", ["stable_diffusion.py", "taiyi.py"])
def test_the_same_picture(script: str, host: Host, run_script: RunScript, tmp_path: Path) -> None:
    assert_same_picture(script, host=host, run_script=run_script, folder=tmp_path)
