"""The process of one item: `python -m first_run.child`, started by the runner.

What goes wrong is in the log with its whole traceback, and once more in the results file. Where the
command that started it is gone, it ends, too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from first_run import planted
from first_run.items import named
from first_run.journal import Journal

_PAUSE = 0.05


class Turn:
    """What an item is given.

    Attributes:
        rehearsal: tiny models on the CPU.
        kept: a folder; what the item leaves there is packed.
    """

    def __init__(self, name: str, journal: Journal, barrier: Path, kept: Path, rehearsal: bool):
        self.name, self.rehearsal, self.kept = name, rehearsal, kept
        self._journal, self._barrier = journal, barrier

    def figure(self, **figures: Any) -> None:
        """Write figures down, at once."""
        print("figures:", json.dumps(figures, default=str), flush=True)
        self._journal.add(item=self.name, **figures)

    def wait(self) -> None:
        """Say that all is built, and come back when the device is this item's alone."""
        (self._barrier / f"{self.name}.ready").touch()
        while not (self._barrier / f"{self.name}.go").exists():
            time.sleep(_PAUSE)


def _end_with_the_runner() -> None:
    """The runner holds the other end of stdin, and lets go of it in whatever way it ends."""
    own = os.dup(0)  # tests put other things in the place of 0

    def watch() -> None:
        while os.read(own, 1024):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("item")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--barrier", type=Path, required=True)
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--plant", default="")
    parser.add_argument("--rehearse", action="store_true")
    given = parser.parse_args()
    _end_with_the_runner()
    item, journal = named(given.item), Journal(given.journal)
    turn = Turn(item.name, journal, given.barrier, given.kept, given.rehearse)
    try:
        if given.plant:
            planted.fail(given.plant)
        importlib.import_module(f"first_run.work.{item.work}").main(turn, **item.options)
    except Exception:
        text = traceback.format_exc()
        print(text, flush=True)
        journal.add(item=item.name, error=text)
        return 1
    return 0


if __name__ == "__main__":
    # At once: threads of a runtime may keep a process that has failed.
    code = main()
    sys.stdout.flush()
    os._exit(code)
