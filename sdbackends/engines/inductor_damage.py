"""Files in inductor's cache that were written only in part.

The compiler, the linker and inductor write there. Where one is killed (power that failed, memory
that ran out, a full disk), a part of a library or of a program in Python stays, and inductor takes
it for the whole in every later process.
"""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterator
from pathlib import Path

#: Offsets in the header of a 64-bit ELF file: of the section table's place, and of the size and
#: the number of its entries (System V ABI, chapter 4, "ELF Header").
_TABLE_AT, _ENTRIES_AT, _HEADER = 40, 58, 64


def remove_damaged(error: Exception, removed: set[Path]) -> bool:
    """Remove what could not be used, if that is what `error` is about, to have it written anew.

    With a library go all that were cut off too: one loss of power leaves many, and each would cost
    a compilation to be found.

    Args:
        removed: what was removed before, for the same graph; the new files are added.

    Returns:
        Whether something was removed that had not been removed before.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    folder = Path(cache_dir())
    named = [path for path in map(Path, _files_of(error)) if path.is_relative_to(folder)]
    damaged = next((path for path in named if path.is_file()), None)
    if damaged is None or damaged in removed:
        return False
    found = {damaged}
    if damaged.suffix == ".so":
        found.update(path for path in folder.rglob("*.so") if _is_cut_off(path))
    elif any(path.suffix == damaged.suffix for path in removed):
        # The graph's program in Python has another name at each try. Written anew once, it is not
        # what is wrong.
        return False
    for path in found:
        path.unlink(missing_ok=True)
    removed |= found
    return True


def _files_of(error: BaseException) -> Iterator[str]:
    """The files that an error and its causes are about, and then those of the code that raised."""
    causes = list(_causes_of(error))
    for cause in causes:
        if isinstance(cause, ImportError) and cause.path:
            yield cause.path
        if isinstance(cause, SyntaxError) and cause.filename:
            yield cause.filename
        if isinstance(cause, AttributeError):
            yield getattr(cause.obj, "__file__", None) or ""
    for cause in causes:
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            yield frame.filename


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()  # an error may wrap itself
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        # inductor wraps what it could not load.
        inner = getattr(cause, "inner_exception", None)
        cause = inner or cause.__cause__ or cause.__context__


def _is_cut_off(library: Path) -> bool:
    """Whether an ELF file ends before its section table, which linkers put last."""
    try:
        size = library.stat().st_size
        with library.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return False
    if len(header) < _HEADER:
        return True
    if header[:5] != b"\x7fELF\x02":
        return not any(header)  # the place was kept, and nothing was written
    (table,) = struct.unpack_from("<Q", header, _TABLE_AT)
    entry, count = struct.unpack_from("<HH", header, _ENTRIES_AT)
    return bool(size < table + entry * count)
