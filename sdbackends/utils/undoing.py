"""Undoing many things: a step that fails stops none of the others, and nothing of the script's.

Sessions end in a `finally` or at the end of a `with`, where an error of ours would take the place
of the script's own exception. So it is said, and not raised.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable

from sdbackends import log


def run_all(steps: Iterable[tuple[str, Callable[[], object]]]) -> None:
    """Run every step; the text of each says what it undoes.

    Raises:
        BaseException: what is no error (Ctrl-C) came in one of them; the rest has run by then.
    """
    stop: BaseException | None = None
    for label, step in steps:
        try:
            step()
        except Exception as error:
            # Not str(error): that may raise, too.
            words = traceback.format_exception_only(error)[-1].strip()
            log.warn(f"{label} could not be undone; everything else was\n  why: {words}")
        except BaseException as stopped:
            stop = stopped
    if stop is not None:
        raise stop
