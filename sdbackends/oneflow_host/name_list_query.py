"""The names that OneFlow has, from a list that is kept, or from OneFlow itself.

The Python that can be asked is the running one where oneflow is installed in it, else that of the
worker environment that `sdbackends env create oneflow` makes. To import oneflow takes seconds, so
each list is kept in the cache, and holds as long as what it was made from does.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sdbackends.catalog.requirements import importable
from sdbackends.errors import BackendNotReadyError
from sdbackends.oneflow_host.kept_name_lists import KeptNameLists, MadeFrom
from sdbackends.oneflow_host.name_list import NameList
from sdbackends.utils import child_processes

_TIMEOUT = 120.0
_ENVIRONMENT = "oneflow"


def name_list(
    folder: Path | None, asking: Callable[[Path], None] = lambda python: None
) -> NameList:
    """The list of this machine's OneFlow.

    Args:
        folder: of the cache; None: nothing is kept.
        asking: called before a process of that Python is started.

    Raises:
        BackendNotReadyError: there is no OneFlow, or it cannot be asked.
    """
    made_from = find_oneflow()
    kept = KeptNameLists(folder)
    found = kept.load(made_from)
    if found is None:
        asking(made_from.python)
        found = ask(made_from.python)
        kept.save(made_from, found)
    return found


def find_oneflow() -> MadeFrom:
    """The Python that can be asked, and the version of its OneFlow.

    Raises:
        BackendNotReadyError: there is none.
    """
    # What pip installs on a newer Python is an empty stub.
    if sys.version_info < (3, 11) and importable("oneflow"):
        return MadeFrom(Path(sys.executable), importlib.metadata.version("oneflow"))
    # Late: it reads yaml, which the OneFlow machine may lack.
    from sdbackends.catalog import environments

    lacks = environments.lacks(_ENVIRONMENT)
    if lacks:
        raise BackendNotReadyError(
            "what OneFlow lacks cannot be found out: OneFlow is not on this machine",
            why="; ".join(lack.why for lack in lacks),
            fix="\n       ".join(lack.fix for lack in lacks),
        )
    python = environments.python_in(environments.folder(_ENVIRONMENT))
    return MadeFrom(python, environments.version(_ENVIRONMENT) or "")


def ask(python: Path) -> NameList:
    """The list, made in a process of that Python.

    Raises:
        BackendNotReadyError: it does not answer.
    """
    script = Path(__file__).with_name("name_list_main.py")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = child_processes.run(
            [str(python), "-I", str(script)],
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=kept,
            encoding="utf-8",
            errors="replace",
        )
        return NameList(**json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        why = f"it gave no answer in {_TIMEOUT:.0f} s"
    except (ValueError, TypeError):
        last = done.stderr.strip().splitlines()[-1:]
        why = last[0] if last else f"it ended with {done.returncode}"
    raise BackendNotReadyError(
        "OneFlow did not say which names it has",
        where=str(python),
        why=why,
        fix="`sdbackends doctor oneflow` says what is missing",
    )
