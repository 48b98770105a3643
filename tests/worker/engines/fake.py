"""An engine for tests: numpy alone, and every way of failing that a real one has.

The first input, times the first weight (if there is one), plus the first constant (if there is
one), is the first output. What goes wrong is written to the file that the option `trouble` names,
as "STAGE KIND": stage is create, build, run or close; it goes wrong once ("STAGE KIND always":
every time).
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from sdbackends.errors import BuildError


def create(options):
    trouble(options, "create")
    return Runner(options)


class Runner:
    def __init__(self, options):
        self.options = options

    def describe(self):
        about = {"pid": os.getpid(), "modules": sorted(sys.modules), "path": sys.path}
        return {**about, "environ": dict(os.environ), "fds": len(os.listdir("/proc/self/fd"))}

    def build(self, graph, weights, constants):
        trouble(self.options, "build")
        return Loaded(self.options, graph, weights, constants)


class Loaded:
    def __init__(self, options, graph, weights, constants):
        self.options, self.weights, self.constants = options, weights, constants
        self.report = {"nodes": len(graph.nodes), "pid": os.getpid()}

    def __call__(self, inputs, outputs):
        trouble(self.options, "run")
        result = inputs[0]
        for weight in self.weights[:1]:
            result = result * weight
        for constant in self.constants[:1]:
            result = result + constant
        outputs[0][...] = result

    def close(self):
        trouble(self.options, "close")


def trouble(options, stage):
    path = Path(options.get("trouble", "/nothing"))
    if not path.exists():
        return
    when, kind, *always = path.read_text().split()
    if when == stage:
        if not always:
            path.unlink()
        KINDS[kind]()


def exception():
    raise ValueError("it does not like this")


def own_error():
    raise BuildError("no such kernel", where="conv2d", why="it is Tuesday", fix="wait a day")


def abort():
    os.write(2, b"F1121 check failed: the library gave up\n    @     0x7f00 some_frame()\n")
    os.abort()


def segfault():
    ctypes.string_at(0)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    sys.exit("it is done")


def quit_at_once():
    os._exit(3)


def hang():
    time.sleep(1000)


def slow():
    time.sleep(0.6)


def hang_in_c():
    """In C code that keeps the interpreter's lock, as a long kernel does."""
    ctypes.PyDLL(None).sleep(1000)


def noise():
    print("printed by Python")
    os.write(1, b"\x00\x00\x00\x02{}printed by a C library\n")
    os.write(2, b"more noise\n")


def flood():
    for _ in range(64):
        os.write(1, b"noise " * 8000)


def garbage(data):
    """Bytes on the channel itself, as from a library that writes to the wrong descriptor."""

    def write():
        os.write(int(sys.argv[1]), data)
        time.sleep(1000)

    return write


KINDS = {
    "exception": exception,
    "own_error": own_error,
    "abort": abort,
    "segfault": segfault,
    "kill": kill,
    "leave": leave,
    "quit": quit_at_once,
    "slow": slow,
    "hang": hang,
    "hang_in_c": hang_in_c,
    "noise": noise,
    "flood": flood,
    "text": garbage(b"Hello from a C library, which is no frame at all\n"),
    "no_json": garbage(b"\x00\x00\x00\x04\xff{]x"),
    "no_message": garbage(b"\x00\x00\x00\x02{}"),
    "other_version": garbage(b'\x00\x00\x00\x0e{"protocol":9}'),
    "other_answer": garbage(b'\x00\x00\x00\x2a{"protocol":1,"descriptors":0,"id":999999}'),
    "too_long": garbage(b"\xff\xff\xff\xff\x00\x00\x00\xff\x00\x00\x00\x00"),
    "half": garbage(b"\x00\x00\x00\xffonly half"),
    "descriptors": garbage(b'\x00\x00\x00\x20{"protocol":1,"descriptors":2}  xx'),
}
