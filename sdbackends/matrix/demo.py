"""The demo: the `demo` part of matrix.yaml, its pictures on one contact sheet.

It is planned and run as any matrix is; its settings leave out what a comparison of speeds needs
(drawing in turn with the reference, empty caches). Instead of a file of results it has a picture.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from PIL import Image

from sdbackends.catalog import backend_files
from sdbackends.errors import BackendNotReadyError, CatalogError
from sdbackends.launch.pipeline_scripts import defaults
from sdbackends.matrix import contact_sheet, fonts, plan, prompt_fidelity
from sdbackends.matrix.cell_runner import CellRunner
from sdbackends.matrix.config import Matrix
from sdbackends.matrix.contact_sheet import Section, Tile
from sdbackends.matrix.difference_map import difference_map
from sdbackends.matrix.eta import EtaEstimator
from sdbackends.matrix.results import CellResult
from sdbackends.paths import matrix_file

#: The embedded models draw 64 pixels: whole multiples, so that each is a square.
_LAYOUT = contact_sheet.Layout(edge=256, map_edge=128, across=4)
_FOOT = "seconds: the last drawing in the process, without loading and building"


@dataclass(frozen=True)
class Drawn:
    """A cell that was run.

    Attributes:
        picture: None where it drew nothing.
        right: the reference's picture of the same work; None where that failed.
        reference: the backend that it was compared with.
    """

    result: CellResult
    picture: Image.Image | None
    right: Image.Image | None
    reference: str

    @property
    def name(self) -> str:
        return f"{self.result.cell.pipeline} on {self.result.cell.backend}"

    @property
    def failed(self) -> bool:
        return self.result.outcome != "ok"

    @property
    def is_reference(self) -> bool:
        return self.result.cell.backend == self.reference

    @property
    def seconds(self) -> float | None:
        images = self.result.timings.images
        return images[-1] if images else None

    @property
    def largest_difference(self) -> int | None:
        """Of any pixel and colour, in 1/255, from the reference's picture; it has none itself."""
        agreement = self.result.agreement
        return None if agreement is None or self.is_reference else agreement.image_max

    @property
    def reason(self) -> str:
        """Why it failed, with the fix where the backend is not ready; "" where it did not."""
        if self.result.outcome == "not-installed":
            try:
                backend_files.require(self.result.cell.backend)
            except BackendNotReadyError as error:
                return str(error)
        return self.result.reason


def matrix(backends: Sequence[str] | None = None) -> Matrix:
    """Load matrix.yaml with its `demo` part as the one to run; `backends`: instead of its own.

    Raises:
        CatalogError: the file cannot be read, breaks the schema, or has no such part.
    """
    loaded = plan.load()
    spec = loaded.demo
    if spec is None:
        raise CatalogError(
            "the matrix has no demo",
            where=str(matrix_file()),
            why="there is no part `demo` in the file",
            fix="install sdbackends anew: its own matrix.yaml has one",
        )
    if backends is not None:
        axes = spec.axes.model_copy(update={"backend": tuple(backends)})
        spec = spec.model_copy(update={"axes": axes})
    return loaded.model_copy(update={"full": spec})


def draw(
    matrix: Matrix, *, doing: Callable[[str], None], done: Callable[[Drawn], None]
) -> list[Drawn]:
    """Run every cell of `matrix`.

    Args:
        doing: told what is at work now. done: given each cell that is finished.
    """
    cells = plan.cells(matrix)
    pace = EtaEstimator()
    finished: list[Drawn] = []
    with closing(CellRunner(matrix, quick=False)) as runner:
        for place, cell in enumerate(cells):
            doing(f"{cell.pipeline} on {cell.backend}{pace.words(cells[place:])}")
            result = runner.measure(cell)
            pace.saw(result)
            picture = _opened(runner.picture(result))
            right = _opened(runner.right_picture(cell))
            finished.append(Drawn(result, picture, right, matrix.reference))
            done(finished[-1])
    return finished


def sheet(finished: Sequence[Drawn]) -> Image.Image:
    """Draw the contact sheet: a line for each pipeline, a column for each backend."""
    pipelines = dict.fromkeys(one.result.cell.pipeline for one in finished)
    sections = [
        Section(
            title(name),
            tuple(_tile(one) for one in finished if one.result.cell.pipeline == name),
        )
        for name in pipelines
    ]
    return contact_sheet.draw(sections, _LAYOUT, foot=_FOOT)


def title(pipeline: str) -> str:
    """Name the pipeline and its prompt, in English where this machine has no font for it."""
    _, prompt = defaults(pipeline)
    if not fonts.readable(prompt):
        english = prompt_fidelity.prompt_in_english(pipeline)
        return f"{pipeline}: {english} (asked in Chinese)" if english else pipeline
    return f"{pipeline}: {prompt}"


def _tile(one: Drawn) -> Tile:
    backend, own, right = one.result.cell.backend, one.picture, one.right
    lines = [] if one.seconds is None else [f"{one.seconds:.2f} s"]
    if one.largest_difference is not None:
        lines.append(f"largest difference from {one.reference}: {one.largest_difference}/255")
    difference = None
    if own and right and own.size == right.size and not one.is_reference:
        difference = difference_map(right, own)
    return Tile(
        f"{backend}: {one.result.outcome}" if one.failed else backend,
        tuple(lines),
        own,
        difference,
        note=one.reason or ("the reference" if one.is_reference else ""),
        marked=one.failed,
    )


def _opened(drawn: bytes | None) -> Image.Image | None:
    if drawn is None:
        return None
    with Image.open(io.BytesIO(drawn)) as opened:
        return opened.convert("RGB")
