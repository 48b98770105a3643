"""What items leave for a reader at home (compiled programs, tables of profilers), in one zip."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

NAME = "kept.zip"
#: Bytes; a larger file may be left behind where the command ran.
_MOST = 15 * 2**20


def pack(kept: Path, output: Path, most: int = _MOST) -> None:
    """`kept` as OUTPUT/kept.zip, in one step.

    The files are compressed already; of more than `most` the largest stay out.
    """
    part = output / f".{NAME}.part"
    with zipfile.ZipFile(part, "w") as archive:
        for path in sorted(filter(Path.is_file, kept.rglob("*")), key=lambda p: p.stat().st_size):
            most -= path.stat().st_size
            if most < 0:
                break
            archive.write(path, path.relative_to(kept).as_posix())
    os.replace(part, output / NAME)
