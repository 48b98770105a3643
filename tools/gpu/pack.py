"""What travels between two slices, and home: one zip, and the results once more as plain JSON.

The zip holds what lies under results/ (MACHINE/NAME.json and the pictures) and slices.json, what
the kit knows of the cells that were cut off. Large pictures are made smaller: of random weights
they are noise, which no format makes small, and all figures were taken from the full ones.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

from PIL import Image

ZIP = "gpu.zip"
PLAIN = "results.json"
STATE = "slices.json"
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
    files = sorted(work.glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    return files[-1] if files else None


def read_state(work: Path) -> dict[str, float]:
    """Cell id -> seconds after which it was cut off."""
    try:
        state: dict[str, dict[str, float]] = json.loads((work / STATE).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return state["cut"]


def write_state(work: Path, cut: dict[str, float]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    (work / STATE).write_text(json.dumps({"cut": cut}, indent=1), "utf-8")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _kept(work: Path) -> list[Path]:
    """Reports are made anew at home, from the results."""
    return [work / STATE, *sorted(work.glob("*/*.json")), *sorted(work.glob("*/*/pictures/*.png"))]


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
