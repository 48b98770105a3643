"""Scripts and packages in a folder, and an oracle that lacks every name with `gone` in it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdbackends.oneflow_host.check import check
from sdbackends.oneflow_host.check.findings import Finding
from sdbackends.oneflow_host.check.oneflow_query import Answer
from sdbackends.oneflow_host.check.report import Report


class FakeOracle:
    """Lacks what is called `gone…`, and what stands below that."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, names: list[str]) -> Answer:
        self.asked = names
        lacking = {name: f"no {name}" for name in names if "gone" in name}
        return Answer(lacking, oneflow="0.9.0", python="3.10.13", is_here=False)


@contextmanager
def fake_oracle() -> Iterator[FakeOracle]:
    yield FakeOracle()


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
        """A file of an installed package whose metadata names torch."""
        package = name.partition("/")[0]
        self.write(
            f"site-packages/{package}-1.2.dist-info/METADATA",
            f"""\
            Metadata-Version: 2.1
            Name: {package}
            Version: 1.2
            Requires-Dist: torch>=2; extra == "torch"
            """,
        )
        return self.write(f"site-packages/{name}", text)

    def check(self, text: str) -> Report:
        script = self.write("script.py", text)
        return check(script, fake_oracle, path=[str(self.site)])

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
