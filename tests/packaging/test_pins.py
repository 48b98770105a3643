"""One version of everything: the backend files, the pins and the extras agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sdbackends import catalog

tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on

ROOT = Path(__file__).resolve().parents[2]
PINS = [
    Requirement(line)
    for line in (ROOT / "requirements" / "tested.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def pinned(package: str) -> str | None:
    """The tested version of a package on the newest Pythons."""
    for pin in PINS:
        if pin.name == canonicalize_name(package) and (pin.marker is None or pin.marker.evaluate()):
            return str(pin.specifier).removeprefix("==")
    return None


@pytest.mark.parametrize("backend", catalog.names())
def test_backends_name_the_tested_versions(backend: str) -> None:
    for line in catalog.load(backend).requirements:
        wanted = Requirement(line)
        version = pinned(wanted.name)
        assert version is not None, f"requirements/tested.txt lacks {wanted.name}"
        assert wanted.specifier.contains(version), f"{line}, but {version} is tested"


def test_extras_admit_the_tested_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        wanted = Requirement(line)
        version = pinned(wanted.name)
        if wanted.name in ("sdbackends", "pre-commit"):
            continue
        assert version is not None, f"requirements/tested.txt lacks {wanted.name}"
        assert wanted.specifier.contains(version), f"{line}, but {version} is tested"
