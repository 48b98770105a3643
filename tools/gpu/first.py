"""The first minutes on a GPU: is it right, how fast is it, and what to read at home.

    python3 tools/gpu/first.py --until 400          all items, as many as fit into 400 seconds
    python3 tools/gpu/first.py --list               the items in the order of their worth
    python3 tools/gpu/first.py --show first.jsonl   a results file, for a reader
    python3 tools/gpu/first.py --rehearse           tiny models on the CPU, to try the command

It installs the carried wheels into a temporary folder and runs its items (`first_run/items.py`),
each in a process of its own with a limit. Into $OUT (or --output) go first.jsonl, every result at
once; logs-1.txt, all that was printed; kept.zip, compiled programs and profiles. With an earlier
first.jsonl at tools/gpu/so-far/ (or --resume) only what did not end well is run again, if commit,
driver and card are the same; else everything, and the file holds both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import run
import tree
from first_run import journal, packing, planted
from first_run.items import ITEMS
from first_run.journal import Journal
from first_run.logs import Logs
from first_run.process import Places, Running
from first_run.runner import Runner

HERE = Path(__file__).resolve().parent
SO_FAR = HERE / "so-far" / "first.jsonl"
#: Seconds for the end: processes that have to go, the zip.
_TO_END = 8.0
_TO_INSTALL = 90.0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = made.add_argument
    add("--until", type=float, default=400.0, metavar="SECONDS", help="all is over (default: 400)")
    add("--output", type=Path, metavar="FOLDER", help="default: $OUT, or out/gpu-first")
    add("--resume", type=Path, metavar="FILE", help="default: tools/gpu/so-far/first.jsonl")
    add("--item", action="append", default=[], metavar="NAME", help="only these")
    add("--rehearse", action="store_true", help="tiny models on the CPU")
    add("--no-wheels", action="store_true", help="this Python has all that is needed")
    add("--plant", action="append", default=[], metavar="ITEM=KIND", help="let an item fail")
    add("--builders", type=int, help="so many build at one time (default: by the processors)")
    add("--list", action="store_true")
    add("--show", type=Path, metavar="FILE")
    return made


def main() -> int:
    began = time.monotonic()
    asked = parser().parse_args()
    if asked.show:
        print("\n".join(journal.table(journal.read(asked.show))))
        return 0
    unknown = set(asked.item) - {item.name for item in ITEMS}
    if unknown:
        sys.exit(f"error: there is no item {', '.join(sorted(unknown))}\nfix: --list shows them")
    items = [item for item in ITEMS if not asked.item or item.name in asked.item]
    if asked.list:
        print("\n".join(item.name for item in items))
        return 0
    try:
        failures = {item.name: planted.kind_of(asked.plant, item.name) for item in items}
    except ValueError as error:
        sys.exit(f"error: {error}")
    # As Ctrl-C: what runs is ended, and what is done is packed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    output = asked.output or Path(os.environ.get("OUT") or run.ROOT / "out" / "gpu-first")
    output.mkdir(parents=True, exist_ok=True)
    written, logs = Journal(output / "first.jsonl"), Logs(output)
    now = _about(asked.rehearse)
    done = _resume(asked, written, now)
    written.add(run=now)
    with tempfile.TemporaryDirectory(prefix="sdbackends-first-") as folder:
        places = _places(Path(folder), written.path)
        site = Path(folder, "site")
        if not asked.no_wheels and not _install(site, written, logs):
            return 1
        runner = Runner(
            [item for item in items if item.name not in done],
            places,
            written,
            logs,
            _environment(site),
            until=began + asked.until - _TO_END,
            builders=asked.builders or max(1, _processors() // 5),
            alive=4 if asked.rehearse else 8,
            rehearsal=asked.rehearse,
            planted=failures,
            ended=lambda: packing.pack(places.kept, output),
        )
        try:
            runner.run()
        except KeyboardInterrupt:
            print("interrupted; what is done is kept", file=sys.stderr)
        packing.pack(places.kept, output)
    well = [*done, *(name for name, outcome in runner.outcomes.items() if outcome == "ok")]
    print(f"{len(well)} of {len(items)} items have ended well; {written.path}")
    return 0 if len(well) == len(items) else 1


def _resume(asked: argparse.Namespace, written: Journal, now: dict[str, Any]) -> set[str]:
    """Begin with an earlier file, if there is one; which items need not be run again."""
    earlier = asked.resume or (SO_FAR if SO_FAR.is_file() else None)
    if earlier is None:
        earlier = written.path if written.path.is_file() else None
    if earlier is None:
        return set()
    if not earlier.is_file():
        sys.exit(f"error: there is no file {earlier}\nfix: name the first.jsonl of an earlier run")
    if earlier.resolve() != written.path.resolve():
        written.path.unlink(missing_ok=True)
        written.go_on_with(earlier)
    return journal.done(journal.read(written.path), now)


def _about(rehearsal: bool) -> dict[str, Any]:
    """What the run is made with."""
    card = _said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    name, _, driver = (card.splitlines() or [""])[0].partition(",")
    return {
        "commit": tree.commit(),
        "gpu": name.strip() or None,
        "driver": driver.strip() or None,
        "rehearsal": rehearsal,
        "python": ".".join(map(str, sys.version_info[:3])),
        "processors": _processors(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _install(site: Path, written: Journal, logs: Logs) -> bool:
    """The carried wheels into `site`; its log is that of an item."""
    words = "import sys, pathlib, run; site = pathlib.Path(sys.argv[1]); "
    words += "run.install(run.WHEELS, site); run.check(run.WHEELS / 'carried.json', site)"
    began = time.monotonic()
    command = [sys.executable, "-c", words, str(site)]
    running = Running("wheels", command, os.environ, HERE, logs)
    while (code := running.code()) is None and time.monotonic() - began < _TO_INSTALL:
        time.sleep(0.1)
    running.end()
    outcome = "ok" if code == 0 else "failed"
    seconds = round(time.monotonic() - began, 1)
    written.add(item="wheels", outcome=outcome, seconds=seconds, where=f"exit code {code}")
    print(f"{outcome:<8} {seconds:>7} s  wheels", flush=True)
    if code != 0:
        print(logs.path.read_text("utf-8", errors="replace"), file=sys.stderr)
    return code == 0


def _places(folder: Path, results: Path) -> Places:
    places = Places(results.absolute(), folder / "barrier", folder / "kept")
    for path in (places.barrier, places.kept):
        path.mkdir()
    return places


def _environment(site: Path) -> dict[str, str]:
    """That of a slice, the items' own modules and backends, and fp32 that is fp32."""
    env = run.environment(site, os.environ)
    return {
        **env,
        "PYTHONPATH": os.pathsep.join([str(HERE), env["PYTHONPATH"]]),
        "SD_BACKENDS_DIR": str(HERE / "first_run" / "backends"),
        "NVIDIA_TF32_OVERRIDE": "0",
    }


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _said(*command: str) -> str:
    """What the command prints; "" where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
