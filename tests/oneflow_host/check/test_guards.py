"""Names that are asked for before they are used, or whose absence is caught."""

from __future__ import annotations

import pytest

from tests.oneflow_host.check.conftest import Project

GUARDED = {
    "if": 'if hasattr(torch, "gone"):\n    torch.gone()',
    "below": 'if hasattr(torch, "gone"):\n    torch.gone.deep()',
    "else": 'if not hasattr(torch, "gone"):\n    pass\nelse:\n    torch.gone()',
    "elif": 'if x: pass\nelif hasattr(torch, "gone"):\n    torch.gone()',
    "with more": 'if x and hasattr(torch, "gone"):\n    torch.gone()',
    "and": 'x = hasattr(torch, "gone") and torch.gone()',
    "or": 'x = not hasattr(torch, "gone") or torch.gone()',
    "a conditional value": 'x = torch.gone if hasattr(torch, "gone") else None',
    "by another name": 'F = torch.gone if hasattr(torch, "gone") else None\nF.x()',
    "a flag": 'HAS = hasattr(torch, "gone")\ndef f():\n    if HAS: torch.gone()',
    "return": 'def f():\n    if not hasattr(torch, "gone"):\n        return\n    torch.gone()',
    "a function under it": 'if hasattr(torch, "gone"):\n    def f(): torch.gone()',
    "what is there otherwise": 'if hasattr(torch, "gone"):\n    torch.nn.gone()',
    "getattr with a default": 'getattr(torch, "gone", None)',
    "what getattr gave": 'x = getattr(torch, "gone", None)\nx and x.y()',
    "try, attribute": "try:\n    torch.gone\nexcept AttributeError:\n    pass",
    "try, import": "try:\n    from torch import gone\nexcept ImportError:\n    gone = None",
    "try, module": "try:\n    import torch.gone as g\nexcept ImportError:\n    g = None\ng.x()",
    "try, anything": "try:\n    torch.gone()\nexcept Exception:\n    pass",
    "try, bare": "try:\n    torch.gone()\nexcept:\n    pass",
    "try, several": "try:\n    torch.gone()\nexcept (ValueError, AttributeError):\n    pass",
    "after the failing import": (
        "try:\n    import torch.gone\n    torch.gone.x()\nexcept ImportError:\n    pass"
    ),
    "else of a try that fails": (
        "try:\n    import torch.gone\nexcept ImportError:\n    pass\nelse:\n    torch.gone.x()"
    ),
    "except of a try that holds": "try:\n    torch.nn\nexcept AttributeError:\n    torch.gone",
    "suppress": "import contextlib\nwith contextlib.suppress(AttributeError):\n    torch.gone",
}


@pytest.mark.parametrize("case", GUARDED)
def test_guarded(project: Project, case: str) -> None:
    report = project.check(f"import torch\n{GUARDED[case]}")
    assert {found.weight for found in report.findings} == {"guarded"}
    assert report.clean


UNGUARDED = {
    "asks for another": 'if hasattr(torch, "nn"):\n    torch.gone()',
    "the other branch": 'if hasattr(torch, "gone"):\n    pass\nelse:\n    torch.gone()',
    "not": 'if not hasattr(torch, "gone"):\n    torch.gone()',
    "another error": "try:\n    torch.gone()\nexcept ValueError:\n    pass",
    "an import error does not catch it": "try:\n    torch.gone\nexcept ImportError:\n    pass",
    "raises again": "try:\n    torch.gone()\nexcept AttributeError:\n    raise",
    "ends the script": (
        "import sys\ntry:\n    torch.gone()\nexcept Exception as e:\n    sys.exit(str(e))"
    ),
    "except of a try that fails": (
        "try:\n    from torch import gone\nexcept ImportError:\n    torch.nn.gone()"
    ),
    "except of a try that may fail for other reasons": (
        "try:\n    import some_kernels\nexcept ImportError:\n    torch.gone()"
    ),
    "except of another error": "try:\n    int(x)\nexcept ValueError:\n    torch.gone()",
    "finally": "try:\n    pass\nexcept AttributeError:\n    pass\nfinally:\n    torch.gone()",
    "a function under try": ("try:\n    def f(): torch.gone()\nexcept AttributeError:\n    pass"),
    "the module came by try": (
        "try:\n    import torch.nn as n\nexcept Exception:\n    n = None\nn.gone()"
    ),
    "a plain condition": "if x:\n    torch.gone()",
}


@pytest.mark.parametrize("case", UNGUARDED)
def test_not_guarded(project: Project, case: str) -> None:
    report = project.check(f"import torch\n{UNGUARDED[case]}")
    assert "own" in {found.weight for found in report.findings}
    assert not report.clean


def test_the_note_says_what_it_takes(project: Project) -> None:
    text = """\
        import torch
        if half and size > 3:
            torch.gone()
        def draw():
            torch.gone
        class Net:
            def forward(self):
                return [torch.gone for _ in x]
        """
    notes = [found.note for found in project.findings(text)]
    assert notes == ["only if half and size > 3", "in draw", "in Net.forward"]


def test_what_a_guard_asks_for_is_asked_of_oneflow_too(project: Project) -> None:
    # OneFlow has torch.nn: the branch is reached, and what is lacking in it is told.
    assert project.own('import torch\nif hasattr(torch, "nn"):\n    torch.gone') == [
        (3, "torch.gone")
    ]
