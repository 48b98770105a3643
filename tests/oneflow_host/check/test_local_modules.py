"""Which modules are read: those of the script's folder and of `PYTHONPATH`, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdbackends.oneflow_host.check.local_modules import LocalModules
from sdbackends.paths import shim_dir
from tests.oneflow_host.check.conftest import Project

LACKS = "from torch import gone"


@pytest.fixture
def installed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.syspath_prepend(str(project.site))
    return project


def test_an_installed_library_is_named_and_not_read(installed: Project) -> None:
    installed.library("lib/__init__.py", LACKS)
    report = installed.check("import lib\nfrom lib import F\nlib.torch.gone\nF.gone")
    assert (report.clean, report.findings, report.files) == (True, (), 1)
    assert report.installed == ("lib",)


def test_a_package_beside_the_script_is_read(project: Project) -> None:
    project.write("pack/__init__.py", LACKS)
    report = project.check("import pack")
    assert [(found.module, found.line) for found in report.findings] == [("pack", 1)]
    assert (report.clean, report.installed) == (False, ())


def test_so_are_the_folders_of_pythonpath(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(LACKS)
    modules = LocalModules(project.folder)
    assert modules.kind("mine") == "missing"
    entries = [str(shim_dir()), "", str(tmp_path)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
    modules = LocalModules(project.folder)
    assert modules.kind("mine") == "local"
    assert modules.folders == (project.folder, tmp_path)


def test_what_is_installed_editable_is_not_read(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its folder comes to sys.path by a .pth file, and stands nowhere near the script.
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "editable.py").write_text(LACKS)
    monkeypatch.syspath_prepend(str(tmp_path / "source"))
    report = project.check("import editable")
    assert (report.clean, report.installed) == (True, ("editable",))


def test_site_packages_below_the_script_are_no_local_modules(project: Project) -> None:
    project.library("lib.py", LACKS)
    assert LocalModules(project.folder, [str(project.site)]).folders == (project.folder,)
    assert LocalModules(project.site).find("lib") is None


def test_a_folder_named_as_an_installed_package_is_not_that_package(installed: Project) -> None:
    installed.library("lib/__init__.py", "")
    installed.write("lib/models.py", LACKS)  # a checkout beside the script, without an __init__
    assert installed.check("from lib import models").findings == ()
    installed.write("lib/__init__.py", "")
    assert len(installed.check("from lib import models").findings) == 1


@pytest.mark.parametrize("name", ["json", "oneflow", "sdbackends"])
def test_the_standard_library_and_we_are_no_local_modules(project: Project, name: str) -> None:
    project.write(f"{name}.py", LACKS)
    report = project.check(f"import {name}")
    assert (report.clean, report.installed, report.not_found) == (True, (), ())
