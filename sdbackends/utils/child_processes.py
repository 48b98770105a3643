"""Programs that are run to their end, and do not outlive this process.

Whatever takes this process out of the wait for one (Ctrl-C, a time limit, a signal under
`ending.in_order`) ends the program first, with all that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sdbackends.utils import termination

#: Seconds for a script of the user's to end by itself.
_PATIENCE = 3.0


@contextmanager
def started(
    command: Sequence[str], *, alone: bool = True, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """The running program; an exception in the block ends it.

    Args:
        alone: in a session of its own, out of the terminal's reach, with which all that it has
            started ends too. A script of the user's is not: it may ask its user something.
        options: as for `subprocess.Popen`.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with termination.held():
            process = subprocess.Popen(command, start_new_session=alone, **options)
        yield process
    except BaseException:
        if process is not None:
            _end(process, group=alone)
        raise


def run(
    command: Sequence[str], *, timeout: float | None = None, alone: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it says on pipes is in the result.

    Raises:
        subprocess.TimeoutExpired: it took longer, and is ended.
    """
    with started(command, alone=alone, **options) as process:
        out, errors = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _end(process: subprocess.Popen[str], *, group: bool) -> None:
    # Until it is waited for, its number is not given to another process, nor to another group.
    if group and os.name == "posix" and process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif not group:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    process.kill()
    process.wait()
