"""The report: runs of one or many machines in; report.html, report.md and report.csv out.

`rows` makes one row a cell with its figures; `overview`, `charts`, `scatter` and `thumbnails` group
them for the page; `templates/` holds how it looks. The page needs no network and no other file;
report.md shows pictures.webp, because a forge shows no pictures that stand in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdbackends.catalog.requirements import pip_install
from sdbackends.errors import SdError, UsageError
from sdbackends.matrix import store
from sdbackends.matrix.report import embed as document
from sdbackends.matrix.results import Run

_SHEET = "pictures.webp"


@dataclass(frozen=True)
class Written:
    """Where the three forms of the report are."""

    html: Path
    markdown: Path
    csv: Path


def write(
    runs: Sequence[Run], folder: Path, sources: Sequence[Path], into: Sequence[Path] = ()
) -> Written:
    """Write the report of `runs` into `folder`, over an older one.

    Args:
        sources: the JSON file of each run; its pictures are found from there.
        into: documents that get the short table between their two lines, see `into`.

    Raises:
        SdError: a package that makes the report is not installed.
        UsageError: a document has no place for the table, or something cannot be written.
    """
    try:
        from sdbackends.matrix.report import csv_table, page, thumbnails
        from sdbackends.matrix.report.rows import rows
    except ModuleNotFoundError as error:
        fix = pip_install("sdbackends[matrix]")
        raise SdError(f"the report needs the package {error.name}", fix=fix) from None
    shown = rows(zip(runs, sources, strict=True))
    written = Written(folder / "report.html", folder / "report.md", folder / "report.csv")
    drawn = thumbnails.sheets(shown)
    # Everything is made before the first file is written: a failure leaves an older report whole.
    files: dict[Path, str | bytes] = {
        written.html: page.html(shown, drawn),
        written.markdown: page.markdown(shown, folder, _SHEET if drawn else None),
        written.csv: csv_table.csv_text(shown),
    }
    if drawn:
        files[folder / _SHEET] = thumbnails.webp(drawn)
    for path in into:
        details = document.link(written.markdown, path.parent)
        files[path] = document.with_table(page.short(shown, details), path)
    _write(files)
    return written


def _write(files: dict[Path, str | bytes]) -> None:
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            store.replace(path, content)
        except OSError as error:
            raise UsageError(
                f"{path.name} cannot be written",
                where=str(path),
                why=error.strerror or str(error),
                fix="name another folder: --output FOLDER",
            ) from None
