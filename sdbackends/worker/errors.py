"""The errors that a worker's client raises, with their four parts.

What failed is the start, a check, a build or a run; each has its class: a worker that does not
start is a backend that is not ready. An error of sdbackends that the engine raised in the worker is
raised here again as it was.
"""

from __future__ import annotations

import sdbackends.errors
from sdbackends.errors import BackendNotReadyError, SdError
from sdbackends.worker.crash_policy import CrashPolicy
from sdbackends.worker.native_errors import first_lines
from sdbackends.worker.protocol import Message
from sdbackends.worker.spec import WorkerSpec

_WHAT = {
    "start": "cannot start",
    "check": "could not check the graph",
    "build": "could not build the program",
    "run": "failed",
}
_FIX_DEATH = "the next call starts it anew; SD_BACKEND=torch does without it"
_FIX_MODEL = "a smaller size or batch, or SD_BACKEND=torch"


def not_started(spec: WorkerSpec, why: str) -> BackendNotReadyError:
    return BackendNotReadyError(
        f"the {spec.name} worker {_WHAT['start']}",
        where=str(spec.python),
        why=why,
        fix=f"`sdbackends doctor`; `sdbackends env create {spec.name}` makes its environment",
    )


def lost(spec: WorkerSpec, doing: str, why: str, kind: type[SdError]) -> SdError:
    """It died, hung or spoke nonsense."""
    if doing == "start":
        return not_started(spec, why)
    return kind(
        f"the {spec.name} worker {_WHAT[doing]}",
        where=str(spec.python),
        why=why,
        fix=_FIX_DEATH,
    )


def refused(spec: WorkerSpec, doing: str, why: str, kind: type[SdError]) -> SdError:
    """It was not even asked."""
    return kind(f"the {spec.name} worker {_WHAT[doing]}", why=why, fix=_FIX_MODEL)


def told(spec: WorkerSpec, doing: str, error: Message, kind: type[SdError]) -> SdError:
    """The engine raised an exception; the worker goes on."""
    if "parts" in error:
        named: type[SdError] = getattr(sdbackends.errors, error["class"], kind)
        return named(**error["parts"])
    why = f"{error['type']}: {first_lines(error['text'])}"
    if doing == "start":
        return not_started(spec, why)
    what = f"the {spec.name} worker {_WHAT[doing]}"
    return kind(what, where=error["where"], why=why, fix=_FIX_MODEL)


def stays_down(spec: WorkerSpec, deaths: CrashPolicy) -> BackendNotReadyError:
    return BackendNotReadyError(
        f"the {spec.name} worker stays down after {deaths.count} deaths",
        where=str(spec.python),
        why=f"the last time, {deaths.last_reason}",
        fix="SD_BACKEND=torch does without it; a new start of the script tries it again",
    )
