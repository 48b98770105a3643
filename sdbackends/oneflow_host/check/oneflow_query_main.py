"""The process that is asked what OneFlow lacks: `PYTHON -I ask.py`, in the Python that has oneflow.

It reads a JSON list of names on stdin and writes one JSON object on stdout: `lacking` maps those
that are not there to the reason, `oneflow` and `python` are versions. Standard library, oneflow and
the host's own modules only.
"""

from __future__ import annotations

import json
import os
import platform
import runpy
import sys
from pathlib import Path


def main() -> None:
    # What oneflow and its libraries print belongs to stderr: stdout carries the answer alone.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bootstrap = Path(__file__).resolve().parents[2] / "worker" / "bootstrap.py"
    runpy.run_path(str(bootstrap))["register_package"]()

    import oneflow

    from sdbackends.oneflow_host.names import lacking

    names = json.load(sys.stdin)
    reasons = {name: why for name in names if (why := lacking(name)) is not None}
    versions = {"oneflow": oneflow.__version__, "python": platform.python_version()}
    with answer:
        json.dump({"lacking": reasons, **versions}, answer)
    sys.stdout.flush()
    os._exit(0)  # the answer is out; oneflow's own end takes a second, and may abort


if __name__ == "__main__":
    main()
