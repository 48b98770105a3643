"""What Dynamo logs: reasons for the record of a call, and lines that are no user's concern."""

from __future__ import annotations

import logging

from sdbackends import log
from sdbackends.capture.call_record import record

_TRACING = ("torch._dynamo", "torch._subclasses", "torch._functorch", "torch.fx")


class _Reasons(logging.Filter):
    """Takes what Dynamo logs when it gives a frame up to eager torch into the call's record."""

    def filter(self, line: logging.LogRecord) -> bool:
        call = record()
        error = line.exc_info[1] if isinstance(line.exc_info, tuple) else None
        if call is not None and error is not None:
            call.reasons.append(error)
        return True


class _OnScreen(logging.Filter):
    """Keeps what torch's tracing says to its developers off the screen in calls of ours."""

    def filter(self, line: logging.LogRecord) -> bool:
        return record() is None or not line.name.startswith(_TRACING) or log.is_debug()


def filter_lines() -> None:
    """Filter what torch's loggers write from now on; torch._dynamo has been imported."""
    logging.getLogger("torch._dynamo.convert_frame").addFilter(_Reasons())
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(_TRACING):
            for handler in logging.getLogger(name).handlers:
                handler.addFilter(_OnScreen())
