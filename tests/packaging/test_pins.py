"""One version of everything: the backend files, the pins and the extras agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sdbackends.catalog import backend_files, environments

tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"


def read(name: str) -> list[Requirement]:
    """The pins of one file in `requirements/`."""
    lines = (REQUIREMENTS / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


PINS = read("tested.txt")
ONEFLOW = environments.load("oneflow")
#: What is installed where oneflow stands in torch's place.
ON_ONEFLOW = [
    *map(Requirement, ONEFLOW.requirements),
    *read("oneflow-host-new.txt"),
]


def pinned(package: str, pins: list[Requirement] = PINS) -> str | None:
    """The tested version of a package on the newest Pythons."""
    for pin in pins:
        same = canonicalize_name(pin.name) == canonicalize_name(package)
        if same and (pin.marker is None or pin.marker.evaluate()):
            return str(pin.specifier).removeprefix("==")
    return None


@pytest.mark.parametrize("name", backend_files.names())
def test_backends_name_the_tested_versions(name: str) -> None:
    backend = backend_files.load(name)
    pins = ON_ONEFLOW if backend.host == "oneflow" else PINS
    for line in backend.requirements:
        wanted = Requirement(line)
        version = pinned(wanted.name, pins)
        assert version is not None, f"requirements/ lacks {wanted.name}"
        assert wanted.specifier.contains(version), f"{line}, but {version} is tested"


@pytest.mark.parametrize("kind", ["new", "old"])
def test_where_oneflow_is_the_host_there_is_no_torch_and_one_version_of_everything(
    kind: str,
) -> None:
    lent = {canonicalize_name(pin.name) for pin in map(Requirement, ONEFLOW.requirements)}
    own = {canonicalize_name(pin.name) for pin in read(f"oneflow-host-{kind}.txt")}
    assert {"diffusers", "transformers"} <= own
    assert not own & ({"torch", "oneflow"} | lent)


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
