"""From the script through its local modules."""

from __future__ import annotations

import sys

from tests.oneflow_host.check.conftest import Project


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


def test_packages_by_relative_imports(project: Project) -> None:
    project.write("pack/__init__.py", "from . import near\nfrom .inner import F")
    project.write("pack/near.py", "import torch\ntorch.gone")
    project.write("pack/inner/__init__.py", "from ..near import torch\nF = torch.nn.functional")
    text = "import pack\npack.F.gone\npack.near.torch.gone"
    assert places(project, text) == [
        ("script.py", 2, "own"),
        ("script.py", 3, "own"),
        ("pack/near.py", 2, "own"),
    ]


def test_a_relative_import_that_leads_out_of_the_package(project: Project) -> None:
    project.write("pack/__init__.py", "from ... import gone\nfrom .. import gone")
    assert places(project, "import pack\nfrom . import gone") == []


def test_packages_without_an_init(project: Project) -> None:
    project.write("deep/deeper/mine.py", "from torch import gone")
    for text in ("import deep.deeper.mine", "from deep.deeper import mine"):
        assert places(project, text) == [("deep/deeper/mine.py", 1, "own")]


def test_a_module_that_only_a_failed_try_would_import_is_not_read(project: Project) -> None:
    project.write("mine.py", "from torch import gone_too")
    text = "import torch\ntry:\n    torch.gone\n    import mine\nexcept Exception: pass"
    assert places(project, text) == [("script.py", 3, "guarded")]


def test_stars_of_what_is_not_read_may_bring_any_name(project: Project) -> None:
    assert project.own("from torch import *\nfrom json import *\ngone()") == []


def test_what_is_not_on_this_machine_is_said(project: Project) -> None:
    text = "import nowhere\ntry:\n    import nowhere_too\nexcept ImportError:\n    pass"
    report = project.check(text)
    assert [(line.line, line.words) for line in report.not_found] == [(1, "nowhere")]
    assert report.clean


def test_a_module_that_is_not_python_is_said(project: Project) -> None:
    path = project.write("mine.py", "print 'two'")
    report = project.check("import mine, torch\ntorch.gone")
    assert report.unreadable == (path,)
    assert [found.line for found in report.findings] == [2]


def test_a_chain_of_imports_that_python_could_not_follow_either(project: Project) -> None:
    for number in range(300):
        project.write(f"m{number}.py", f"import m{number + 1}")
    report = project.check("import torch, m0\ntorch.gone")
    assert report.unreadable
    assert [found.line for found in report.findings] == [2]


def test_nothing_is_executed(project: Project) -> None:
    before = set(sys.modules)
    project.write("mine.py", "raise SystemExit(3)")
    project.write("pack/deep.py", "raise SystemExit(5)")
    assert project.check("import mine, pack.deep\nraise SystemExit(6)").clean
    assert not {"mine", "pack", "pack.deep"} & (set(sys.modules) - before)
