"""Say what ran on eager torch in an engine's place, once for each reason, or raise the reason."""

from __future__ import annotations

from typing import Any

import torch

from sdbackends import log
from sdbackends.capture.call_record import CallRecord
from sdbackends.errors import CaptureError, SdError, UnsupportedOpsError
from sdbackends.runtime.events import Listener
from sdbackends.runtime.parts import label_of
from sdbackends.runtime.wrapping import call_eager
from sdbackends.utils.error_text import in_words, text_of


class Fallback:
    """What happens to calls that an engine did not answer.

    Args:
        strict: raise the reason (`SD_FALLBACK=error`).
    """

    def __init__(self, listener: Listener, *, strict: bool) -> None:
        self._listener = listener
        self.strict = strict

    def answer(
        self,
        backend: str,
        error: BaseException,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run the call on eager torch.

        Eager goes first: a call that is wrong in itself raises the script's own error. One that was
        captured is right, so a missing op is said before anything has run.

        Raises:
            SdError: `error`, under `strict`.
        """
        captured = isinstance(error, UnsupportedOpsError)
        result = None if captured else call_eager(module, *args, **kwargs)
        self._report(backend, error, module, "this call runs")
        return call_eager(module, *args, **kwargs) if captured else result

    def tell(self, backend: str, module: torch.nn.Module, call: CallRecord) -> None:
        """Report each part of a finished call that ran on eager torch.

        Raises:
            SdError: the first reason, under `strict`.
        """
        if call.ran:
            self._listener.called(label_of(module))
        part = "a part of this call runs" if call.ran else "this call runs"
        for reason in call.reasons:
            # What a backend of Dynamo's raises comes wrapped, and the wrapper's words say nothing.
            self._report(backend, getattr(reason, "inner_exception", reason), module, part)

    def _report(
        self, backend: str, reason: BaseException, module: torch.nn.Module, part: str
    ) -> None:
        error = reason if isinstance(reason, SdError) else _untraced(module, reason)
        self._listener.fell_back(label_of(module), backend, error)
        if self.strict:
            raise error
        text = text_of(error) or in_words(error)
        log.warn_once(("fallback", id(module), text), f"{text}\n  so:  {part} on eager torch")


def _untraced(module: torch.nn.Module, error: BaseException) -> CaptureError:
    return CaptureError(
        f"{label_of(module)} cannot be captured",
        why=in_words(error),
        fix="the model runs on eager torch instead; SD_LOG=debug shows the whole reason",
    )
