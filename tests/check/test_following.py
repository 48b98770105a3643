"""From the script through local modules and libraries: what is read, and what it weighs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.check.conftest import Project


def places(project: Project, text: str) -> list[tuple[str, int, str]]:
    return [
        (found.file.relative_to(project.folder).as_posix(), found.line, found.weight)
        for found in project.findings(text)
    ]


def test_local_modules_count_as_the_script_does(project: Project) -> None:
    project.write("mine.py", "import torch\ndef f():\n    torch.gone()")
    project.write("pack/__init__.py", "from .deep import x")
    project.write("pack/deep.py", "from torch import gone")
    assert places(project, "def main():\n    import mine, pack") == [
        ("mine.py", 3, "own"),
        ("pack/deep.py", 1, "own"),
    ]


def test_names_that_modules_hand_on(project: Project) -> None:
    project.write("compat.py", "import torch.nn.functional as F\nfrom torch import *")
    project.write("again.py", "from compat import F as G")
    project.write("tools.py", "from torch import *\ndef helper_not_gone(): pass")
    text = "import again, tools\nfrom compat import *\nagain.G.gone\nF.gone\nnn.gone\n"
    text += "tools.helper_not_gone()\ntools.nn.gone"
    assert project.own(text) == [
        (3, "torch.nn.functional.gone"),
        (4, "torch.nn.functional.gone"),
        (5, "torch.nn.gone"),
        (7, "torch.nn.gone"),
    ]


def test_modules_in_a_circle(project: Project) -> None:
    project.write("a.py", "from b import *\nimport torch\ntorch.gone")
    project.write("b.py", "from a import *\nx.y.gone")
    assert places(project, "import a\na.z.gone") == [("a.py", 3, "own")]


def test_a_module_under_main_is_not_run_by_an_import(project: Project) -> None:
    text = 'import torch\nif __name__ == "__main__":\n    torch.gone()'
    project.write("mine.py", text)
    assert places(project, "import mine") == []
    assert [(found.line, found.note) for found in project.findings(text)] == [(3, "")]


def test_what_stops_the_import_of_a_library(project: Project) -> None:
    project.library(
        "lib/__init__.py",
        """\
        import torch
        from torch import gone
        from torch.nn import gone_too as x
        torch.gone()
        mentioned = torch.gone
        def later():
            torch.gone()
        def now():
            torch.gone()
        value = now()
        if unknown:
            torch.gone()
            perhaps()
        def perhaps():
            torch.gone()
        """,
    )
    found = places(project, "import lib")
    assert [(line, weight) for _, line, weight in found] == [
        (2, "stops"),
        (3, "stops"),
        (4, "stops"),
        (5, "inside"),
        (7, "inside"),
        (9, "stops"),
        (12, "inside"),
        (15, "inside"),
    ]


def test_a_library_imported_on_a_condition_stops_nothing_for_sure(project: Project) -> None:
    project.library("lib/__init__.py", "from torch import gone")
    assert places(project, "if x:\n    import lib")[0][2] == "inside"
    assert places(project, "if x:\n    import lib\nimport lib")[0][2] == "stops"
    assert places(project, "try:\n    import lib\nexcept ImportError: pass")[0][2] == "inside"


def test_functions_of_libraries_lead_no_further(project: Project) -> None:
    project.library("lib/__init__.py", "from lib import near\ndef f():\n    from lib import far")
    project.library("lib/near.py", "from torch import gone")
    project.library("lib/far.py", "from torch import gone")
    assert places(project, "import lib") == [("site-packages/lib/near.py", 1, "stops")]
    assert places(project, "def f():\n    import lib.far")[0][0] == "site-packages/lib/far.py"


def lazy_library(project: Project) -> None:
    """A package in the way of diffusers: names are imported when they are asked for."""
    project.library(
        "lib/__init__.py",
        """\
        from typing import TYPE_CHECKING
        from .utils import SLOW, _LazyModule, is_torch_available
        _import_structure = {"configuration": ["Config"], "models": []}
        try:
            if not is_torch_available(): raise ImportError
        except ImportError:
            _import_structure["utils.dummy_objects"] = ["Net", "Pipe"]
        else:
            _import_structure["models"].extend(["Net"])
            _import_structure["pipes"] = ["Pipe"]
        if TYPE_CHECKING or SLOW:
            from .models import Net
            from .pipes import Pipe
        else:
            import sys
            sys.modules[__name__] = _LazyModule(__name__, _import_structure)
        """,
    )
    project.library("lib/utils.py", "class _LazyModule: pass")
    project.library("lib/configuration.py", "from torch import gone")
    project.library(
        "lib/models/__init__.py",
        '_import_structure = {"net": ["Net"]}\nmodule = _LazyModule(1)',
    )
    project.library("lib/models/net.py", "import torch\ntorch.gone()\nclass Net: pass")
    project.library("lib/pipes.py", "from torch import gone")


@pytest.mark.parametrize(
    "text",
    [
        "from lib import Net",
        "import lib\nlib.Net()",
        "def main():\n    import lib\n    table = {1: lib.Net.from_pretrained}",
        "from lib.models import Net",
        "import lib.models.net",
        "from lib import models\nmodels.Net",
        "import importlib\nimportlib.import_module('lib').Net",
    ],
)
def test_a_lazy_name_leads_to_its_own_file_alone(project: Project, text: str) -> None:
    lazy_library(project)
    assert places(project, text) == [("site-packages/lib/models/net.py", 2, "stops")]


def test_a_lazy_package_alone_reads_no_more(project: Project) -> None:
    lazy_library(project)
    assert places(project, "import lib") == []


def test_a_structure_made_of_the_folder(project: Project) -> None:
    project.library(
        "lib/__init__.py",
        'x = define_import_structure(Path(__file__).parent / "models", prefix="models")\n'
        "y = _LazyModule(x)",
    )
    for name in ("models/__init__.py", "models/clip/__init__.py"):
        project.library(f"lib/{name}", "x = _LazyModule(define_import_structure(__file__))")
    project.library(
        "lib/models/clip/modeling_clip.py",
        'import torch\ntorch.gone()\n__all__ = [\n    "Clip",\n    "ClipText",\n]',
    )
    for text in ("from lib import Clip", "from lib.models import ClipText", "import lib; lib.Clip"):
        assert places(project, text) == [
            ("site-packages/lib/models/clip/modeling_clip.py", 2, "stops")
        ]


def test_whether_a_package_is_there_decides_a_branch(project: Project) -> None:
    project.library("there/__init__.py", "")
    text = """\
        import torch
        if is_torch_available(): torch.gone
        if not is_torch_available(): torch.gone
        if is_there_available() and 1: torch.gone
        if is_not_there_available(): torch.gone
        """
    assert [(found.line, found.note) for found in project.findings(text)] == [
        (2, ""),
        (4, ""),
        (5, "only if is_not_there_available()"),
    ]


def test_a_package_that_does_not_name_torch_is_read_where_it_imports_it(project: Project) -> None:
    metadata = "Metadata-Version: 2.1\nName: other\nVersion: 3\n"
    project.write("site-packages/other-3.dist-info/METADATA", metadata)
    project.write("site-packages/other/__init__.py", "from . import plain")
    project.write("site-packages/other/plain.py", "import math")
    project.write("site-packages/other/layers.py", "from torch import gone")
    report = project.check("import other, other.layers, json")
    assert [found.file.name for found in report.findings] == ["layers.py"]
    assert report.files == 3  # other/__init__ runs too, and leads no further


def test_what_is_not_on_this_machine_is_said(project: Project) -> None:
    text = "import nowhere\ntry:\n    import nowhere_too\nexcept ImportError:\n    pass"
    report = project.check(text)
    assert [(line.line, line.words) for line in report.not_found] == [(1, "nowhere")]
    assert report.clean


def test_a_file_of_a_library_that_is_not_python_is_said(project: Project) -> None:
    path = project.library("lib/__init__.py", "print 'two'")
    assert project.check("import lib").unreadable == (path,)


def test_nothing_is_executed(project: Project) -> None:
    before = set(sys.modules)
    project.write("mine.py", "raise SystemExit(3)")
    project.library("lib/__init__.py", "raise SystemExit(4)")
    project.library("lib/deep.py", "raise SystemExit(5)")
    assert project.check("import mine, lib.deep\nraise SystemExit(6)").clean
    assert not {"mine", "lib", "lib.deep"} & (set(sys.modules) - before)


def test_the_versions_of_the_libraries(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project.site))
    project.library("lib/__init__.py", "")
    assert project.check("import lib").libraries == {"lib": "1.2"}
    assert Path(project.folder, "script.py").exists()
