"""The report: runs of one or many machines in; report.html, report.md and report.csv out.

`rows` makes one row a cell with its figures; `overview`, `charts`, `scatter` and `pictures` group
them for the page; `templates/` holds how it looks. The page needs no network and no other file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdbackends.errors import SdError
from sdbackends.machine import pip_install
from sdbackends.matrix.report import into as document
from sdbackends.matrix.results import Run


@dataclass(frozen=True)
class Written:
    """Where the three forms of the report are."""

    html: Path
    markdown: Path
    csv: Path


def write(
    runs: Sequence[Run], folder: Path, pictures: Sequence[Path], into: Path | None = None
) -> Written:
    """Write the report of `runs` into `folder`, over an older one.

    Args:
        into: a document that gets the first table between its two lines, see `into`.
        pictures: for each run the folder that its pictures' paths are relative to: the one where
            its JSON file is.

    Raises:
        SdError: a package that makes the report is not installed.
        UsageError: the document has no place for the table.
    """
    try:
        from sdbackends.matrix.report import csv_table, page
        from sdbackends.matrix.report.rows import rows
    except ModuleNotFoundError as error:
        mend = pip_install("sdbackends[matrix]")
        raise SdError(f"the report needs the package {error.name}", mend=mend) from None
    shown = rows(zip(runs, pictures, strict=True))
    written = Written(folder / "report.html", folder / "report.md", folder / "report.csv")
    # All three are made before the first is written: a failure leaves an older report whole.
    texts = page.html(shown), page.markdown(shown), csv_table.csv_text(shown)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip((written.html, written.markdown, written.csv), texts, strict=True):
        path.write_text(text, encoding="utf-8", newline="\n")
    if into is not None:
        document.put(page.fastest(shown), into)
    return written
