"""The plan of a run: `matrix.yaml` in, the cells in the order in which they run out.

Cells of the same work stand together, the reference first and at full precision first, because
the others are compared with it. A cell that the present environment cannot run is in the plan all
the same: it is a line of the results, with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from sdbackends.catalog import requirements, yaml_file
from sdbackends.matrix.config import (
    ALL,
    PRECISIONS,
    CellSettings,
    Device,
    Matrix,
    MatrixSpec,
    Selection,
)
from sdbackends.matrix.results import Cell
from sdbackends.paths import backend_names, matrix_file

Values = dict[str, Any]


def load(path: Path | None = None) -> Matrix:
    """The matrix in `path`; None: the `matrix.yaml` that comes with sdbackends.

    Raises:
        CatalogError: the file cannot be read or breaks the schema; line and key are named.
    """
    return yaml_file.read(path or matrix_file(), Matrix, a_good_one="the matrix.yaml of sdbackends")


def cells(
    matrix: Matrix,
    *,
    quick: bool = False,
    backends: Collection[str] | None = None,
    pipelines: Collection[str] | None = None,
    precisions: Collection[str] | None = None,
    sizes: Collection[tuple[int, int]] | None = None,
    ids: Collection[str] | None = None,
    device: str | None = None,
) -> tuple[Cell, ...]:
    """The cells, each once; a filter keeps those whose value is in it, None keeps all.

    `device` is what `auto` means; None: what the `ids` say, or else the best of this machine.
    """
    variant = matrix.quick if quick else matrix.full
    here = [device] if device else _devices(ids) or [requirements.device()]
    found = dict.fromkeys(
        Cell(**values) for auto in here for values in _combinations(variant, auto)
    )
    wanted = {"backend": backends, "pipeline": pipelines, "precision": precisions, "size": sizes}
    kept = [
        cell
        for cell in found
        if all(among is None or getattr(cell, axis) in among for axis, among in wanted.items())
        and (ids is None or cell.id in ids)
    ]
    return _ordered(kept, matrix.reference)


def terms(matrix: Matrix, cell: Cell, *, quick: bool = False) -> CellSettings:
    """On which terms `cell` is measured."""
    variant = matrix.quick if quick else matrix.full
    found = variant.terms
    for special in variant.special:
        if _fits(special.where, cell.model_dump()):
            other = special.model_dump(exclude={"where"}, exclude_none=True)
            found = found.model_copy(update=other)
    return found


def truth_of(cell: Cell, matrix: Matrix) -> Cell:
    """The cell whose results `cell` has to agree with: the same work on torch, at fp32."""
    return cell.model_copy(update={"backend": matrix.reference, "precision": "fp32"})


def _devices(ids: Collection[str] | None) -> list[str]:
    """Where those cells ran: on another machine `auto` may have been another device."""
    named = dict.fromkeys(one.rpartition("/")[2] for one in ids or ())
    return [device for device in named if device in get_args(Device)]


def _combinations(variant: MatrixSpec, here: str) -> Iterator[Values]:
    """The axes' product less `exclude`, then what `include` adds."""
    axes = {name: getattr(variant.axes, name) for name in type(variant.axes).model_fields}
    excludes = [_resolved(entry.named, here) for entry in variant.exclude]
    for values in _product(_resolved(axes, here)):
        if not any(_has(values, entry) for entry in excludes):
            yield values
    for include in variant.include:
        for values in _product(_resolved({**axes, **include.named}, here)):
            # What the entry itself names in full comes back, as in CI matrices.
            others = (entry for entry in excludes if not set(entry) <= set(include.named))
            if not any(_has(values, entry) for entry in others):
                yield values


def _product(axes: Mapping[str, Iterable[Any]]) -> Iterator[Values]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _resolved(named: Mapping[str, tuple[Any, ...]], here: str) -> dict[str, tuple[Any, ...]]:
    """With `all` and `auto` replaced by what they stand for."""
    resolved = dict(named)
    if ALL in resolved.get("backend", ()):
        resolved["backend"] = backend_names()
    if "device" in resolved:
        devices = (here if device == "auto" else device for device in resolved["device"])
        resolved["device"] = tuple(dict.fromkeys(devices))
    return resolved


def _fits(selection: Selection, values: Values) -> bool:
    return _has(values, _resolved(selection.named, requirements.device()))


def _has(values: Values, entry: Mapping[str, tuple[Any, ...]]) -> bool:
    return all(values[axis] in accepted for axis, accepted in entry.items())


def _ordered(kept: Iterable[Cell], reference: str) -> tuple[Cell, ...]:
    works: dict[tuple[object, ...], int] = {}

    def rank(cell: Cell) -> tuple[int, int, bool]:
        work = tuple(cell.model_dump(exclude={"backend", "precision"}).values())
        place = works.setdefault(work, len(works))
        return place, PRECISIONS.index(cell.precision), cell.backend != reference

    return tuple(sorted(kept, key=rank))
