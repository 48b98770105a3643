"""From a script through its imports: every file whose torch names matter, read once.

Of the script and of local modules every import counts; of a library only those that run while it
is imported, because what its functions import is reached in few scripts. A name that a lazy package
hands out leads to the one file that defines it, not to the whole package.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sdbackends.oneflow_host.check.model import Import, Source, is_sure
from sdbackends.oneflow_host.check.modules import Modules
from sdbackends.oneflow_host.check.reading import Reading
from sdbackends.oneflow_host.check.visitor import World

Origin = Literal["script", "local", "library"]

SCRIPT = "__main__"


@dataclass(frozen=True, slots=True)
class Reached:
    """One way to a module: who imports it, and whether that is sure to run."""

    by: str
    sure: bool


@dataclass(slots=True)
class Followed:
    """Everything that was read, by the name of the module."""

    sources: dict[str, Source] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    ways: defaultdict[str, list[Reached]] = field(default_factory=lambda: defaultdict(list))
    #: What the script or a local module imports and this machine lacks.
    not_found: list[tuple[Source, Import]] = field(default_factory=list)
    #: Files that are not Python of this version.
    unreadable: list[Path] = field(default_factory=list)

    def sure(self) -> frozenset[str]:
        """The modules that are imported whatever the conditions of the files on the way."""
        leads: defaultdict[str, list[str]] = defaultdict(list)
        for name, ways in self.ways.items():
            for way in ways:
                if way.sure:
                    leads[way.by].append(name)
        found, following = {SCRIPT}, [SCRIPT]
        while following:
            for name in leads[following.pop()]:
                if name not in found:
                    found.add(name)
                    following.append(name)
        return frozenset(found)


def world(modules: Modules) -> World:
    """What the reader of one file has to know of the others."""
    return World(modules.kind, modules.installed)


def follow(script: Source, modules: Modules, progress: Callable[[int], None]) -> Followed:
    """Read everything that `script`, read already, leads to."""
    # The processes end here: they hold the oracle's pipe open as long as they live.
    with Reading(world(modules)) as reading:
        return _Follower(modules, reading, progress).run(script)


class _Follower:
    def __init__(self, modules: Modules, reading: Reading, progress: Callable[[int], None]) -> None:
        self.modules, self.reading, self.progress = modules, reading, progress
        self.result = Followed()
        self.seen: set[str] = set()
        self.queue: deque[str] = deque()

    def run(self, script: Source) -> Followed:
        self.result.sources[SCRIPT] = script
        self.result.origins[SCRIPT] = "script"
        self.queue.append(SCRIPT)
        while self.queue:
            name = self.queue.popleft()
            source = self._source(name)
            if source is not None:
                self._imports_of(name, source)
            self.progress(len(self.result.sources))
        return self.result

    def _source(self, name: str) -> Source | None:
        """What the file of a module says; None where it is not Python."""
        if name not in self.result.sources and name in self.result.origins:
            source = self.reading.take(name)
            if source is None:
                del self.result.origins[name]
                self.result.unreadable.append(self.modules.file(name))
            else:
                self.result.sources[name] = source
        return self.result.sources.get(name)

    def _imports_of(self, name: str, source: Source) -> None:
        library = self.result.origins[name] == "library"
        for wanted in source.imports:
            if library and not source.at_import(wanted.function):
                continue
            way = Reached(name, is_sure(wanted.guards))
            if self._enter(wanted.module, way):
                if wanted.name is not None:
                    self._member(wanted.module, wanted.name, way)
            elif not library and way.sure and self._is_missing(wanted.module):
                self.result.not_found.append((source, wanted))
        for use in source.uses:
            if library and not source.at_import(use.function):
                continue
            module, rest = longest_module(use.name, self.modules)
            way = Reached(name, is_sure(use.guards))
            if module and rest and self._enter(module, way):
                self._member(module, rest.partition(".")[0], way)

    def _enter(self, name: str, way: Reached) -> bool:
        """Take up a module and the packages around it; False where it is none of ours."""
        package = name.partition(".")[0]
        kind = self.modules.kind(package)
        if kind in ("torch", "apart") or self.modules.find(name) is None:
            return False
        if kind == "other" and not self.modules.uses_torch(name):
            return False
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            around = ".".join(parts[:end])
            if around != way.by:
                self.result.ways[around].append(way)
            if around not in self.seen:
                self.seen.add(around)
                self._begin(around, "local" if kind == "local" else "library")
        return True

    def _begin(self, name: str, origin: Origin) -> None:
        found = self.modules.find(name)
        if found is not None and found.file is not None:
            self.result.origins[name] = origin
            self.queue.append(name)
            self.reading.begin(name, found.file, is_package=found.is_package)

    def _member(self, module: str, name: str, way: Reached, depth: int = 0) -> None:
        """Follow one name of a module: a submodule, or what a lazy package has elsewhere."""
        if self._enter(f"{module}.{name}", way):
            return
        source = self._source(module) if self.modules.is_lazy(module) else None
        submodule = source.exports.get(name) if source else None
        # A package may hand a name on to a package; one that names itself would have no end.
        if submodule is not None and depth < 10:
            home = f"{module}.{submodule}"
            if self._enter(home, way):
                self._member(home, name, way, depth + 1)

    def _is_missing(self, module: str) -> bool:
        return self.modules.kind(module.partition(".")[0]) == "missing"


def longest_module(dotted: str, modules: Modules) -> tuple[str, str]:
    """`a.b.C.d` as module and rest, ("a.b", "C.d"); torch is left alone: ("", dotted)."""
    parts = dotted.split(".")
    if modules.kind(parts[0]) not in ("local", "library"):
        return "", dotted
    end = 0
    while end < len(parts) and modules.find(".".join(parts[: end + 1])) is not None:
        end += 1
    return ".".join(parts[:end]), ".".join(parts[end:])
