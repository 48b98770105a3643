"""What travels between two slices, and home: one zip, and the results once more as plain JSON.

The zip holds what lies under results/ (MACHINE/NAME.json and the pictures), slices.json, what the
kit knows of the cells that were cut off, and logs/: the end of the log of each cell that is not ok,
with what the machine is and has installed. Large pictures are made smaller: of random weights
they are noise, which no format makes small, and all figures were taken from the full ones.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from PIL import Image

ZIP = "gpu.zip"
PLAIN = "results.json"
STATE = "slices.json"
LOGS = "logs"
#: Pixels of the longer side.
_LARGEST = 192


def pack(work: Path, output: Path) -> Path:
    """`work` as OUTPUT/gpu.zip, in one step; the newest results also as OUTPUT/results.json."""
    output.mkdir(parents=True, exist_ok=True)
    part = output / f".{ZIP}.part"
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _kept(work):
            archive.writestr(path.relative_to(work).as_posix(), _content(path))
    os.replace(part, output / ZIP)
    copy_results(work, output)
    return output / ZIP


def copy_results(work: Path, output: Path) -> None:
    """The plain results, which are whole after each cell: they survive a slice that is killed."""
    found = results(work)
    if found is not None:
        output.mkdir(parents=True, exist_ok=True)
        part = output / f".{PLAIN}.part"
        part.write_bytes(found.read_bytes())
        os.replace(part, output / PLAIN)


def unpack(archive: Path, work: Path) -> None:
    """What an earlier slice has packed, where the next one goes on with it.

    Raises:
        ValueError: the file is not one of `pack`, or cut off.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.testzip() is not None or STATE not in opened.namelist():
                raise ValueError(f"{archive.name} is damaged, or not a zip of this kit")
            opened.extractall(work)
    except zipfile.BadZipFile:
        raise ValueError(f"{archive.name} is cut off, or no zip") from None


def results(work: Path) -> Path | None:
    """The newest file of results under `work`."""
    files = all_results(work)
    return files[-1] if files else None


def all_results(work: Path) -> list[Path]:
    """Every file of results under `work`, the newest last."""
    return sorted(work.glob("*/*.json"), key=lambda path: path.stat().st_mtime)


def describe(work: Path) -> None:
    """What the machine is and has installed, into the logs."""
    folder = work / LOGS
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "list", "--disable-pip-version-check"]
    for name, command in (("nvidia-smi", ["nvidia-smi", "-q"]), ("pip-list", pip)):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, check=False, timeout=60)
            (folder / f"{name}.txt").write_bytes(done.stdout + done.stderr)


def read_state(work: Path) -> dict[str, float]:
    """Cell id -> seconds after which it was cut off.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        state = json.loads((work / STATE).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        state = None
    cut = state.get("cut") if isinstance(state, dict) else None
    if not isinstance(cut, dict) or not all(type(value) in (int, float) for value in cut.values()):
        raise ValueError(f"{STATE} is damaged, or not one of this kit; remove {work / STATE}")
    return cut


def write_state(work: Path, cut: dict[str, float]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    (work / STATE).write_text(json.dumps({"cut": cut}, indent=1), "utf-8")


def _kept(work: Path) -> list[Path]:
    """Reports are made anew at home, from the results."""
    patterns = ("*/*.json", "*/*/pictures/*.png", f"{LOGS}/*.txt")
    return [work / STATE, *(path for one in patterns for path in sorted(work.glob(one)))]


def _content(path: Path) -> bytes:
    if path.suffix != ".png":
        return path.read_bytes()
    with Image.open(path) as picture:
        if max(picture.size) <= _LARGEST:
            return path.read_bytes()
        smaller = picture.convert("RGB")
        smaller.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    written = io.BytesIO()
    smaller.save(written, "PNG", optimize=True)
    return written.getvalue()
