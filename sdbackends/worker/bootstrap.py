"""The first file that a worker runs, as a script: `python -I bootstrap.py CHANNEL LIFE`.

It sees to it that the worker ends with its parent, makes the package `sdbackends` importable from
the folder that this file stands in (and nothing else from there: an installed wheel stands among
the other packages of another Python), and hands over to server.py. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import resource
import select
import signal
import sys
from pathlib import Path


def main(channel: int, life: int) -> None:
    if sys.version_info < (3, 10):  # noqa: UP036  (it is whatever Python somebody named)
        sys.exit(f"this is Python {sys.version.split()[0]}; a worker needs 3.10 or newer")
    end_with_parent(life)
    # The parent decides what Ctrl-C means; a dead worker is told by its signal, not by a file of
    # the size of its memory.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):
        # When memory runs out, the kernel should take this process and not the user's script.
        Path("/proc/self/oom_score_adj").write_text("500")
    for descriptor in (channel, life):
        os.set_inheritable(descriptor, False)
    register_package()
    from sdbackends.worker.server import serve

    serve(channel)


def end_with_parent(life: int) -> None:
    """Let the kernel kill this process when the last writing end of the pipe `life` is closed.

    That needs no thread and no interpreter here, so it holds also while C code runs for minutes
    with the GIL in its hand. (PR_SET_PDEATHSIG would follow the parent's *thread*.) Where this
    process leads a group, the signal goes to all of it: to what the engine has started, too.
    """
    leads = os.getpgrp() == os.getpid()
    fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpid() if leads else os.getpid())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([life], [], [], 0)[0]:
        os._exit(0)  # it was closed before the kernel knew


def register_package() -> None:
    folder = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "sdbackends", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules["sdbackends"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
