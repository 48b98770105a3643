"""Measures a slice: `run.py` starts it where sdbackends and all that it needs can be imported.

Batch after batch of cells goes to `sdbackends matrix`, each only if it is expected to be done in
the seconds that are left; the last one is interrupted as by Ctrl-C when the time is over, which
keeps what is done. After each batch all is packed; while one runs, the results are copied out after
each cell, so that they survive a slice that is killed from outside.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pack
import psutil
import slices
import tree

from sdbackends.errors import SdError
from sdbackends.matrix import machine, plan, resume, store
from sdbackends.matrix.results import Cell, CellResult, Machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILE = HERE / "matrix-gpu.yaml"
#: Seconds for the end of a batch: its processes, the report, the zip.
_TO_END = 25.0
#: Of these, for the zip.
_TO_PACK = 8.0
_PAUSE = 1.0
#: Outcomes that may be others once something was fixed, or where fewer processes are at work.
_TO_TRY_AGAIN = ("not-installed", "crashed", "slow-limit")


@dataclass(frozen=True)
class Slice:
    """What was asked for. `until`: when all has to be over, as `time.time()` has it."""

    cells: tuple[Cell, ...]
    quick: bool
    until: float
    work: Path
    output: Path


def cells(*, quick: bool, device: str | None, only: str | None) -> tuple[Cell, ...]:
    """The cells of matrix-gpu.yaml in the order of their worth.

    Raises:
        ValueError: there is no slice `only`.
    """
    found = slices.ordered(plan.cells(plan.load(FILE), quick=quick, device=device))
    if only is None:
        return found
    names = slices.titles()
    name = names[int(only) - 1] if only.isdecimal() and 0 < int(only) <= len(names) else only
    if name not in names:
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(names, 1))
        raise ValueError(f"there is no slice {only!r}; the slices are {known}")
    return tuple(cell for cell in found if slices.title(cell) == name)


def left(asked: Slice) -> tuple[Cell, ...]:
    """The cells that have no result yet that a later slice could not better, in their order."""
    done = {one.cell for one in _results(asked.work) if one.outcome not in _TO_TRY_AGAIN}
    return tuple(cell for cell in asked.cells if cell not in done)


def forget_failures(work: Path) -> None:
    """Take the results out that are to be tried again: what was fixed meanwhile may work now."""
    for path in pack.all_results(work):
        run = store.read(path)
        kept = tuple(one for one in run.cells if one.outcome not in _TO_TRY_AGAIN)
        if len(kept) < len(run.cells):
            store.write(run.model_copy(update={"cells": kept}), path)


def _untried(asked: Slice) -> tuple[Cell, ...]:
    """The cells that have no result at all; in one slice none is tried twice."""
    tried = {one.cell for one in _results(asked.work)}
    return tuple(cell for cell in asked.cells if cell not in tried)


def measure(asked: Slice) -> bool:
    """Batches, until the cells or the time are over; whether each did what it should."""
    fresh = well = True
    while well and (batch := _next(asked, fresh)):
        fresh = False
        well, seconds = _start(batch, asked)
        pack.write_state(asked.work, _cut(batch, asked, seconds))
        pack.pack(asked.work, asked.output)
    pack.write_state(asked.work, pack.read_state(asked.work))
    pack.pack(asked.work, asked.output)
    return well


def _next(asked: Slice, fresh: bool) -> tuple[Cell, ...]:
    measured = {one.cell.id: (one.cell, one.seconds) for one in _results(asked.work)}
    known = slices.Known(measured, pack.read_state(asked.work))
    seconds = asked.until - time.time() - _TO_END
    return slices.next_batch(_untried(asked), seconds, known, fresh=fresh)


def _start(batch: Sequence[Cell], asked: Slice) -> tuple[bool, float]:
    """Whether the batch was measured or cut off as it should be; seconds until it was cut off."""
    begun = time.time()
    name = file_name(asked.work, machine.describe(), machine.commit())
    command = [sys.executable, "-m", "sdbackends", "matrix", f"--file={FILE}", f"--name={name}"]
    command += [f"--logs={asked.work / pack.LOGS}"]
    command += ["--resume", f"--output={asked.work}", *(["--quick"] if asked.quick else [])]
    print(f"\n{slices.title(batch[0])}: {len(batch)} cells", flush=True)
    process = subprocess.Popen([*command, *(f"--cell={cell.id}" for cell in batch)], cwd=ROOT)
    while process.poll() is None and time.time() < asked.until - _TO_END:
        time.sleep(_PAUSE)
        pack.copy_results(asked.work, asked.output)
    if process.poll() is None:
        print("the time of this slice is over", flush=True)
        _end(process, asked.until - _TO_PACK)
        return True, time.time() - begun
    # Exit code 1: a cell is not ok, which is a result. Whatever else it says, a second try would.
    return process.returncode in (0, 1) and not set(batch) & set(_untried(asked)), 0.0


def file_name(work: Path, here: Machine, commit: str) -> str:
    """The file of results to go on with; a new one where the commit or the machine is another.

    Figures of two kinds must not meet in one file. `sdbackends report` brings the files together.
    """
    commit = commit.removesuffix("+changes")
    for path in reversed(pack.all_results(work)):
        run = store.read(path)
        same = resume.matters(run.machine) == resume.matters(here)
        if same and run.commit.removesuffix("+changes") == commit:
            return path.stem
    words = [time.strftime("%Y-%m-%d-%H%M%S", time.gmtime()), commit[:7], here.driver or ""]
    return "-".join(re.sub(r"[^\w.]+", "-", word) for word in words if word)


def _end(process: subprocess.Popen[bytes], until: float) -> None:
    """As Ctrl-C would, which keeps what is done; at `until` with all that it has started."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=max(1.0, until - time.time()))
    except subprocess.TimeoutExpired:
        started += psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    for one in started:
        try:
            one.kill()  # psutil knows a process by its start, too: never another of that number
        except psutil.NoSuchProcess:
            continue


def _cut(batch: Sequence[Cell], asked: Slice, seconds: float) -> dict[str, float]:
    """What is known of cut-off cells, with the one that was at work after these seconds."""
    cut = pack.read_state(asked.work)
    lacking = [cell for cell in batch if cell in _untried(asked)]
    if seconds and lacking:
        ids = {cell.id for cell in batch}
        others = sum(one.seconds for one in _results(asked.work) if one.cell.id in ids)
        cut[lacking[0].id] = max(0.0, seconds - others - slices.beside(lacking[0]))
    return cut


def _results(work: Path) -> tuple[CellResult, ...]:
    """Of all files, the newest result of each cell."""
    newest = {one.cell: one for path in pack.all_results(work) for one in store.read(path).cells}
    return tuple(newest.values())


def _write_commit() -> None:
    """Where git cannot tell: the commit that the tree was collected at, if it is still that."""
    if not machine.commit().startswith("sdbackends "):
        return
    (ROOT / "COMMIT").write_text(f"{tree.collected(tree.CARRIED)}\n", "utf-8")


def _show(asked: Slice) -> None:
    """Every slice with its cells: done, or left."""
    waiting = set(left(asked))
    for number, title in enumerate(slices.titles(), 1):
        own = [cell for cell in asked.cells if slices.title(cell) == title]
        if own:
            print(f"slice {number}: {title}")
        for cell in own:
            print(f"  {'left' if cell in waiting else 'done'}  {cell.id}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--slice")
    parser.add_argument("--device")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    try:
        chosen = cells(quick=given.rehearse, device=given.device, only=given.slice)
        if given.resume:
            pack.unpack(given.resume, given.work)
            forget_failures(given.work)
        asked = Slice(chosen, given.rehearse, given.until, given.work, given.output)
        if given.list:
            _show(asked)
            return 0
        _write_commit()
        pack.describe(given.work)
        well = measure(asked)
        _show(asked)
    except (ValueError, SdError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(left(asked))} of {len(asked.cells)} cells are left; {given.output / pack.ZIP}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
