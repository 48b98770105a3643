"""What `sd-mock --check` does: the check, and its answer on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sdbackends import log
from sdbackends.oneflow_host.check import check, report
from sdbackends.oneflow_host.name_list import NameList
from sdbackends.oneflow_host.name_list_query import name_list
from sdbackends.runtime.cache_folder import open_folder
from sdbackends.settings import Settings


def run(script: Path, *, everything: bool, as_json: bool) -> int:
    """Check `script`; what comes back is the exit code.

    Raises:
        UsageError: there is no such file, or it is not Python.
        BackendNotReadyError: OneFlow cannot be asked.
    """
    done = check(script, _names)
    if as_json:
        record = report.as_json(done)
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        sys.stdout.write(report.as_text(done, everything=everything))
    return 0 if done.clean else 1


def _names() -> NameList:
    settings = Settings.from_environment()
    log.set_level(settings.log)
    return name_list(open_folder(settings, "names"), _say)


def _say(python: Path) -> None:
    log.note(f"asking OneFlow which names it has ({python}); later checks know …")
