"""Which room may import which: a room knows those below it, and none above.

Read from the source, imports inside of functions included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdbackends

PACKAGE = Path(sdbackends.__file__).parent
#: Each may import those after it. Rooms of one line do not know each other.
ORDER = [
    {"", "__main__"},
    {"cli"},
    {"matrix"},
    {"session"},
    {"runtime", "oneflow_host"},
    {"engines"},
    {"worker"},
    {"capture"},
    {"host"},
    {"catalog"},
    {"launch"},
    {"utils"},
    {"paths"},
    {"log"},
    {"settings"},
    {"errors", "_version"},
]
#: The catalog reads the names of the engines and the records of their options: no code of theirs.
ALLOWED = {("sdbackends.catalog.backend_files", "sdbackends.engines")}
ALLOWED |= {("sdbackends.catalog.cache", "sdbackends.engines")}
#: The most files at the top of the package.
TOP_LEVEL = 9


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in whole]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "sdbackends")


def room(module: str) -> int:
    name = module.removeprefix("sdbackends").removeprefix(".").partition(".")[0]
    return next(at for at, names in enumerate(ORDER) if name in names)


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_from_its_own_room_and_from_those_below(module: str) -> None:
    known = modules()
    own = module.split(".")[1:2]
    upward = [
        name
        for name in imports(known[module], known)
        if name.split(".")[1:2] != own
        and room(name) <= room(module)
        and (module, name) not in ALLOWED
    ]
    assert not upward, f"{module} imports {upward}, which stand above it or beside it"


def test_the_top_of_the_package_is_small() -> None:
    files = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(files) <= TOP_LEVEL, files


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_module_replaces_what_stands_in_a_class_of_ours(module: str) -> None:
    """What listens or measures is told (`runtime/events.py`); it patches nothing of ours."""
    tree = ast.parse(modules()[module].read_text("utf-8"))
    ours: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sdbackends"):
            ours |= {alias.asname or alias.name for alias in node.names if alias.name[:1].isupper()}
    assigned = [
        f"{target.value.id}.{target.attr}, line {target.lineno}"
        for node in ast.walk(tree)
        for target in (node.targets if isinstance(node, ast.Assign) else [])
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id in ours
    ]
    assert not assigned
