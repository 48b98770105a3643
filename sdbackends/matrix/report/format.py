"""How the report writes things: seconds, bytes, rates, and the sign that each outcome has.

Numbers in, short text out, the same in HTML, Markdown and on a terminal. A figure that was not
measured is a dash, never a zero.
"""

from __future__ import annotations

from sdbackends.matrix.results import Cell, Outcome

NONE = "–"
#: A sign beside the colour: the table must be readable without seeing colours.
SIGNS: dict[Outcome, str] = {
    "ok": "✓",
    "wrong": "✗",
    "slow-limit": "»",
    "out-of-memory": "▲",
    "crashed": "!",
    "unsupported": "∅",
    "not-installed": "–",
}
MEANINGS: dict[Outcome, str] = {
    "ok": "right: within the tolerance",
    "wrong": "it ran, but beyond the tolerance, NaN, or an empty picture",
    "slow-limit": "stopped at its time limit",
    "out-of-memory": "stopped at its memory limit, or the device had no more",
    "crashed": "the process ended with an error or a signal",
    "unsupported": "this backend cannot do this work, and says so",
    "not-installed": "the backend's packages are missing there",
}


def number(value: float | None, digits: int = 3) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 123, 1,230."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:#.{digits}g}".rstrip(".")


def seconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{number(value * 1000)} ms" if 0 < value < 1 else f"{number(value)} s"


def size(value: float | None) -> str:
    """Bytes as MB or GB (of 1000)."""
    if value is None:
        return NONE
    return f"{number(value / 1e9)} GB" if value >= 1e9 else f"{number(value / 1e6)} MB"


def rate(value: float | None) -> str:
    """FLOP/s."""
    if value is None:
        return NONE
    return f"{number(value / 1e12)} TFLOP/s" if value >= 1e12 else f"{number(value / 1e9)} GFLOP/s"


def times(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}×"


def share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def small(value: float | None) -> str:
    """A relative error: 1.2e-06; exactly equal is said."""
    if value is None:
        return NONE
    return "equal" if value == 0 else f"{value:.1e}"


def decibels(psnr: float | None) -> str:
    """None: the pictures are equal."""
    return "equal" if psnr is None else f"{number(psnr, 2)} dB"


def work(cell: Cell) -> str:
    """All that a cell does besides pipeline, backend and precision."""
    height, width = cell.size
    return f"{width}×{height} · batch {cell.batch} · {cell.steps} steps · {cell.scheduler}" + (
        "" if cell.model == "embedded" else f" · {cell.model}"
    )
