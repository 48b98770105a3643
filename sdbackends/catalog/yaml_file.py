"""A YAML file in, a checked record out; a file that breaks its schema is refused by place and key.

`backends/*.yaml`, `backends/environments/*.yaml` and `matrix.yaml` are read here. Where a record
has a name, it is the file's stem.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
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
    if not isinstance(data, dict):
        raise CatalogError(
            f"{path.name} holds no mapping",
            where=f"{path}:1:1",
            why=f"it has to be a mapping of keys to values, this is {type(data).__name__}",
            fix=f"start from a copy of {a_good_one}",
        )
    try:
        name = {"name": path.stem} if "name" in kind.model_fields else {}
        return kind.model_validate({**name, **data})
    except ValidationError as error:
        raise _schema_error(path, root, kind, error) from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: YAML's own keeps the last without a word."""

    def __init__(self, text: str, path: Path) -> None:
        super().__init__(text)
        self._path = path

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        mapping = super().compose_mapping_node(anchor)
        seen: dict[str, yaml.Mark] = {}
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            if key.value in seen:
                raise CatalogError(
                    f"{self._path.name} says {key.value} twice",
                    where=_where(self._path, key.start_mark),
                    why=f"it is in line {seen[key.value].line + 1} already, "
                    "and one of them would be lost",
                    fix="remove one of them",
                )
            seen[key.value] = key.start_mark
        return mapping


def _loaded(path: Path) -> tuple[yaml.Node | None, Any]:
    """The file as a tree of nodes, which keeps the place of every key, and as plain data."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path.name} cannot be read", where=str(path), why=str(error)) from None
    try:
        loader = _Loader(text, path)
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = _where(path, mark) if mark else str(path)
        why = str(getattr(error, "problem", None) or error)
    except _ODD as error:
        where, why = str(path), f"a value in it has no meaning ({error or type(error).__name__})"
    raise CatalogError(f"{path.name} is not YAML", where=where, why=why, fix="fix that line")


def _where(path: Path, mark: yaml.Mark) -> str:
    """The place as compilers write it, counted from 1; editors go there."""
    return f"{path}:{mark.line + 1}:{mark.column + 1}"


def _schema_error(
    path: Path, root: yaml.Node | None, kind: type[BaseModel], error: ValidationError
) -> CatalogError:
    """All broken keys in one message, the place of the first in `where`."""
    found = error.errors()
    places = [_place(root, problem["loc"]) for problem in found]
    keys = _innermost(kind, found[0]["loc"]).model_fields
    fix = f"keys: {', '.join(name for name in keys if name != 'name')}"
    return CatalogError(
        f"{path.name} breaks the schema",
        where=_where(path, places[0][0]),
        why="; ".join(
            f"line {mark.line + 1}, {key}: {problem['msg'].removeprefix('Value error, ')}"
            for (mark, key), problem in zip(places, found, strict=True)
        ),
        # A validator may know better what helps.
        fix=found[0].get("ctx", {}).get("fix", fix),
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


def _place(node: yaml.Node | None, keys: Keys) -> tuple[yaml.Mark, str]:
    """Where the deepest part of `keys` stands that the file holds, and `keys` as text.

    pydantic also names the form that it took a value for ("list", "mapping"), and says "[key]" of a
    key that is refused itself; the file holds no such keys, and they are left out.
    """
    mark, named = yaml.Mark("", 0, 0, 0, None, 0), []
    for key in keys:
        below = _below(node, key)
        if below is not None:
            mark, node = below
        # One value where a list may stand is the list's item 0, of which the file knows nothing.
        if below is not None or (key == keys[-1] and isinstance(key, str) and key != "[key]"):
            named.append(str(key))
    return mark, ".".join(named) or "the file"


def _below(node: yaml.Node | None, key: int | str) -> tuple[yaml.Mark, yaml.Node] | None:
    """What stands under `key`, and where the key stands."""
    if isinstance(node, yaml.MappingNode):
        # From the end: before its own keys stand those that `<<` merged in.
        for name, value in reversed(node.value):
            if name.value == str(key):
                return name.start_mark, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return node.value[key].start_mark, node.value[key]
    return None
