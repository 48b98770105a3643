"""Where OneFlow runs: a CUDA card that it has code for, or the CPU.

OneFlow 0.9.0 carries machine code for the cards below and no PTX that a newer card could compile,
so on a Hopper its first kernel fails. A newer card is therefore as good as none: without a wish the
program runs on the CPU, and a wish for "cuda" is refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdbackends.errors import BackendNotReadyError, UsageError

#: Compute capabilities with code in the wheel; a card runs code of its own major version that is
#: not newer than itself.
CODE = ((6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6))


@dataclass(frozen=True)
class Chosen:
    """The device of every program of this worker, and why it is not a card if there is one."""

    name: str
    note: str = ""


def has_code_for(capability: tuple[int, int]) -> bool:
    major, minor = capability
    return any(major == own and minor >= least for own, least in CODE)


def choose(wanted: str | None, flow: Any) -> Chosen:
    """The device that was asked for, or the best one.

    Raises:
        UsageError: OneFlow has no such kind of device.
        BackendNotReadyError: a card was asked for that is not there or that OneFlow cannot use.
    """
    if wanted == "cpu":
        return Chosen("cpu")
    kind, _, number = (wanted or "cuda").partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise UsageError(
            f"OneFlow has no device {wanted!r}", fix="accepted: cpu, cuda, cuda:0, cuda:1, …"
        )
    index = int(number or 0)
    why = _lack(index, flow)
    if not why:
        return Chosen(f"cuda:{index}")
    if wanted is None:
        return Chosen("cpu", why)
    raise BackendNotReadyError(
        f"OneFlow cannot run on {wanted}", why=why, fix="SD_DEVICE=cpu runs it on the CPU"
    )


def _lack(index: int, flow: Any) -> str:
    """Why card `index` cannot be used; "" if it can."""
    count = flow.cuda.device_count() if flow.cuda.is_available() else 0
    if index >= count:
        return f"OneFlow sees {count} CUDA devices" if count else "OneFlow sees no CUDA device"
    capability = tuple(flow.cuda.get_device_capability(index))
    if has_code_for(capability):
        return ""
    name = flow.cuda.get_device_name(index)
    known = ", ".join(f"sm_{major}{minor}" for major, minor in CODE)
    return (
        f"{name} is sm_{capability[0]}{capability[1]}, and OneFlow 0.9.0 has code for "
        f"{known} only, without PTX for newer cards"
    )
