"""The table of the fastest right engines inside another document, such as a README.

It replaces what stands between two lines that the document has, and nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path

from sdbackends.errors import UsageError

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"


def put(table: str, path: Path) -> None:
    """Write `table` between the lines `BEGIN` and `END` of the file.

    Raises:
        UsageError: the file cannot be read, or has not both lines, once each.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} cannot be read", where=str(path), why=str(error)) from None
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or not between.search(text):
        raise UsageError(
            f"{path.name} has no place for the table",
            where=str(path),
            mend=f"give it the lines {BEGIN} and {END}, in this order, once each",
        )
    # A function, because in a replacement's text backslashes would mean something.
    path.write_text(between.sub(lambda _: table + "\n\n", text), encoding="utf-8", newline="\n")
