"""A YAML file in, a checked record out; a file that breaks its schema is refused by line and key.

`backends/*.yaml`, `backends/environments/*.yaml` and `matrix.yaml` are read here. Where a record
has a name, it is the file's stem.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ValidationError

from sdbackends.errors import CatalogError

Record = TypeVar("Record", bound=BaseModel)
Keys = tuple[int | str, ...]
#: What PyYAML lets through of values such as `2026-13-45`, `!!bool x`, `0x_`, [[[[…
_ODD = (ValueError, KeyError, AttributeError, TypeError, RecursionError)


def read(path: Path, kind: type[Record], *, a_good_one: str) -> Record:
    """The record in `path`. `a_good_one` is a file of that kind to copy from, for messages.

    Raises:
        CatalogError: the file cannot be read or breaks the schema.
    """
    root, data = _loaded(path)
    _refuse_doubles(path, root)
    if not isinstance(data, dict):
        raise CatalogError(
            f"{path.name} holds no mapping",
            where=f"{path}:1",
            why=f"it has to be a mapping of keys to values, this is {type(data).__name__}",
            fix=f"start from a copy of {a_good_one}",
        )
    try:
        name = {"name": path.stem} if "name" in kind.model_fields else {}
        return kind.model_validate({**name, **data})
    except ValidationError as error:
        raise _schema_error(path, root, kind, error) from None


def _loaded(path: Path) -> tuple[yaml.Node | None, Any]:
    """The file as a tree of nodes, and as plain data."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path.name} cannot be read", where=str(path), why=str(error)) from None
    try:
        # compose keeps the line of every key, which safe_load forgets.
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        why = str(getattr(error, "problem", None) or error)
    except _ODD as error:
        where, why = str(path), f"a value in it has no meaning ({error or type(error).__name__})"
    raise CatalogError(f"{path.name} is not YAML", where=where, why=why, fix="fix that line")


def _refuse_doubles(path: Path, node: yaml.Node | None) -> None:
    """YAML's loader keeps the last of two equal keys without a word."""
    for mapping in _mappings(node, set()):
        seen: dict[str, int] = {}
        for key, _ in mapping.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            if key.value in seen:
                raise CatalogError(
                    f"{path.name} says {key.value} twice",
                    where=f"{path}:{line}",
                    why=f"it is in line {seen[key.value]} already, and one of them would be lost",
                    fix="remove one of them",
                )
            seen[key.value] = line


def _mappings(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.MappingNode]:
    """Every mapping below `node`, each once: an alias may lead back."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value, seen)


def specifier(text: str) -> str:
    """`text`, when it is a version range; for pydantic's validators."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f'{text!r} is no version range such as ">=3.10"') from None
    return text


def requirement(text: str) -> str:
    """`text`, when it is what pip calls a requirement, and no option of pip's."""
    try:
        Requirement(text)
    except InvalidRequirement as error:
        # What follows shows the text again, with a mark under the place.
        why = str(error).partition("\n")[0]
        raise ValueError(f"{text!r} is no requirement: {why}") from None
    return text


def module(text: str) -> str:
    """`text`, when something importable can have this name."""
    if not text.isidentifier():
        raise ValueError(f"{text!r} is no name of a module")
    return text


def _schema_error(
    path: Path, root: yaml.Node | None, kind: type[BaseModel], error: ValidationError
) -> CatalogError:
    """All broken keys in one message, the place of the first in `where`."""
    found = error.errors()
    problems = [
        (*_place(root, problem["loc"]), problem["msg"].removeprefix("Value error, "))
        for problem in found
    ]
    keys = _innermost(kind, found[0]["loc"]).model_fields
    return CatalogError(
        f"{path.name} breaks the schema",
        where=f"{path}:{problems[0][0]}",
        why="; ".join(f"line {line}, {key}: {message}" for line, key, message in problems),
        fix=f"keys: {', '.join(name for name in keys if name != 'name')}",
    )


def _innermost(kind: type[BaseModel], keys: Keys) -> type[BaseModel]:
    """The record, of those nested in `kind`, in which the last of `keys` stands."""
    for key in keys[:-1]:
        field = kind.model_fields.get(str(key))
        kind = (_record_in(field.annotation) if field else None) or kind
    return kind


def _record_in(annotation: object) -> type[BaseModel] | None:
    """The record that a field holds, by itself or in a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_record_in, get_args(annotation))), None)


def _place(node: yaml.Node | None, keys: Keys) -> tuple[int, str]:
    """Line (from 1) of the deepest part of `keys` that the file holds, and `keys` as text.

    pydantic also names the form that it took a value for ("list", "mapping"); the file holds no
    such key, and it is left out.
    """
    line, named = 1, []
    for key in keys:
        below = _below(node, key)
        if below is not None:
            line, node = below
        # One value where a list may stand is the list's item 0, of which the file knows nothing.
        if below is not None or (key == keys[-1] and isinstance(key, str)):
            named.append(str(key))
    return line, ".".join(named) or "the file"


def _below(node: yaml.Node | None, key: int | str) -> tuple[int, yaml.Node] | None:
    """What stands under `key`, and the line of the key."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None
