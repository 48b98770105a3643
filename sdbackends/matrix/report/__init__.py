"""The report: runs of one or many machines in; report.html, report.md and report.csv out.

`rows` makes one row a cell with its figures; `overview`, `charts`, `scatter` and `pictures` group
them for the page; `templates/` holds how it looks. The page needs no network and no other file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdbackends.errors import SdError, UsageError
from sdbackends.machine import pip_install
from sdbackends.matrix import store
from sdbackends.matrix.report import into as document
from sdbackends.matrix.results import Run


@dataclass(frozen=True)
class Written:
    """Where the three forms of the report are."""

    html: Path
    markdown: Path
    csv: Path


def write(
    runs: Sequence[Run], folder: Path, files: Sequence[Path], into: Path | None = None
) -> Written:
    """Write the report of `runs` into `folder`, over an older one.

    Args:
        files: the JSON file of each run; its pictures are found from there.
        into: a document that gets the short table between its two lines, see `into`.

    Raises:
        SdError: a package that makes the report is not installed.
        UsageError: the document has no place for the table, or something cannot be written.
    """
    try:
        from sdbackends.matrix.report import csv_table, page
        from sdbackends.matrix.report.rows import rows
    except ModuleNotFoundError as error:
        mend = pip_install("sdbackends[matrix]")
        raise SdError(f"the report needs the package {error.name}", mend=mend) from None
    shown = rows(zip(runs, files, strict=True))
    written = Written(folder / "report.html", folder / "report.md", folder / "report.csv")
    # Every text is made before the first is written: a failure leaves an older report whole.
    texts = {
        written.html: page.html(shown),
        written.markdown: page.markdown(shown, folder),
        written.csv: csv_table.csv_text(shown),
    }
    if into is not None:
        details = document.link(written.markdown, into.parent)
        texts[into] = document.with_table(page.short(shown, details), into)
    _write(texts)
    return written


def _write(texts: dict[Path, str]) -> None:
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            store.replace(path, text)
        except OSError as error:
            raise UsageError(
                f"{path.name} cannot be written",
                where=str(path),
                why=error.strerror or str(error),
                mend="name another folder: --output FOLDER",
            ) from None
