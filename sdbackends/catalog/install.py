"""Making and removing worker environments: `sdbackends env create` and `remove`.

A virtual environment cannot be moved, so it is made in its place: under a lock, with the stamp
that makes it count written last, and removed again when anything goes wrong. What a killed process
leaves behind has no stamp; the next `create` clears it. The temporary files of pip lie inside it
too: a small /tmp does not matter, and its growth tells how far pip is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from sdbackends.catalog import environments, pythons
from sdbackends.catalog.environments import STAMP, Environment
from sdbackends.catalog.interpreters import Interpreter
from sdbackends.errors import NotMadeError
from sdbackends.utils import child_processes

#: Downloads and unpacked files are on the disk at the same time.
_ROOM = 1.5
_IMPORT_SECONDS = 300.0
_TAIL = 12
_TEMPORARY = "tmp"


class Progress(Protocol):
    """Who tells the person how far it is."""

    def phase(self, text: str) -> None:
        """A step begins."""

    def at_work(self, text: str) -> None:
        """A sign of life, about once a second."""


def create(
    name: str, progress: Progress, *, python: Path | None = None, recreate: bool = False
) -> Path:
    """Make the environment, unless it is ready; its interpreter.

    Args:
        python: the CPython to make it with; default: the first fitting one of this machine.
        recreate: make it anew also when it is ready.

    Raises:
        UsageError: no such environment, or `python` does not fit.
        NotMadeError: it cannot be made here; nothing is left behind.
    """
    environment, place = environments.load(name), environments.folder(name)
    for lack in environments.platform_lacks(environment):
        raise NotMadeError(lack.why, fix=lack.fix)
    if not recreate and (ready := environments.interpreter(name)):
        return ready
    base = pythons.choose(environment, python)
    with _alone(place, progress) as lock:
        # Whoever was waited for may have made it.
        if not recreate and (ready := environments.interpreter(name)):
            return ready
        _check_room(environment, place)
        _clear(place)
        try:
            _make(environment, place, base, progress, lock)
        except BaseException as error:  # Ctrl-C too, and `termination.Ended`
            progress.phase(f"clearing away what is half made in {place}")
            _clear(place)
            if isinstance(error, OSError):
                raise _unwritable(place, error) from None
            raise
    return environments.python_in(place)


def remove(name: str, progress: Progress) -> bool:
    """Remove the environment; whether there was anything to remove.

    Raises:
        UsageError: no such environment.
        NotMadeError: it cannot be removed.
    """
    environments.load(name)
    place = environments.folder(name)
    if not place.exists():
        return False
    with _alone(place, progress):
        _clear(place)
    return True


def _make(
    environment: Environment, place: Path, base: Interpreter, progress: Progress, lock: int
) -> None:
    progress.phase(f"CPython {base.release} ({base.path}) -> {place}")
    _step(environment, [*pythons.virtual(base), str(place)], place, progress, lock)
    (place / _TEMPORARY).mkdir()
    python = environments.python_in(place)
    count = len(environment.requirements)
    if count:
        progress.phase(f"installing {count} packages, {environment.size} on the disk")
        pip = [str(python), "-I", "-m", "pip", "install", "--no-input", "--progress-bar=off"]
        _step(environment, [*pip, *environment.requirements], place, progress, lock)
    shutil.rmtree(place / _TEMPORARY)
    progress.phase(f"trying it: import {', '.join(environment.modules)}")
    _try(environment, python)
    stamp = place / f"{STAMP}.part"
    stamp.write_text(json.dumps(environment.made_from, indent=2), "utf-8")
    stamp.replace(place / STAMP)
    for lack in environments.lacks(environment.name):
        raise NotMadeError(
            lack.why,
            where=f"{environment.name}.yaml",
            fix="its modules and its requirements have to agree",
        )


def _step(
    environment: Environment, command: list[str], place: Path, progress: Progress, lock: int
) -> None:
    """Run a program; `progress` hears its last line and the size of `place` all the while."""
    lines: deque[str] = deque(maxlen=500)
    with child_processes.started(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environ(place),
        encoding="utf-8",
        errors="replace",
        # A pip whose parent was killed works on: until it ends, the place is not free.
        pass_fds=(lock,),
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(1.0)
            doing = lines[-1] if lines else ""
            progress.at_work(f"{_size(place) / 1e6:.0f} MB  {doing}")
        process.wait()
    if process.returncode:
        raise _failed(environment, command, process.returncode, list(lines))


def _read(stream: IO[str], lines: deque[str]) -> None:
    for line in stream:
        if line.strip():
            lines.append(line.rstrip())


def _try(environment: Environment, python: Path) -> None:
    """Import the modules there, once: wheels can install well and yet not load."""
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    command = [str(python), "-I", "-c", code, *environment.modules]
    what = f"the environment {environment.name!r} was made, but its packages cannot be imported"
    try:
        done = child_processes.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environ(None),
            encoding="utf-8",
            errors="replace",
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotMadeError(what, why=f"no answer in {_IMPORT_SECONDS:.0f} s") from None
    if done.returncode:
        tail = _indented([line for line in done.stderr.splitlines() if line.strip()])
        fix = "what it says is missing comes from the operating system: install that, then again"
        raise NotMadeError(what, why=f"exit code {done.returncode}\n{tail}", fix=fix)


def _failed(
    environment: Environment, command: Sequence[str], code: int, lines: list[str]
) -> NotMadeError:
    text = "\n".join(lines)
    errors = [line for line in lines if line.startswith("ERROR")]
    again = environments.fix(environment.name)
    if "No space left on device" in text or "Errno 28" in text:
        fix = f"free some room, or another disk: SD_ENV_DIR=FOLDER {again}"
    elif "install" in command:
        fix = f"pip has to reach a package index (its own settings hold here); then: {again}"
    else:
        fix = f"another Python: {again} --python PATH"
    return NotMadeError(
        f"the environment {environment.name!r} could not be made",
        why=f"{shlex.join(command[:5])} … ended with {code}\n{_indented(errors or lines)}",
        fix=fix,
    )


def _check_room(environment: Environment, place: Path) -> None:
    needed = environment.bytes * _ROOM
    free = shutil.disk_usage(place.parent).free + (_size(place) if place.exists() else 0)
    if free < needed:
        raise NotMadeError(
            f"the disk is too full for the environment {environment.name!r}",
            where=str(place.parent),
            why=f"while it is made it takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            fix=f"another disk: SD_ENV_DIR=FOLDER {environments.fix(environment.name)}",
        )


@contextlib.contextmanager
def _alone(place: Path, progress: Progress) -> Iterator[int]:
    """Hold the lock of `place`; the second who comes waits, and says so."""
    from filelock import lock_descriptor  # late: it takes longer than all other imports here

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.parent / f".{place.name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(place, error) from None
    try:
        if not lock_descriptor(lock, blocking=False):
            progress.phase(f"another process is at work in {place}; waiting for it")
            lock_descriptor(lock)
        yield lock
    finally:
        os.close(lock)


def _clear(place: Path) -> None:
    """Remove everything in `place`; the stamp goes first, so that half a ruin is not ready."""
    try:
        (place / STAMP).unlink(missing_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
    except OSError as error:
        raise NotMadeError(
            f"{place} cannot be removed", why=str(error), fix=f"rm -rf {shlex.quote(str(place))}"
        ) from None


def _unwritable(place: Path, error: OSError) -> NotMadeError:
    return NotMadeError(
        f"{place} cannot be written",
        why=str(error),
        fix=f"another folder: SD_ENV_DIR=FOLDER {environments.fix(place.name)}",
    )


def _environ(place: Path | None) -> dict[str, str]:
    """This process's variables, less what would lead another Python astray."""
    astray = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    environ = {name: value for name, value in os.environ.items() if name not in astray}
    # pip.conf may say `user = true`, which no virtual environment takes.
    environ["PIP_USER"] = "0"
    environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if place is not None and (place / _TEMPORARY).is_dir():
        environ["TMPDIR"] = str(place / _TEMPORARY)
    return environ


def _size(folder: Path) -> int:
    """Bytes in `folder`, while others write there."""
    total = 0
    for inside, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(inside, name)).st_size
    return total


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"        {line}" for line in lines[-_TAIL:])
