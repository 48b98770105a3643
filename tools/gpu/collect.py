"""Collects, on a machine with the network, the wheels that the GPU machine lacks, into wheels/.

    python tools/gpu/collect.py                   for CPython 3.12 and the list in machine.txt
    python tools/gpu/collect.py --have there.txt  for another machine's list (lacking.py --have)

In come the project's own requirements, less what that machine has; what is missing is fetched in
the versions of requirements/tested.txt, and so is what those wheels need in turn. The whole that
will travel, the tree with the wheels, is added up, and refused beyond the budget. Beside the
wheels lies carried.json: what was asked for, and which commit the tree is of.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

import tomllib
import tree
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WHEELS = HERE / "wheels"
PINS = ROOT / "requirements" / "tested.txt"
#: Megabytes (10**6 bytes) of the tree and the wheels together.
BUDGET = 50
#: Extras of pyproject.toml that the cells of torch, compile and jax need.
EXTRAS = ("torch", "jax", "matrix")
#: What runs there; the commit that the results name is that of these.
SOURCES = ("sdbackends", "backends", "shim", "pipelines", "tools/gpu")
#: One that may be too old there, at an unknown version, is carried if it is no larger (in bytes).
_SMALL = 1_000_000
_GLIBCS = (17, 24, 27, 28)

#: "name==version" -> its wheel, in the folder of wheels.
Fetch = Callable[[str], Path]


@dataclass
class Collected:
    """`needs`: every requirement that has to be met there, by what is there or by a wheel."""

    needs: list[str] = field(default_factory=list)
    wheels: dict[str, Path] = field(default_factory=dict)


class TooLarge(Exception):
    """More than the budget."""


def collect(
    roots: Iterable[str],
    have: Mapping[str, str],
    pins: Mapping[str, str],
    python: str,
    fetch: Fetch,
) -> Collected:
    """The wheels for `roots` that are not in `have` (name -> version, "" where unknown)."""
    collected = Collected()
    waiting = [(line, False) for line in roots]
    while waiting:
        line, of_a_wheel = waiting.pop(0)
        need = Requirement(line)
        name = canonicalize_name(need.name)
        if need.marker and not need.marker.evaluate(_environment(python)):
            continue
        collected.needs.append(f"{need.name}{need.specifier}")
        if name in collected.wheels or not _to_carry(need, have.get(name), of_a_wheel):
            continue
        if name not in pins:
            raise KeyError(f"{need.name} is missing there, and {PINS.name} has no version of it")
        wheel = fetch(f"{name}=={pins[name]}")
        if have.get(name) == "" and not _is_small(wheel):
            wheel.unlink()
            continue
        collected.wheels[name] = wheel
        waiting += [(further, True) for further in _requires(wheel)]
    return collected


def check_size(tree: int, wheels: Iterable[Path], budget: int = BUDGET) -> int:
    """Bytes of all that travels.

    Raises:
        TooLarge: more than `budget` megabytes; the largest wheels are named.
    """
    sizes = {wheel.name: wheel.stat().st_size for wheel in wheels}
    whole = tree + sum(sizes.values())
    if whole > budget * 10**6:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        named = ", ".join(f"{name} {sizes[name] / 1e6:.1f} MB" for name in largest)
        raise TooLarge(
            f"{whole / 1e6:.1f} MB would travel, the budget is {budget} MB "
            f"(the tree {tree / 1e6:.1f} MB; the largest wheels: {named})"
        )
    return whole


def read_list(text: str) -> dict[str, str]:
    """machine.txt: canonical name -> version, "" where it is not told."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    pairs = (line.partition("==") for line in lines if line)
    return {canonicalize_name(name): version for name, _, version in pairs}


def read_pins(text: str, python: str) -> dict[str, str]:
    """tested.txt: canonical name -> version, for that Python."""
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(_environment(python)):
            found[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return found


def roots() -> list[str]:
    """What pyproject.toml asks for, extras of its own left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (project["optional-dependencies"][name] for name in EXTRAS)
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    own = canonicalize_name(project["name"])
    return [line for line in lines if canonicalize_name(Requirement(line).name) != own]


def sources() -> dict[str, str]:
    """Path in the tree -> SHA-256, of every tracked file that runs there."""
    names = _git("ls-files", "-z", "--", *SOURCES).split("\0")
    return {name: tree.digest(ROOT / name) for name in names if name and (ROOT / name).is_file()}


def _to_carry(need: Requirement, version: str | None, of_a_wheel: bool) -> bool:
    """`version`: what is there, None: nothing, "": some version.

    What the project itself asks for is old; what a wheel of today asks for may be too new for a
    version that nobody has read.
    """
    if version is None:
        return True
    if version == "":
        return of_a_wheel and any(one.operator in (">=", "==", "~=") for one in need.specifier)
    return not need.specifier.contains(version, prereleases=True)


def _is_small(wheel: Path) -> bool:
    return wheel.name.endswith("-none-any.whl") and wheel.stat().st_size <= _SMALL


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode("utf-8")
    return HeaderParser().parsestr(text).get_all("Requires-Dist") or []


def _environment(python: str) -> dict[str, str]:
    """Of the machine that the wheels are for."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": "",
    }


def _fetch_with_pip(requirement: str, folder: Path, python: str) -> Path:
    platforms = [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in _GLIBCS]
    before = set(folder.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", *platforms]
    command += ["--platform=manylinux2014_x86_64", f"--python-version={python}"]
    subprocess.run([*command, f"--dest={folder}", requirement], check=True)
    (wheel,) = set(folder.glob("*.whl")) - before
    return wheel


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True
    ).stdout


def _tree_size() -> int:
    """Bytes of all files that git knows or does not ignore."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    paths = (ROOT / name for name in listed if name)
    return sum(path.lstat().st_size for path in paths if path.is_file())


def _commit() -> str:
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES).strip()
    return _git("rev-parse", "HEAD").strip() + ("+changes" if changes else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--have", type=Path, default=HERE / "machine.txt", metavar="FILE")
    parser.add_argument("--python", default="3.12", help="of the GPU machine (default: 3.12)")
    parser.add_argument("--output", type=Path, default=WHEELS, metavar="FOLDER")
    asked = parser.parse_args()

    shutil.rmtree(asked.output, ignore_errors=True)
    asked.output.mkdir(parents=True)
    try:
        collected = collect(
            roots(),
            read_list(asked.have.read_text("utf-8")),
            read_pins(PINS.read_text("utf-8"), asked.python),
            asked.python,
            lambda requirement: _fetch_with_pip(requirement, asked.output, asked.python),
        )
        whole = check_size(_tree_size(), collected.wheels.values())
    except (KeyError, TooLarge) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {error.cmd[-1]} could not be fetched for CPython {asked.python}")
        return 1
    carried = {"commit": _commit(), "needs": collected.needs, "sources": sources()}
    (asked.output / "carried.json").write_text(json.dumps(carried, indent=1), "utf-8")
    for wheel in sorted(collected.wheels.values()):
        print(f"{wheel.stat().st_size / 1e6:7.2f} MB  {wheel.name}")
    print(f"{whole / 1e6:7.2f} MB  travels in all, the tree included (budget {BUDGET} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
