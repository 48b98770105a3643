"""The process that lists the names that OneFlow has: `PYTHON -I name_list_main.py`, beside oneflow.

It writes a `NameList` as one JSON object on stdout. Standard library, oneflow and the host's own
modules only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    # What oneflow and its libraries print belongs to stderr: stdout carries the answer alone.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bootstrap = Path(__file__).resolve().parents[1] / "worker" / "bootstrap.py"
    runpy.run_path(str(bootstrap))["register_package"]()

    from sdbackends.oneflow_host.name_list import take

    with answer:
        json.dump(dataclasses.asdict(take()), answer)
    sys.stdout.flush()
    os._exit(0)  # the answer is out; oneflow's own end takes a second, and may abort


if __name__ == "__main__":
    main()
