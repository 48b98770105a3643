"""What OneFlow lacks, from OneFlow itself: a process in the Python that has it is asked.

That is the running Python where oneflow is installed in it, else the worker environment that
`sdbackends env create oneflow` makes. The process starts at once and imports oneflow while the
script is read; it answers one question.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sdbackends.catalog.requirements import importable
from sdbackends.errors import BackendNotReadyError

_TIMEOUT = 120.0
_ENVIRONMENT = "oneflow"


@dataclass(frozen=True, slots=True)
class Answer:
    """The reasons, by name; and which OneFlow gave them."""

    lacking: Mapping[str, str]
    oneflow: str
    python: str
    #: Whether it is the running Python's own, so that the libraries followed are the right ones.
    is_here: bool


class Oracle(Protocol):
    """Asked once, with every name."""

    def ask(self, names: list[str]) -> Answer: ...


class OneFlowOracle:
    """A process of `ask.py`; `with` sees to it that none is left behind."""

    def __init__(self, python: Path | None = None) -> None:
        self.python = python or oneflow_python()
        script = Path(__file__).with_name("oneflow_query_main.py")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.process = subprocess.Popen(
            [self.python, "-I", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=kept,
            encoding="utf-8",
            errors="replace",
        )

    def __enter__(self) -> OneFlowOracle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, names: list[str]) -> Answer:
        """Which of `names` OneFlow lacks.

        Raises:
            BackendNotReadyError: it cannot be asked.
        """
        try:
            out, complaints = self.process.communicate(json.dumps(names), timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise _silent(self.python, f"it gave no answer in {_TIMEOUT:.0f} s") from None
        try:
            said = json.loads(out)
            is_here = self.python == Path(sys.executable)
            return Answer(said["lacking"], said["oneflow"], said["python"], is_here)
        except (ValueError, KeyError, TypeError):
            last = complaints.strip().splitlines()[-1:]
            code = self.process.returncode
            raise _silent(self.python, last[0] if last else f"it ended with {code}") from None


def oneflow_python() -> Path:
    """The Python that can be asked.

    Raises:
        BackendNotReadyError: there is none.
    """
    # What pip installs on a newer Python is an empty stub.
    if sys.version_info < (3, 11) and importable("oneflow"):
        return Path(sys.executable)
    # Late: it reads yaml, which the OneFlow machine may lack.
    from sdbackends.catalog import environments

    python = environments.interpreter(_ENVIRONMENT)
    if python is None:
        lacks = environments.lacks(_ENVIRONMENT)
        raise BackendNotReadyError(
            "what OneFlow lacks cannot be found out: OneFlow is not on this machine",
            why="; ".join(lack.why for lack in lacks),
            fix="\n       ".join(lack.fix for lack in lacks),
        )
    return python


def _silent(python: Path, why: str) -> BackendNotReadyError:
    return BackendNotReadyError(
        "OneFlow did not say which names it lacks",
        where=str(python),
        why=why,
        fix="`sdbackends doctor oneflow` says what is missing",
    )
