"""The names that are lacking, out of everything that the files use.

`Names` gathers what has to be asked about, out of the files that were followed. With the answer
the guards are judged (`judge`), and each finding gets its weight: whether the person's own files
need it, whether it stops the import of a library, or only waits inside one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdbackends.oneflow_host.check.follow import Followed, Origin, longest_module
from sdbackends.oneflow_host.check.guards import Judge
from sdbackends.oneflow_host.check.model import Has, Source, Use, Way
from sdbackends.oneflow_host.check.modules import Modules

#: How the reason begins where a name can be imported and mentioned, and raises only when used.
PLACEHOLDER = "a placeholder"

#: own: in the script or a local module. stops: the import of a library fails at it.
#: inside: a library needs it only where that line is reached. guarded: hasattr or try sees to it.
Weight = Literal["own", "stops", "inside", "guarded"]
_WEIGHTS: tuple[Weight, ...] = ("own", "stops", "inside", "guarded")
_ORIGINS: tuple[Origin, ...] = ("script", "local", "library")

#: A name handed on from module to module more often than this goes round in a circle.
_HANDED_ON = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One lacking name in one line of one file."""

    name: str
    file: Path
    line: int
    why: str
    weight: Weight
    origin: Origin
    module: str
    #: None: the line runs as soon as the module does.
    function: str | None
    way: Way
    #: What it takes to get there, in words.
    note: str

    @property
    def place(self) -> tuple[int, str, int, str]:
        return _ORIGINS.index(self.origin), str(self.file), self.line, self.name


def findings(followed: Followed, names: Names, lacking: Mapping[str, str]) -> list[Finding]:
    """Every lacking name, the script's own first, by file and line."""
    sure = followed.sure()
    found: dict[tuple[int, str, int, str], Finding] = {}
    for module, source in followed.sources.items():
        uses = names.uses[module]
        judge = Judge(uses, lacking)
        weigh = _Weigher(source, followed.origins[module], module in sure, judge)
        for use, meant in uses:
            if judge.lacks(meant):
                finding = weigh.finding(use, meant[0], lacking[meant[0]])
                kept = found.get(finding.place)
                if kept is None or _WEIGHTS.index(finding.weight) < _WEIGHTS.index(kept.weight):
                    found[finding.place] = finding
    return sorted(found.values(), key=lambda finding: finding.place)


@dataclass(frozen=True, slots=True)
class _Weigher:
    """For one file."""

    source: Source
    origin: Origin
    #: Whether the file is imported whatever the conditions.
    sure: bool
    judge: Judge

    def finding(self, use: Use, name: str, why: str) -> Finding:
        verdict = self.judge.verdict(use)
        function = use.function and use.function.replace("<locals>.", "")
        notes = [f"in {function}"] if function else []
        if verdict.words:
            notes.append(verdict.words)
        at_import = self.source.at_import(use.function)
        if at_import and use.way == "mention" and self.origin == "library":
            notes.append("only mentioned")
        weight: Weight = "inside"
        if verdict.guarded:
            weight = "guarded"
        elif self.origin != "library":
            weight = "own"
        elif at_import and self.sure and not verdict.conditions and _fails_at_once(use, why):
            weight = "stops"
        return Finding(
            name,
            self.source.path,
            use.line,
            why,
            weight,
            self.origin,
            self.source.module,
            function,
            use.way,
            ", ".join(notes),
        )


def _fails_at_once(use: Use, why: str) -> bool:
    if use.way == "import":
        return not why.startswith(PLACEHOLDER)
    return use.way in ("call", "getattr")


class Names:
    """The names of torch that the uses mean, through every module that hands them on."""

    def __init__(self, followed: Followed, modules: Modules) -> None:
        self.sources, self.modules = followed.sources, modules
        self.known: dict[str, str | None] = {}
        self.uses = {
            module: [(use, self._of(use)) for use in source.uses]
            for module, source in followed.sources.items()
        }

    @property
    def all(self) -> list[str]:
        """Every name that has to be asked about, those that a `hasattr` asks for among them."""
        meant = {name for pairs in self.uses.values() for _, names in pairs for name in names}
        for pairs in self.uses.values():
            for use, _ in pairs:
                meant |= {guard.name for guard in use.guards if isinstance(guard, Has)}
        return sorted(name for name in meant if name.startswith("torch."))

    def _of(self, use: Use) -> tuple[str, ...]:
        names = [self.resolve(name) for name in (use.name, *use.others)]
        return tuple(name for name in names if name is not None and name != "torch")

    def resolve(self, name: str, depth: int = 0) -> str | None:
        """`mypackage.compat.F.silu` as `torch.nn.functional.silu`; None: nothing of torch."""
        if name == "torch" or name.startswith("torch."):
            return name
        if depth > _HANDED_ON:
            return None
        if name not in self.known:
            self.known[name] = next(
                (
                    found
                    for onward in self._onward(name)
                    if (found := self.resolve(onward, depth + 1))
                ),
                None,
            )
        return self.known[name]

    def _onward(self, name: str) -> Iterator[str]:
        module, rest = longest_module(name, self.modules)
        source = self.sources.get(module)
        if source is None or not rest:
            return
        first, dot, tail = rest.partition(".")
        if first in source.exports:
            yield f"{module}.{source.exports[first]}.{rest}"
        for target in source.bindings.get(first, ()):
            yield f"{target}{dot}{tail}"
        if first not in source.names:
            for star in source.stars:
                yield f"{star}.{rest}"
