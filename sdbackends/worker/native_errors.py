"""What a C++ library says when it fails, made fit for an error message.

Colours, stack traces and sheer length go; the lines that say what happened stay.
"""

from __future__ import annotations

import re
import signal

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: A frame of a stack trace: glog's, and the two lines that OneFlow writes for each of its own.
_FRAME = re.compile(r"^\s*(@\s+0x.*|\*\*\* Check failure stack trace.*)\n?", re.MULTILINE)
_SOURCE = re.compile(r'^\s*File ".*\.(cpp|cc|cu|h)", line .*\n?(\s{4,}.*\n?)?', re.MULTILINE)
_INDENT = "\n          "


def plain(text: str) -> str:
    """`text` without colours, stack frames and empty lines."""
    text = _SOURCE.sub("", _FRAME.sub("", _COLOUR.sub("", text)))
    return "\n".join(line.rstrip()[:300] for line in text.splitlines() if line.strip())


def first_lines(text: str, count: int = 8) -> str:
    """The beginning of an exception's text, indented for a message."""
    return _INDENT.join(plain(text).splitlines()[:count])


def last_lines(text: str, count: int = 8) -> str:
    """The end of an output, indented for a message."""
    return _INDENT.join(plain(text).splitlines()[-count:])


def exit_status(code: int) -> str:
    """How a process ended; a shell in between tells a signal as 128 + its number."""
    number = -code if code < 0 else code - 128
    if number not in {member.value for member in signal.Signals}:
        return f"it ended with exit code {code}"
    name = signal.Signals(number).name
    hints = {
        "SIGKILL": " (as the kernel does when memory runs out)",
        "SIGABRT": " (a library gave up)",
        "SIGSEGV": " (a crash in C code)",
    }
    return f"it was ended by {name}{hints.get(name, '')}"
