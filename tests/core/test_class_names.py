"""Class names are unique in the package: a name in a traceback or a message means one class."""

from __future__ import annotations

import ast
from collections import defaultdict

from sdbackends.paths import package_dir


def test_no_two_classes_have_one_name() -> None:
    """Those of a module's top level; what is private to a module may have any name."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(package_dir().rglob("*.py")):
        for statement in ast.parse(path.read_text("utf-8")).body:
            if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
                places[statement.name].append(path.relative_to(package_dir()).as_posix())
    assert len(places) > 100
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
