"""`sd-mock --check`: the torch names that a script and its imports use and OneFlow lacks.

`check` reads the script and what it imports, as text (`reader`, `follow`), asks OneFlow about every
name of torch in them (`oracle`) and weighs what is lacking (`findings`); `report` puts it in words.
Nothing of the script or of its imports is executed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.oneflow_host.check.findings import Names, findings
from sdbackends.oneflow_host.check.follow import SCRIPT, follow, world
from sdbackends.oneflow_host.check.model import Source
from sdbackends.oneflow_host.check.modules import Modules
from sdbackends.oneflow_host.check.oneflow_query import OneFlowOracle, Oracle
from sdbackends.oneflow_host.check.reader import read
from sdbackends.oneflow_host.check.report import Report


def check(
    script: Path,
    oracle: Callable[[], AbstractContextManager[Oracle]] = OneFlowOracle,
    *,
    path: Sequence[str] | None = None,
    progress: Callable[[int], None] = lambda files: None,
) -> Report:
    """Everything that `script` and its imports use and `oracle` says is lacking.

    `path` is where modules are looked for after the script's own folder (default: `sys.path`).

    Raises:
        UsageError: there is no such file, or it is not Python.
        BackendNotReadyError: OneFlow cannot be asked.
    """
    modules = Modules(script.absolute().parent, path)
    source = _read_script(script, modules)
    with oracle() as opened, _no_collection():
        followed = follow(source, modules, progress)
        asking = Names(followed, modules)
        answer = opened.ask(asking.all)
        found = findings(followed, asking, answer.lacking)
    return Report.of(script, followed, found, answer, modules)


def _read_script(script: Path, modules: Modules) -> Source:
    if script.suffix == ".ipynb":
        raise UsageError(
            f"{script} is a notebook",
            fix=f"jupyter nbconvert --to script {script}, and check what it writes",
        )
    try:
        text = script.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            f"{str(script)!r} cannot be read", why=why, fix="sd-mock --check your_script.py"
        ) from None
    try:
        return read(text, script, SCRIPT, world(modules), is_script=True)
    except SyntaxError as error:
        where = f"{script}:{error.lineno}" if error.lineno else str(script)
        words = (error.text or "").strip()
        why = f"{error.msg}: {words}" if words else error.msg
        raise UsageError(f"{script.name} is not Python", where=where, why=why) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{script.name} is not Python", where=str(script), why=str(error)
        ) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which would walk millions of syntax nodes again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
