"""The jobs of a run on a cluster: which cell, on which kind of GPU, and where it is.

In come the cells of the plan, out come jobs; a cell may be several, one for each GPU that is asked
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdbackends.errors import UsageError
from sdbackends.matrix.results import Cell


@dataclass(eq=False)
class Job:
    """A cell that is to be measured. `node`: the id of the one where it is, or was last."""

    cell: Cell
    gpu: bool
    accelerator: str | None = None
    node: str = ""
    begun: bool = False
    losses: int = 0

    @property
    def id(self) -> str:
        return f"{self.cell.id} on {self.accelerator}" if self.accelerator else self.cell.id


def jobs(cells: Sequence[Cell], accelerators: Sequence[str], *, gpus: bool) -> list[Job]:
    """GPU cells once on each accelerator; on any GPU where none is named.

    A cluster without `gpus` runs them as it runs others: the node then says what it lacks.

    Raises:
        UsageError: accelerators are named, and no cell is for a GPU.
    """
    found = []
    for cell in cells:
        gpu = gpus and cell.device == "cuda"
        kinds: Sequence[str | None] = (accelerators if gpu else ()) or [None]
        found += [Job(cell, gpu, accelerator) for accelerator in kinds]
    if accelerators and not any(job.gpu for job in found):
        raise UsageError(
            "no cell is for a GPU",
            where="--accelerator",
            fix="leave --accelerator out, or ask for cells with device cuda: --list shows them",
        )
    return found
