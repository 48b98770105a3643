"""Why a script ended before its work was done: the outcome of the cell, and one sentence.

What is known: the exception that its observer caught, the exit code or the signal, the last message
in its log, the limit that it ran into, and what it was at when that happened.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

from sdbackends.matrix.measure.record import Failure, Measured
from sdbackends.matrix.results import Outcome

#: Exceptions of sdbackends (by class, as the process names them) that say more than "crashed".
_OUTCOMES: dict[str, Outcome] = {
    "UnsupportedOpsError": "unsupported",
    "CaptureError": "unsupported",
    "BackendNotReadyError": "not-installed",
    "NotFiniteError": "wrong",
    "MemoryError": "out-of-memory",
    "OutOfMemoryError": "out-of-memory",
}
#: How allocators word it whose exceptions have no class of their own.
_NO_MEMORY = ("out of memory", "can't allocate memory", "resource_exhausted", "bad_alloc")
#: Below this share of one core a script counts as idle; a thread that polls takes less.
_IDLE_SHARE = 0.05
#: Idle for so many seconds at the limit, or for this share of a shorter one, and it hangs.
_HANGS, _HANGS_SHARE = 10.0, 0.2
#: A tree that grows by this share of its size with every picture leaks.
_LEAK = 0.02


class CellFailed(Exception):
    """The script is gone before its work was done."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class Idle:
    """For how long a tree of processes has used (nearly) no processor time."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._used = 0.0

    def see(self, used: float) -> None:
        """`used`: processor seconds of the tree so far."""
        now = time.monotonic()
        if used < self._used or used - self._used > _IDLE_SHARE * max(now - self._since, 1.0):
            self._since, self._used = now, used

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since


def too_slow(measured: Measured, limit: float, idle: float) -> CellFailed:
    """The limit of time."""
    reason = f"it was not done after {limit:g} s, its limit ({measured.phase})"
    if idle > min(_HANGS, _HANGS_SHARE * limit):
        reason += f"; it hangs: no processor time in the last {idle:.0f} s"
    else:
        reason += "; it was still working"
    return CellFailed("slow-limit", reason)


def too_much_memory(measured: Measured, held: int, limit: int, sizes: Sequence[int]) -> CellFailed:
    """The limit of memory; `sizes` are those after each picture so far."""
    reason = f"it held {_size(held)}, its limit is {_size(limit)} ({measured.phase})"
    # What the first picture builds is no leak.
    steady = sizes[1:]
    if len(steady) > 1:
        growth = (steady[-1] - steady[0]) / (len(steady) - 1)
        if growth > _LEAK * steady[0]:
            reason += f"; it leaks: {_size(growth)} more with each picture"
    return CellFailed("out-of-memory", reason)


def died(measured: Measured, code: int, log: Path) -> CellFailed:
    """The process ended on its own."""
    if measured.failure is not None and code >= 0:
        return CellFailed(_outcome(measured.failure), _sentence(measured.failure))
    said = last_message(log)
    if code == -signal.SIGKILL:
        killed = f"it was killed from outside ({measured.phase}): the kernel does so without memory"
        return CellFailed("out-of-memory", killed)
    if code < 0:
        return CellFailed("crashed", f"it died of {_signal(code)} ({measured.phase})")
    if code == 0:
        return CellFailed("crashed", f"it ended before its last picture ({measured.phase})")
    outcome = _by_words(said)
    return CellFailed(outcome, said or f"it ended with exit code {code} and said nothing")


def last_message(log: Path) -> str:
    """The last thing that a log says, with its why and fix, in one line."""
    text = log.read_text("utf-8", errors="replace")
    lines = [line.removeprefix("sdbackends: ") for line in text.splitlines() if line.strip()]
    first = len(lines) - 1
    while first > 0 and lines[first].startswith((" ", "fix:")):
        first -= 1
    return _one_line("\n".join(lines[max(first, 0) :]))


def _outcome(failure: Failure) -> Outcome:
    for kind in failure.kinds:
        if kind in _OUTCOMES:
            return _OUTCOMES[kind]
    return _by_words(failure.text)


def _by_words(text: str) -> Outcome:
    return "out-of-memory" if any(words in text.lower() for words in _NO_MEMORY) else "crashed"


def _sentence(failure: Failure) -> str:
    own = "SdError" in failure.kinds
    return _one_line(failure.text if own else f"{failure.kinds[0]}: {failure.text}")


def _one_line(text: str, limit: int = 400) -> str:
    line = "; ".join(" ".join(piece.split()) for piece in text.splitlines() if piece.strip())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
