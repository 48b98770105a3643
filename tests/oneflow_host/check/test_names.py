"""Every way in which a script can come to a name of torch."""

from __future__ import annotations

import pytest

from tests.oneflow_host.check.conftest import Project

FORMS = {
    "plain": ("import torch\ntorch.gone()", (2, "torch.gone")),
    "module with an alias": ("import torch as t\nt.nn.gone", (2, "torch.nn.gone")),
    "submodule": ("import torch.nn\ntorch.nn.gone", (2, "torch.nn.gone")),
    "submodule with an alias": (
        "import torch.nn.functional as F\nF.gone(1)",
        (2, "torch.nn.functional.gone"),
    ),
    "from torch": ("from torch import nn, fft as f\nf.gone", (2, "torch.fft.gone")),
    "from a submodule": (
        "from torch.nn import functional\nfunctional.gone",
        (2, "torch.nn.functional.gone"),
    ),
    "the import itself": ("from torch import (\n    nn,\n    gone,\n)", (3, "torch.gone")),
    "an import of a module": ("import torch.gone.deep", (1, "torch.gone.deep")),
    "assigned": ("import torch\nnn = torch.nn\nL = nn.gone", (3, "torch.nn.gone")),
    "assigned later": (
        "import torch\nF = None\nif x:\n    F = torch.nn\nF.gone",
        (5, "torch.nn.gone"),
    ),
    "imported, unless": (
        "import torch\nif x:\n    torch = object()\ntorch.gone",
        (4, "torch.gone"),
    ),
    "assigned in pairs": ("import torch\na, b = 1, torch.nn\nb.gone", (3, "torch.nn.gone")),
    "assigned by walrus": ("import torch\nif (n := torch.nn): n.gone", (2, "torch.nn.gone")),
    "a chain over lines": ("import torch\n(torch\n.nn\n.gone\n.x)", (5, "torch.nn.gone.x")),
    "getattr": ('import torch\ngetattr(torch.nn, "gone")', (2, "torch.nn.gone")),
    "getattr and on": ('import torch\ngetattr(torch, "nn").gone', (2, "torch.nn.gone")),
    "import_module": (
        'import importlib\nt = importlib.import_module("torch.nn")\nt.gone',
        (3, "torch.nn.gone"),
    ),
    "star": ("from torch.nn import *\ngone(1)", (2, "torch.nn.gone")),
    "a module out of a star": ("from torch import *\nnn.gone", (2, "torch.nn.gone")),
    "in a function": ("import torch\ndef f():\n    return torch.gone", (3, "torch.gone")),
    "imported in a function": ("def f():\n    import torch\n    torch.gone", (3, "torch.gone")),
    "imported by global": (
        "torch = None\ndef f():\n    global torch\n    import torch\ndef g():\n    torch.gone",
        (6, "torch.gone"),
    ),
    "in a class": ("import torch\nclass C(torch.gone): pass", (2, "torch.gone")),
    "in a method": (
        "import torch\nclass C:\n    torch = 1\n    def m(self): torch.gone",
        (4, "torch.gone"),
    ),
    "decorator": ("import torch\n@torch.gone()\ndef f(): pass", (2, "torch.gone")),
    "default": ("import torch\ndef f(x=torch.gone): pass", (2, "torch.gone")),
    "lambda": ("import torch\nf = lambda: torch.gone", (2, "torch.gone")),
    "comprehension": ("import torch\n[x for x in y if torch.gone(x)]", (2, "torch.gone")),
    "f-string": ("import torch\nf'{torch.gone}'", (2, "torch.gone")),
    "await": ("import torch\nasync def f():\n    await torch.gone()", (3, "torch.gone")),
    "match": ("import torch\nmatch 1:\n    case torch.gone: pass", (3, "torch.gone")),
    "deleted": ("import torch\ndel torch.gone", (2, "torch.gone")),
    "set below": ("import torch\ntorch.gone.matmul.tf32 = True", (2, "torch.gone.matmul")),
    "of the class": ("import torch\ntorch.Tensor.gone", (2, "torch.Tensor.gone")),
    "of a new tensor": ("import torch\ntorch.randn(2).gone()", (2, "torch.Tensor.gone")),
    "of one that was made": (
        "import torch\nx = torch.zeros(2).to('cuda').float()\nx.gone()",
        (3, "torch.Tensor.gone"),
    ),
    "of an argument": (
        "import torch\ndef f(x: torch.Tensor | None): x.gone()",
        (2, "torch.Tensor.gone"),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_found_in_its_line(project: Project, form: str) -> None:
    text, expected = FORMS[form]
    assert project.own(text) == [expected]


NOT_TORCH = {
    "a name of its own": "gone = 1\ngone.gone",
    "an argument": "import torch\ndef f(torch): torch.gone",
    "a local name": "import torch.nn as F\ndef f(x):\n    F = x.shape\n    F.gone",
    "a loop": "import torch\nfor torch in (): torch.gone",
    "a comprehension": "import torch\n[torch.gone for torch in ()]",
    "set, not asked": "import torch\ntorch.backends.gone = True",
    "a tensor no more": "import torch\nx = torch.ones(2)\nx = str(x)\nx.gone",
    "perhaps no tensor": (
        "import torch\ndef f(x: torch.Tensor):\n    if y: x = x.numpy()\n    x.gone"
    ),
    "a value that may be another": (
        "import torch\ndef f(dtype):\n    if dtype is None: dtype = torch.float32\n    dtype.gone"
    ),
    "a value that became another": (
        "import torch\ndtype = torch.float32\nif x: dtype = x\ndtype.gone"
    ),
    "perhaps another type": (
        "import torch\ndef f(x: torch.Tensor):\n    if not isinstance(x, torch.Tensor): x.gone"
    ),
    "beyond an attribute of a tensor": "import torch\ndef f(x: torch.Tensor): x.device.gone",
    "words": 'import torch\n"torch.gone"  # torch.gone',
    "another package": "import torchgone\ntorchgone.gone",
    "builtins beside a star": "from torch import *\nprint(len)",
}


@pytest.mark.parametrize("case", NOT_TORCH)
def test_what_is_not_of_torch_is_left_alone(project: Project, case: str) -> None:
    assert project.own(NOT_TORCH[case]) == []


def test_of_two_stars_one_must_have_the_name(project: Project) -> None:
    text = "from torch.gone import *\nfrom torch.nn import *\nLinear(1)\ngone()"
    names = project.own(text)
    assert (3, "torch.gone.Linear") not in names
    assert [line for line, _ in names] == [1, 4] or [line for line, _ in names] == [4]


def test_a_name_may_stand_for_two_things(project: Project) -> None:
    text = "import torch, sys\nF = torch.nn if sys.argv else torch.fx\nF.gone"
    assert project.own(text) == [(3, "torch.fx.gone"), (3, "torch.nn.gone")]


def test_every_line_is_told(project: Project) -> None:
    text = "import torch\ntorch.gone\ntorch.gone; torch.gone\n"
    assert project.own(text) == [(2, "torch.gone"), (3, "torch.gone")]


def test_what_only_a_run_can_tell_is_said(project: Project) -> None:
    report = project.check("import torch, sys\ngetattr(torch, sys.argv[1])")
    assert [(line.line, line.words) for line in report.computed] == [
        (2, "getattr(torch, sys.argv[1])")
    ]
    assert report.clean
