"""The line for a process in which `SD_BACKEND` had no effect.

The shim is what reads `SD_BACKEND`; where it is not on the path (`python -E` and `python -I` ignore
`PYTHONPATH`, or `sd-mock` did not run in the shell) a script runs on plain torch. A process that
imports sdbackends can say so. Standard library only: workers import the package too.
"""

from __future__ import annotations

import atexit
import os
import sys


def watch() -> None:
    """Say at the end of this process that `SD_BACKEND` had no effect, if that was so.

    At the end, because a notebook may call `sdbackends.use` at any time.
    """
    atexit.register(_say)


def _say() -> None:
    session = sys.modules.get("sdbackends.session")
    if "diffusers" not in sys.modules or (session is not None and session.was_active()):
        return
    backend = os.environ.get("SD_BACKEND", "").strip()
    ignoring = sys.flags.ignore_environment
    why = "python -E and -I ignore PYTHONPATH" if ignoring else "the shim is not on PYTHONPATH"
    fix = "sdbackends.use() in the script" if ignoring else f'eval "$(sd-mock {backend})"'
    sys.stderr.write(
        f"sdbackends: SD_BACKEND={backend} had no effect, this was plain torch: {why}. Fix: {fix}\n"
    )
