"""What became of a cell when Ray has an error in place of its result: lost, or ended by something.

A cell that was lost with its node is begun anew on another one; any other error is an outcome.
"""

from __future__ import annotations

from sdbackends.matrix.failures import CellFailed

#: After so many losses a cell is not begun again: maybe it is what the nodes die of.
LOSSES = 3


def ended(error: Exception) -> CellFailed | None:
    """The outcome that `error` stands for; None: the node is gone, or Ray's process on it."""
    from ray import exceptions

    if isinstance(error, exceptions.OutOfMemoryError):
        return CellFailed("out-of-memory", "Ray ended it, because its node was out of memory")
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return CellFailed("not-installed", f"its environment could not be made: {last_line(error)}")
    if isinstance(error, exceptions.RayTaskError):
        return CellFailed("crashed", f"it could not be measured: {last_line(error)}")
    return None


def lost_for_good(error: Exception) -> CellFailed:
    """The outcome of a cell that was lost too often; `error` is the last loss."""
    from ray import exceptions

    # A node dies with the processes on it; which of the two Ray sees first is chance.
    died = isinstance(error, exceptions.WorkerCrashedError)
    what = "the node, or Ray's process on it, was lost" if died else "the node was lost"
    return CellFailed("crashed", f"{what} {LOSSES} times")


def last_line(error: Exception) -> str:
    """Where a traceback says what it is about."""
    cause = getattr(error, "cause", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[-1].strip()
