"""`sd-mock --check`: the torch names that a script and its local modules use and OneFlow lacks.

`program` loads the script and the `local_modules` that it imports, as text; `reader` walks each
file and asks about every name of torch in it; `report` puts what is lacking in words. Nothing is
executed, and no installed library is read.
"""

from __future__ import annotations

import ast
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.oneflow_host.check.local_modules import LocalModules
from sdbackends.oneflow_host.check.program import Names, ReadProgram, parse
from sdbackends.oneflow_host.check.reader import walk
from sdbackends.oneflow_host.check.report import Report


def check(script: Path, names: Callable[[], Names], path: Sequence[str] | None = None) -> Report:
    """Everything that `script` and its local modules use and OneFlow lacks.

    Args:
        names: gives the names that OneFlow has; called once it is known that `script` is Python.
        path: folders with local modules beside the script's own (default: `PYTHONPATH`).

    Raises:
        UsageError: there is no such file, or it is not Python.
    """
    tree = _parse(script)
    program = ReadProgram(names(), LocalModules(script.absolute().parent, path), walk)
    program.run(script, tree)
    return Report.of(script, program)


def _parse(script: Path) -> ast.Module:
    if script.suffix == ".ipynb":
        raise UsageError(
            f"{script} is a notebook",
            fix=f"jupyter nbconvert --to script {script}, and check what it writes",
        )
    try:
        return parse(script.read_bytes(), script)
    except OSError as error:
        raise UsageError(
            f"{str(script)!r} cannot be read",
            why=error.strerror or str(error),
            fix="sd-mock --check your_script.py",
        ) from None
    except SyntaxError as error:
        where = f"{script}:{error.lineno}" if error.lineno else str(script)
        words = (error.text or "").strip()
        why = f"{error.msg}: {words}" if words else error.msg
    except (ValueError, RecursionError) as error:
        where, why = str(script), str(error)
    raise UsageError(
        f"{script.name} is not Python",
        where=where,
        why=why,
        fix=f"make it run on Python {platform.python_version()} first",
    )
