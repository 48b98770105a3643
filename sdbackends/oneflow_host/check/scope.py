"""Which names stand for which imported things, in the scopes of one file.

A scope is a module, a class body, a function or a comprehension. `bind` is called in the order of
the text, so a lookup sees the last word; where a branch binds a name again, both words hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sdbackends.oneflow_host.check.model import Guards


@dataclass(frozen=True, slots=True)
class Target:
    """What a name stands for.

    `instance`: a value of the class `name`, known for its methods. `imported`: bound by an import,
    not by an assignment.
    """

    name: str
    guards: Guards = ()
    instance: bool = False
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """A name that holds the answer of a `hasattr`: what is known where it is true, or false."""

    true: Guards
    false: Guards


@dataclass(slots=True)
class Bound:
    """What is known of one name; no targets: something of its own, which shadows outer names."""

    targets: tuple[Target, ...] = ()
    flag: Flag | None = None
    #: `name = None`: a place kept for what comes later.
    is_none: bool = False


@dataclass(slots=True)
class Scope:
    """The names of one scope; `outer` is where a lookup goes on."""

    outer: Scope | None = None
    is_class: bool = False
    names: dict[str, Bound] = field(default_factory=dict)
    #: Names that `global` and `nonlocal` give to another scope.
    elsewhere: dict[str, Scope] = field(default_factory=dict)

    def lookup(self, name: str) -> Bound | None:
        scope: Scope | None = self
        while scope is not None:
            bound = scope.names.get(name)
            if bound is not None:
                return bound
            scope = scope.outer
        return None

    def bind(self, name: str, bound: Bound, *, branch: bool) -> None:
        """Bind `name`; in a `branch` what it stood for before may still hold."""
        owner = self.elsewhere.get(name, self)
        before = owner.names.get(name)
        owner.names[name] = _either(before, bound) if branch and before is not None else bound

    def owns(self, name: str) -> bool:
        """Whether the scope binds `name` itself, or has taken it over by `global`."""
        return name in self.names or name in self.elsewhere

    def around_functions(self) -> Scope:
        """Where a function defined here looks names up: class bodies are passed over."""
        scope = self
        while scope.is_class and scope.outer is not None:
            scope = scope.outer
        return scope

    def outermost(self) -> Scope:
        scope = self
        while scope.outer is not None:
            scope = scope.outer
        return scope


def _either(before: Bound, bound: Bound) -> Bound:
    """What is known where a branch may have bound a name again.

    Of what is bound by assignment nothing is sure where the other way gives something unknown;
    what is imported under a name stays what the name is for.
    """
    unknown = not (before.targets or before.is_none) or not (bound.targets or bound.is_none)
    targets = dict.fromkeys((*before.targets, *bound.targets))
    kept = tuple(target for target in targets if target.imported or not unknown)
    return Bound(kept, bound.flag, before.is_none and bound.is_none)
