"""The short table inside another document, such as a README, and how it links to the report.

It stands between two lines that the document has, and nothing else of the document changes. The
same results give the same text again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from sdbackends.errors import UsageError

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"


def with_table(table: str, path: Path) -> str:
    """The document's text with `table` between its lines `BEGIN` and `END`; nothing is written.

    Raises:
        UsageError: the file cannot be read, or has not both lines, once each.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} cannot be read", where=str(path), why=str(error)) from None
    between = re.compile(f"^{BEGIN}(\r?\n).*?^{END}", re.DOTALL | re.MULTILINE)
    found = between.search(text)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or found is None:
        raise UsageError(
            f"{path.name} has no place for the table",
            where=str(path),
            fix=f"give it the lines {BEGIN} and {END}, in this order, once each",
        )
    end = found[1]  # the document's own kind of line's end
    block = end.join([BEGIN, *table.strip().splitlines(), "", END])
    return text[: found.start()] + block + text[found.end() :]


def link(target: Path, folder: Path) -> str:
    """`target` as seen from a document in `folder`; works on a forge and in a checkout."""
    return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())
