"""Replaced attributes, each one listed and each one undone.

Everything that sdbackends changes in a running process goes through one `Patches`: attributes of
modules and classes, entries of `sys.modules`, finders on `sys.meta_path`. `undo()` restores them in
reverse order, and what did not exist before is deleted again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from sdbackends.utils import undoing

_ABSENT: Any = object()


@dataclass
class Patches:
    """The list of changes of one activation."""

    _undo: list[Callable[[], None]] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace `owner.name` by `value`; returns what a lookup gave before (None if absent)."""
        # vars(), not getattr: restoring an inherited attribute onto a subclass would leave a copy.
        before = vars(owner).get(name, _ABSENT)
        seen = getattr(owner, name, None)
        setattr(owner, name, value)

        def restore() -> None:
            if before is _ABSENT:
                if name in vars(owner):
                    delattr(owner, name)
            else:
                setattr(owner, name, before)

        self._push(f"{_label(owner)}.{name}", restore)
        return seen

    def set_function(self, owner: Any, name: str, value: Any) -> Any:
        """`set`, also in the module that the function comes from: pickles look for it there."""
        seen = self.set(owner, name, value)
        home = sys.modules.get(getattr(seen, "__module__", None) or "")
        if home is not None and home is not owner and vars(home).get(name) is seen:
            self.set(home, name, value)
        return seen

    def set_item(self, mapping: MutableMapping[Any, Any], key: Any, value: Any, label: str) -> None:
        """Replace `mapping[key]`; `label` says what the mapping is, for `changes`."""
        before = mapping.get(key, _ABSENT)
        mapping[key] = value

        def restore() -> None:
            if before is _ABSENT:
                mapping.pop(key, None)
            else:
                mapping[key] = before

        self._push(f"{label}[{key!r}]", restore)

    def on_undo(self, label: str, action: Callable[[], None]) -> None:
        """Run `action` when everything that was set after it has been undone."""
        self._push(label, action)

    @property
    def changes(self) -> tuple[str, ...]:
        """What is changed at present, oldest first."""
        return tuple(self._names)

    def undo(self) -> None:
        """Restore everything, newest first, whatever a step raises. A second call does nothing."""
        undoing.run_all(self._pop_all())

    def _pop_all(self) -> Iterator[tuple[str, Callable[[], None]]]:
        while self._undo:
            yield self._names.pop(), self._undo.pop()

    def _push(self, label: str, action: Callable[[], None]) -> None:
        self._names.append(label)
        self._undo.append(action)


def _label(owner: Any) -> str:
    module = getattr(owner, "__module__", None)
    name = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", repr(owner))
    return f"{module}.{name}" if module else str(name)
