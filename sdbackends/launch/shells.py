"""The shell text of `sd-mock`, for bash, zsh and fish; and which of them is asking.

In comes the environment that the shell gave us, out go lines for its `eval`. Every line ends in a
semicolon, because fish before 3.4 joins the lines of `eval (sd-mock)`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from sdbackends.launch.start import with_shim, without_shim

Shell = Literal["bash", "zsh", "fish"]

#: Shells that read the same text; sh, dash and ksh take bash's.
_KNOWN: dict[str, Shell] = {
    "bash": "bash",
    "zsh": "zsh",
    "fish": "fish",
    "sh": "bash",
    "dash": "bash",
    "ksh": "bash",
}


def enter(shell: Shell, backend: str | None, env: Mapping[str, str]) -> str:
    """Text that puts the shim on the path, and chooses the backend if one is named."""
    path = with_shim(env.get("PYTHONPATH"))
    lines = [] if path == env.get("PYTHONPATH") else [_export(shell, "PYTHONPATH", path)]
    if backend is not None:
        lines.append(_export(shell, "SD_BACKEND", backend))
    return "".join(f"{line};\n" for line in lines)


def leave(shell: Shell, env: Mapping[str, str]) -> str:
    """Text that takes off the shim's entry and the choice of backend, and nothing else."""
    lines = []
    before, path = env.get("PYTHONPATH"), without_shim(env.get("PYTHONPATH"))
    if before and path != before:
        lines.append(_unset(shell, "PYTHONPATH") if path is None else _export_path(shell, path))
    if "SD_BACKEND" in env:
        lines.append(_unset(shell, "SD_BACKEND"))
    return "".join(f"{line};\n" for line in lines)


def eval_line(shell: Shell, words: str) -> str:
    """How a person evaluates the text: `words` are what follows `sd-mock`."""
    command = f"sd-mock {words}".strip()
    return f"{command} | source" if shell == "fish" else f'eval "$({command})"'


def detect(env: Mapping[str, str]) -> Shell:
    """The nearest shell above this process; else the user's login shell; else bash."""
    process = os.getppid()
    for _ in range(8):  # sd-mock may be started by uv, pyenv, make, …
        name, parent = _process(process)
        if name in _KNOWN:
            return _KNOWN[name]
        if parent <= 1:
            break
        process = parent
    return _KNOWN.get(Path(env.get("SHELL", "")).name, "bash")


def _export(shell: Shell, name: str, value: str) -> str:
    if name == "PYTHONPATH":
        return _export_path(shell, value)
    return (
        f"set -gx {name} {_quote_fish(value)}"
        if shell == "fish"
        else (f"export {name}={shlex.quote(value)}")
    )


def _export_path(shell: Shell, value: str) -> str:
    if shell != "fish":
        return f"export PYTHONPATH={shlex.quote(value)}"
    # fish keeps every variable whose name ends in PATH as a list.
    return f"set -gx PYTHONPATH {' '.join(map(_quote_fish, value.split(os.pathsep)))}"


def _unset(shell: Shell, name: str) -> str:
    return f"set -e {name}" if shell == "fish" else f"unset {name}"


def _quote_fish(text: str) -> str:
    """In fish's single quotes only the quote and the backslash are special."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _process(process: int) -> tuple[str, int]:
    """Name and parent of a process; ("", 0) when it cannot be asked."""
    try:
        # /proc/N/stat: pid (name) state parent …; a name may hold spaces and brackets.
        name, _, rest = Path(f"/proc/{process}/stat").read_text().partition("(")[2].rpartition(")")
        return name.lstrip("-"), int(rest.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    import subprocess

    try:
        asked = ["ps", "-o", "ppid=,comm=", "-p", str(process)]
        parent, name = subprocess.check_output(asked, text=True).strip().split(maxsplit=1)
        return Path(name).name.lstrip("-"), int(parent)
    except (OSError, ValueError, subprocess.SubprocessError):
        return "", 0
