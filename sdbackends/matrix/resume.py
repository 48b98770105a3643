"""Check that a run can be resumed: settings and hardware must match.

The file says how its cells were measured; what is asked for now has to be the same in everything
that makes figures comparable. What differs is named with both values, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.matrix.results import Machine, Run

#: What `machine.commit` says of a checkout with changes.
_CHANGED = "+changes"
#: Of the machine, what figures depend on. Its Python is not among them: under nox each backend has
#: its own, and every cell tells its versions.
_MATTERS = ("cpu", "cores", "threads", "gpu", "gpu_memory_bytes", "driver")


def resume(path: Path, begun: Run, now: Run) -> Run:
    """The run in `path`, `begun`, as it stands once cells of `now` are added to it.

    Raises:
        UsageError: they are not comparable.
    """
    differences = list(_differences(begun, now))
    if differences:
        raise UsageError(
            f"the run {path.stem} cannot be resumed",
            where=str(path),
            why="; ".join(differences),
            fix="resume it as it was begun, name another one with --name, or leave --resume out "
            "for a new run",
        )
    # Where either half was measured with changes, the whole was.
    commit = now.commit if now.commit.endswith(_CHANGED) else begun.commit
    return begun.model_copy(update={"commit": commit})


def matters(machine: Machine) -> tuple[object, ...]:
    """Of two machines that have the same, figures are comparable."""
    return tuple(getattr(machine, field) for field in _MATTERS)


def _differences(begun: Run, now: Run) -> Iterator[str]:
    if begun.quick != now.quick:
        yield f"it is {'a' if begun.quick else 'not a'} quick one"
    if begun.commit.removesuffix(_CHANGED) != now.commit.removesuffix(_CHANGED):
        yield f"it was measured at {begun.commit}, this is {now.commit}"
    if begun.reference != now.reference:
        yield f"its reference is {begun.reference}, not {now.reference}"
    for precision in sorted({*begun.tolerances, *now.tolerances}):
        if begun.tolerances.get(precision) != now.tolerances.get(precision):
            yield f"its tolerances for {precision} are other ones"
    yield from _other_machine(begun.machine, now.machine)


def _other_machine(begun: Machine, now: Machine) -> Iterator[str]:
    for field in _MATTERS:
        before, here = getattr(begun, field), getattr(now, field)
        if before != here:
            yield f"its machine's {field} was {before}, here it is {here}"
