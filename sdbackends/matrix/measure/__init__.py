"""What happens inside a measured process: `SD_MEASURE=<folder>` puts an observer over diffusers.

The observer notes how long the imports, the loading, the building, every picture and every part of
it took, and writes that into the folder; the script and the engines know nothing of it. Without
the variable nothing here is imported. Whoever reads the folder needs `record.py` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sdbackends.host.patches import Patches
    from sdbackends.runtime.events import Listener


def observe_sessions() -> None:
    """Have an observer in each session of this process that is measured."""
    from sdbackends import session

    session.observe_with(_observer)


def _observer(folder: Path, patches: Patches) -> Listener:
    from sdbackends.matrix.measure.observer import Observer  # late: it imports torch

    return Observer(folder, patches)
