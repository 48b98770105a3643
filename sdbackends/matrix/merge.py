"""Runs of many machines, or of one machine at many times, brought together for one report.

A cell counts once a machine: the newest result that was measured, and where none was, the newest
of those that say most. Runs stay apart, because a cell means something only with the commit, the
versions and the ceilings of its own run; what is older falls out of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sdbackends.matrix.results import CellResult, Machine, Run

#: A run and its JSON file; the pictures' paths are relative to the folder of that.
Placed = tuple[Run, Path]


def merge(placed: Iterable[Placed]) -> list[Placed]:
    """`placed` with each cell once a machine, by machine and then by age.

    Machines that are different and have the same name are told apart: "h100", "h100-2".
    """
    newest: dict[tuple[str, str], tuple[int, CellResult]] = {}
    runs = sorted(_named_apart(placed), key=lambda pair: (pair[0].machine.name, pair[0].started))
    for place, (run, _) in enumerate(runs):
        for result in run.cells:
            key = (run.machine.name, result.cell.id)
            if key not in newest or _weight(result) >= _weight(newest[key][1]):
                newest[key] = (place, result)
    kept = {(place, result.cell.id) for place, result in newest.values()}
    merged = [
        (_with_cells(run, [one for one in run.cells if (place, one.cell.id) in kept]), file)
        for place, (run, file) in enumerate(runs)
    ]
    return [(run, file) for run, file in merged if run.cells]


def _weight(result: CellResult) -> int:
    """How much a result says. An environment that lacks an engine, or has one that declines the
    work, says nothing against what another one measured."""
    return {"not-installed": 0, "unsupported": 1}.get(result.outcome, 2)


def identity(machine: Machine) -> tuple[object, ...]:
    """What makes figures comparable; a new driver or Python is the same machine."""
    return (machine.cpu, machine.cores, machine.threads, machine.gpu)


def _named_apart(placed: Iterable[Placed]) -> list[Placed]:
    """In the order given; the first machine of a name keeps it."""
    alike: dict[str, list[tuple[object, ...]]] = {}
    named = []
    for run, file in placed:
        name, who = run.machine.name, identity(run.machine)
        others = alike.setdefault(name, [])
        if who not in others:
            others.append(who)
        number = others.index(who) + 1
        machine = run.machine.model_copy(
            update={"name": name if number == 1 else f"{name}-{number}"}
        )
        named.append((run.model_copy(update={"machine": machine}), file))
    return named


def _with_cells(run: Run, cells: list[CellResult]) -> Run:
    return run.model_copy(update={"cells": tuple(cells)})
