"""Annotations count where Python 3.10 evaluates them, and nowhere else."""

from __future__ import annotations

import pytest

from tests.oneflow_host.check.conftest import Project

EVALUATED = {
    "argument": "def f(x: torch.gone): pass",
    "keyword argument": "def f(*, x: torch.gone): pass",
    "result": "def f() -> torch.gone: pass",
    "module level": "x: torch.gone = 1",
    "class level": "class C:\n    x: torch.gone",
    "inside another": "def f(x: list[torch.gone]): pass",
}


@pytest.mark.parametrize("case", EVALUATED)
def test_evaluated(project: Project, case: str) -> None:
    assert [name for _, name in project.own(f"import torch\n{EVALUATED[case]}")] == ["torch.gone"]


@pytest.mark.parametrize("case", EVALUATED)
def test_postponed(project: Project, case: str) -> None:
    text = f"from __future__ import annotations\nimport torch\n{EVALUATED[case]}"
    assert project.findings(text) == ()


NEVER = {
    "a local variable": "def f():\n    x: torch.gone = 1",
    "in quotes": 'def f(x: "torch.gone"): pass',
    "for type checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    torch.gone",
    "for them, through typing": "import typing\nif typing.TYPE_CHECKING:\n    import torch.gone",
}


@pytest.mark.parametrize("case", NEVER)
def test_never_evaluated(project: Project, case: str) -> None:
    assert project.findings(f"import torch\n{NEVER[case]}") == ()


def test_a_postponed_annotation_still_tells_a_tensor(project: Project) -> None:
    text = """\
        from __future__ import annotations
        import torch
        def f(x: torch.Tensor):
            x.gone()
        """
    assert project.own(text) == [(4, "torch.Tensor.gone")]
