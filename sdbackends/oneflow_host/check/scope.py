"""What the names of a file stand for, in its scopes: module, class body, function, comprehension.

`bind` is called in the order in which Python would bind, so that a lookup sees the last word; where
a branch binds a name again, both words hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A thing of torch, or a local module, by its dotted name.

    `is_tensor`: an instance of torch.Tensor. `imported`: bound by an import, not an assignment.
    """

    name: str
    is_tensor: bool = False
    imported: bool = False

    @property
    def of_torch(self) -> bool:
        return self.name == "torch" or self.name.startswith("torch.")


TENSOR = NamedValue("torch.Tensor", is_tensor=True)


@dataclass(frozen=True, slots=True)
class Known:
    """The answer of a test; without `why` the other branch is never run, and not looked at."""

    value: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """What one name may stand for; no values: something of the file's own."""

    values: tuple[NamedValue, ...] = ()
    #: The answer of a `hasattr` that the name holds.
    known: Known | None = None
    #: `name = None`: a place kept for what comes later.
    is_none: bool = False


@dataclass(slots=True)
class Scope:
    """The names of one scope; `outer` is where a lookup goes on."""

    outer: Scope | None = None
    is_class: bool = False
    names: dict[str, Bound] = field(default_factory=dict)
    #: Names that `global` gives to the module's scope.
    elsewhere: dict[str, Scope] = field(default_factory=dict)

    def lookup(self, name: str) -> Bound | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None

    def bind(self, name: str, bound: Bound, *, branch: bool = False) -> None:
        """Bind `name`; in a `branch` what it stood for before may still hold."""
        names = self.elsewhere.get(name, self).names
        names[name] = _either(names[name], bound) if branch and name in names else bound

    def owns(self, name: str) -> bool:
        return name in self.names or name in self.elsewhere

    def around_functions(self) -> Scope:
        """Where a function defined here looks names up: class bodies are passed over."""
        return self.outer.around_functions() if self.is_class and self.outer else self

    def outermost(self) -> Scope:
        return self.outer.outermost() if self.outer else self


def _either(before: Bound, bound: Bound) -> Bound:
    """Both, where a branch may have bound a name again.

    Of what is assigned nothing is sure where the other way gives something unknown; what is
    imported under a name stays what the name is for.
    """
    unknown = any(not (way.values or way.is_none) for way in (before, bound))
    values = dict.fromkeys((*before.values, *bound.values))
    kept = tuple(value for value in values if value.imported or not unknown)
    return Bound(kept, bound.known, before.is_none and bound.is_none)
