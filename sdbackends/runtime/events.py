"""What a session's listeners are told while models run on engines.

The measuring of a script, the survey of operations and the suites' plugin listen; nothing of ours
is replaced for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from sdbackends.errors import SdError


class Listener:
    """Does nothing at each event. `label` names a model: "unet (UNet2DConditionModel)"."""

    def installed(self) -> None:
        """The router stands before models: what is patched now stands before the router."""

    def building(self, label: str) -> None:
        """A graph of this model was traced, and is about to be built for its engine."""

    def built(self, label: str, seconds: float, captured: float) -> None:
        """A program is ready. `seconds` in all, of which tracing and capture took `captured`."""

    def called(self, label: str) -> None:
        """The engine answered a call of this model, wholly or in part."""

    def fell_back(self, label: str, backend: str, error: SdError) -> None:
        """A call of this model, or a part of it, ran on eager torch in place of the engine."""

    def compared(self, label: str, number: int, reference: Any, result: Any) -> None:
        """Under `SD_VERIFY`: what eager torch gave for a program's first run, and the program.

        `number` tells models of one class apart.
        """

    def stayed(self, module: torch.nn.Module, reason: str) -> None:
        """A call was not for an engine: training, gradients, …"""


class Listeners(Listener):
    """Tells each of several, in order."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def installed(self) -> None:
        for each in self._listeners:
            each.installed()

    def building(self, label: str) -> None:
        for each in self._listeners:
            each.building(label)

    def built(self, label: str, seconds: float, captured: float) -> None:
        for each in self._listeners:
            each.built(label, seconds, captured)

    def called(self, label: str) -> None:
        for each in self._listeners:
            each.called(label)

    def fell_back(self, label: str, backend: str, error: SdError) -> None:
        for each in self._listeners:
            each.fell_back(label, backend, error)

    def compared(self, label: str, number: int, reference: Any, result: Any) -> None:
        for each in self._listeners:
            each.compared(label, number, reference, result)

    def stayed(self, module: torch.nn.Module, reason: str) -> None:
        for each in self._listeners:
            each.stayed(module, reason)
