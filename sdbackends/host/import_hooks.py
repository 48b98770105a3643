"""`when_imported`: run something right after a module has been executed, now or later.

One finder on `sys.meta_path` serves all who wait, and is there only while somebody waits. A module
that is being imported at this moment is waited for too: a watched module spec notices the instant
at which the import system marks it as initialised. Spec and loader stay the real objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from sdbackends.host.patches import Patches

Then = Callable[[ModuleType], None]

_waiting: dict[str, list[Then]] = {}


def when_imported(name: str, then: Then, patches: Patches) -> None:
    """Run `then(module)` once module `name` has been executed; at once if that has happened.

    Undoing `patches` before the import takes the request back. What `then` does to the module is
    its own to undo, through the same patches.
    """
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if module is not None and not getattr(spec, "_initializing", False):
        then(module)
        return
    _waiting.setdefault(name, []).append(then)
    patches.on_undo(f"waiting for {name}", lambda: _withdraw(name, then))
    if spec is not None:
        _watch(spec)
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder:
    """Finds what the finders after it find, and watches the specs of awaited modules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _waiting:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _watch(spec)
                return spec
        return None


class _WatchedSpec(ModuleSpec):
    """A real spec whose class is swapped for the time of the import.

    The import system sets `_initializing` to True before it executes the module and to False when
    it is done, whether it succeeded or not.
    """

    @property
    def _initializing(self) -> bool:
        return bool(self.__dict__.get("_initializing", False))

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        self.__dict__["_initializing"] = value
        if not value:
            _unwatch(self)
            module = sys.modules.get(self.name)
            # After a failed import there is no module, and the next attempt may succeed.
            if module is not None:
                _arrived(self.name, module)


_finder: Any = _Finder()


def _watch(spec: ModuleSpec) -> None:
    if type(spec) is ModuleSpec:
        spec.__class__ = _WatchedSpec


def _unwatch(spec: Any) -> None:
    spec.__class__ = ModuleSpec


def _arrived(name: str, module: ModuleType) -> None:
    for then in _waiting.pop(name, []):
        then(module)
    _leave_when_idle()


def _withdraw(name: str, then: Then) -> None:
    waiting = _waiting.get(name, [])
    if then in waiting:
        waiting.remove(then)
    if not waiting:
        _waiting.pop(name, None)
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if type(spec) is _WatchedSpec:
            _unwatch(spec)
    _leave_when_idle()


def _leave_when_idle() -> None:
    if not _waiting and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
