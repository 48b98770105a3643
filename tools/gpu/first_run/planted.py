"""Failures on purpose, to see that each leaves its whole log.

python3 tools/gpu/first.py --rehearse --plant sd15-jax=raise --plant all=kill
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

KINDS = ("raise", "exit", "kill", "hang")
LINES = 2000


def kind_of(planted: Iterable[str], item: str) -> str:
    """Which failure is planted in the item; "": none.

    Raises:
        ValueError: a word that is not ITEM=KIND.
    """
    found = ""
    for word in planted:
        name, _, kind = word.partition("=")
        if kind not in KINDS:
            raise ValueError(f"--plant {word}: it is ITEM=KIND, with KIND of {', '.join(KINDS)}")
        if name in (item, "all"):
            found = kind
    return found


def fail(kind: str) -> None:
    for number in range(LINES):
        print(f"planted line {number}")
    sys.stdout.flush()
    if kind == "raise":
        raise RuntimeError("planted: " + "a long text of a compiler; " * 400 + "its last word")
    if kind == "exit":
        sys.exit(7)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)
