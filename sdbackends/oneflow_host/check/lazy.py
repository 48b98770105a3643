"""The names that a lazy package hands out, and the submodule that has each; nothing is executed.

diffusers and transformers import their submodules when a name is first asked for. Which submodule
that is stands in `_import_structure`, a dictionary that the package's `__init__` fills, or, in
newer versions of transformers, in the `__all__` of every file below the package's folder.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_STRUCTURE = "_import_structure"
_ALL = re.compile(rb"__all__\s*\+?=\s*(\[[^\]]*\]|\([^)]*\))")


def is_lazy(text: bytes) -> bool:
    """Whether this `__init__` puts a lazy module in its own place."""
    return b"_LazyModule(" in text


def exports(tree: ast.Module, path: Path) -> dict[str, str]:
    """{"UNet2DConditionModel": "models.unets.unet_2d_condition", …}; submodules relative."""
    found: dict[str, str] = {}
    for node in _statements(tree.body):
        for submodule, names in _entries(node):
            # The dummies stand in where a package is missing: never where the real thing is.
            if not submodule.startswith("utils.dummy_"):
                found.update(dict.fromkeys(names, submodule))
        for call in _calls_in(node):
            if getattr(call.func, "id", "") == "define_import_structure":
                found.update(_from_folder(path.parent, _prefix(call)))
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement that runs with the module, those inside `if` and `try` too."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try):
                yield from _statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", ()):
            yield from _statements(handler.body)


def _entries(node: ast.stmt) -> Iterator[tuple[str, list[str]]]:
    """What one statement puts into the structure."""
    if isinstance(node, ast.Assign | ast.AugAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == _STRUCTURE:
            if isinstance(node.value, ast.Dict):
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    if key is not None:
                        yield from _entry(key, value)
        else:
            yield from _subscript(target, node.value)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
        function = node.value.func
        if isinstance(function, ast.Attribute) and function.attr in ("append", "extend"):
            yield from _subscript(function.value, node.value.args[0])


def _subscript(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, list[str]]]:
    """`_import_structure["models"]` on the left, names on the right."""
    if isinstance(target, ast.Subscript) and getattr(target.value, "id", "") == _STRUCTURE:
        yield from _entry(target.slice, value)


def _entry(key: ast.expr, value: ast.expr) -> Iterator[tuple[str, list[str]]]:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        parts = value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else [value]
        words = [part.value for part in parts if isinstance(part, ast.Constant)]
        yield key.value, [word for word in words if isinstance(word, str)]


def _calls_in(node: ast.stmt) -> Iterator[ast.Call]:
    if not isinstance(node, ast.If | ast.Try | ast.FunctionDef | ast.ClassDef):
        yield from (part for part in ast.walk(node) if isinstance(part, ast.Call))


def _prefix(call: ast.Call) -> str:
    given = [word.value for word in call.keywords if word.arg == "prefix"] + call.args[1:]
    value = given[0].value if given and isinstance(given[0], ast.Constant) else ""
    return value if isinstance(value, str) else ""


def _from_folder(folder: Path, prefix: str) -> dict[str, str]:
    """The `__all__` of every file below; read as text, because there are thousands of files."""
    found: dict[str, str] = {}
    root = folder.joinpath(*prefix.split(".")) if prefix else folder
    for path in sorted(root.rglob("*.py")):
        if path.name == "__init__.py" or path.name.startswith(("convert_", "modular_")):
            continue
        text = path.read_bytes()
        match = _ALL.match(text, text.rfind(b"\n__all__") + 1)
        if match:
            submodule = ".".join(path.relative_to(folder).with_suffix("").parts)
            found.update(dict.fromkeys(_words(match[1].decode(errors="ignore")), submodule))
    return found


def _words(text: str) -> list[str]:
    try:
        words = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []
    return [word for word in words if isinstance(word, str)]
