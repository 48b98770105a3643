"""What a C++ library says, made fit for a message."""

from __future__ import annotations

import pytest

from sdbackends.worker.native_errors import exit_status, first_lines, last_lines

ABORT = """\
F20260101 00:00:00.000001  99 kernel.h:61] Check failed: x <= length (9 vs. 2)
*** Check failure stack trace: ***
    @     0x7f0000000000  google::LogMessage::Fail()
    @     0x7f0000000001  kernel::run()
"""
RAISED = """\
\x1b[1m\x1b[38;2;255;000;000mError\x1b[0m: (3 vs 7)
  File "/build/core/nn_functor.cpp", line 321, in operator()
    Dispatch<Tensor>(*op, {a, b})
  File "/build/core/op_expr.cpp", line 9, in Infer
    infer(&context)
Error Type: the sizes differ
"""


def test_the_message_of_an_abort_is_not_buried_under_its_stack() -> None:
    assert last_lines("banner\n" + ABORT, 1).endswith("Check failed: x <= length (9 vs. 2)")


def test_colours_and_frames_go_and_the_message_stays() -> None:
    lines = [line.strip() for line in first_lines(RAISED).splitlines()]
    assert lines == ["Error: (3 vs 7)", "Error Type: the sizes differ"]


def test_it_does_not_become_long() -> None:
    assert len(last_lines("x" * 10_000)) <= 300
    assert len(first_lines("line\n" * 1000).splitlines()) == 8


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-6, "SIGABRT"),
        (134, "SIGABRT"),
        (-9, "SIGKILL (as the kernel does when memory runs out)"),
        (-11, "SIGSEGV"),
        (0, "exit code 0"),
        (3, "exit code 3"),
        (255, "exit code 255"),
    ],
)
def test_how_a_process_ended(code: int, words: str) -> None:
    assert words in exit_status(code)
