"""Scripts and packages in a folder, and a OneFlow that lacks every name with `gone` in it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdbackends.oneflow_host.check import check
from sdbackends.oneflow_host.check.finding import Finding
from sdbackends.oneflow_host.check.report import Report
from sdbackends.oneflow_host.name_list import NameList


class FakeNames:
    """Lacks what is called `gone…`, and what stands below that."""

    oneflow, python = "0.9.0", "3.10.13"

    def lacking(self, dotted: str) -> str | None:
        return f"no {dotted}" if "gone" in dotted else None


#: What a small OneFlow has.
SMALL = NameList(
    modules={"torch": {"Tensor": 0}, "torch.nn": {"Linear": 1}},
    attributes=[["to"], []],
    oneflow="0.9.0",
    python="3.10.13",
)


@dataclass(frozen=True)
class Project:
    """A script's folder, and beside it one that stands for site-packages."""

    folder: Path

    @property
    def site(self) -> Path:
        return self.folder / "site-packages"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def library(self, name: str, text: str) -> Path:
        """A file of an installed package."""
        return self.write(f"site-packages/{name}", text)

    def check(self, text: str) -> Report:
        script = self.write("script.py", text)
        return check(script, FakeNames, path=[str(self.site)])

    def own(self, text: str) -> list[tuple[int, str]]:
        """Line and name of what the script and its own modules lack."""
        return [(found.line, found.name) for found in self.findings(text) if found.weight == "own"]

    def findings(self, text: str) -> tuple[Finding, ...]:
        return self.check(text).findings


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)
