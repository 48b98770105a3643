"""What `sd-mock --check` does: the check with its progress, and its answer on stdout."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from sdbackends.oneflow_host.check import check, report
from sdbackends.oneflow_host.check.oneflow_query import OneFlowOracle

#: How long a check may take before it says what it does, in seconds.
_PATIENCE = 2.0


def run(script: Path, *, everything: bool, as_json: bool) -> int:
    """Check `script`; what comes back is the exit code.

    Raises:
        UsageError: there is no such file, or it is not Python.
        BackendNotReadyError: OneFlow cannot be asked.
    """
    progress = _Progress()
    try:
        done = check(script, OneFlowOracle, progress=progress.says)
    finally:
        progress.clear()
    if as_json:
        record = report.as_json(done)
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(report.as_text(done, everything=everything))
    return 0 if done.clean else 1


class _Progress:
    """A line on stderr where the check takes long; on a terminal one that counts."""

    def __init__(self) -> None:
        self.due = time.monotonic() + _PATIENCE
        self.shown = False

    def says(self, files: int) -> None:
        terminal = sys.stderr.isatty()
        if time.monotonic() < self.due or (self.shown and not terminal):
            return
        self.shown, self.due = True, time.monotonic() + 0.1
        end = "" if terminal else "\n"
        start = "\r" if terminal else ""
        words = f"sd-mock: reading what the script imports: {files} files …"
        sys.stderr.write(f"{start}{words}{end}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self.shown and sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
