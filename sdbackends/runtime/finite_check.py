"""Look for NaN and Inf in what a program returns, without waiting for a GPU at every call.

The first results are looked at before they are handed on; on a CPU all are. On a GPU that would
make the host wait for the device at each step of a pipeline, so after two sound results the
device itself looks whether a call made NaN or Inf out of finite inputs, and the answer is read at a
later call, when it is there. A program that was found out so is looked at before it answers again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sdbackends import log
from sdbackends.capture.placeholders import places_of_inputs
from sdbackends.errors import NotFiniteError
from sdbackends.runtime.verify import finite, tensors_of

#: So many results in a row are looked at before they are handed on.
_AT_ONCE = 2
#: So many answers may be under way; for the oldest of more the host waits.
_UNDER_WAY = 8


class FiniteCheck:
    """The results of one program.

    Args:
        name: how messages name the program.
        graph: what it stands for; tells weights from inputs, which alone are looked at.
    """

    def __init__(self, name: str, graph: torch.fx.GraphModule) -> None:
        self._name = name
        self._inputs = places_of_inputs(graph)
        self._sound = 0
        self._under_way: deque[Answer] = deque()

    def before(self) -> None:
        """Raise NotFiniteError if an earlier call is known by now to have failed."""
        while self._under_way and (
            len(self._under_way) > _UNDER_WAY or self._under_way[0].is_there()
        ):
            if self._under_way.popleft().is_bad():
                self._under_way.clear()
                self._sound = 0
                raise self._found()

    def after(self, args: Sequence[Any], result: Any, at_fault: Callable[[], bool]) -> None:
        """Look at a result.

        `at_fault`: whether eager torch has no NaN or Inf there; asked where there is one.

        Raises:
            NotFiniteError: the program returned NaN or Inf, and eager torch does not.
        """
        if self._sound >= _AT_ONCE and on_a_gpu(result):
            self._under_way.append(Answer(self._bad(args, result)))
        elif finite(result):
            self._sound += 1
        else:
            self._sound = 0
            if at_fault():
                why = "it returned NaN or Inf where eager torch does not"
                raise NotFiniteError(f"{self._name} failed", why=why)

    def close(self) -> None:
        """Say what no later call can raise."""
        if any(answer.is_bad() for answer in self._under_way):
            log.warn(str(self._found()))
        self._under_way.clear()

    def _bad(self, args: Sequence[Any], result: Any) -> torch.Tensor:
        inputs = tensors_of([args[place] for place in self._inputs])
        results = tensors_of(result)
        device = results[0].device
        given = [torch.isfinite(one).all() for one in inputs if one.device == device]
        made = [torch.isfinite(one).all() for one in results if one.device == device]
        lost = torch.stack(made).all().logical_not()
        return lost & torch.stack(given).all() if given else lost

    def _found(self) -> NotFiniteError:
        return NotFiniteError(
            f"{self._name} failed at an earlier call",
            why="it made NaN or Inf out of finite inputs; on a GPU that is seen afterwards",
            fix="from here on its results are looked at first; draw the picture again",
        )


class Answer:
    """A truth value on its way from a GPU into pinned memory."""

    def __init__(self, value: torch.Tensor) -> None:
        self._here = torch.empty((), dtype=torch.bool, pin_memory=True)
        self._here.copy_(value, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record(torch.cuda.current_stream(value.device))

    def is_there(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def is_bad(self) -> bool:
        """Wait for it."""
        self._event.synchronize()
        return bool(self._here)


def on_a_gpu(result: Any) -> bool:
    return any(tensor.is_cuda for tensor in tensors_of(result))
