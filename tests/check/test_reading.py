"""Files read by several processes: the same answer, also where a process dies."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sdbackends.oneflow_host.check import reading
from sdbackends.oneflow_host.check.model import Source
from tests.check.conftest import Project


@pytest.fixture
def many(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A library of many files, on a machine of two cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    names = [f"part{number}" for number in range(2 * reading._MANY)]
    project.library("lib/__init__.py", "\n".join(f"from lib import {name}" for name in names))
    for name in names:
        project.library(f"lib/{name}.py", f"import torch\ntorch.gone_{name}()")
    project.library("lib/broken.py", "print 1")
    project.write("expected", " ".join(names))
    return project


def names(project: Project) -> list[str]:
    return sorted(found.name for found in project.findings("import lib, lib.broken"))


def expected(project: Project) -> list[str]:
    words = (project.folder / "expected").read_text().split()
    return sorted(f"torch.gone_{word}" for word in words)


def spy(monkeypatch: pytest.MonkeyPatch, in_a_child: Callable[[], None]) -> list[int]:
    """Calls `in_a_child` where a file is read by another process; counts those read here."""
    here, original, read_here = os.getpid(), reading._read, []

    def read(file: reading._File, world: reading.World) -> Source | None:
        if os.getpid() == here:
            read_here.append(1)
        else:
            in_a_child()
        return original(file, world)

    monkeypatch.setattr(reading, "_read", read)
    return read_here


def test_other_processes_give_the_same_answer(
    many: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_here = spy(monkeypatch, lambda: None)
    assert names(many) == expected(many)
    assert len(read_here) < reading._MANY
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert names(many) == expected(many)
    assert len(read_here) > 2 * reading._MANY


def test_a_process_that_dies_costs_only_time(
    many: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy(monkeypatch, lambda: os._exit(3))
    assert names(many) == expected(many)


def test_what_is_not_python_is_told_through_the_pipe_too(many: Project) -> None:
    report = many.check("import lib, lib.broken")
    assert [path.name for path in report.unreadable] == ["broken.py"]
