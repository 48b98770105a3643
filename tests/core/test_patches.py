"""Patches restore what was there, and only what was there."""

from __future__ import annotations

from sdbackends.host.patches import Patches


class Base:
    inherited = 1


class Thing(Base):
    own = 2


def test_undo_restores_and_deletes() -> None:
    before = dict(vars(Thing))
    patches = Patches()
    assert patches.set(Thing, "own", 3) == 2
    assert patches.set(Thing, "inherited", 4) == 1
    assert patches.set(Thing, "new", 5) is None
    assert (Thing.own, Thing.inherited, Thing.new) == (3, 4, 5)
    patches.undo()
    assert dict(vars(Thing)) == before


def test_undo_goes_backwards_and_once() -> None:
    patches = Patches()
    seen: list[str] = []
    patches.on_undo("first", lambda: seen.append("first"))
    patches.on_undo("second", lambda: seen.append("second"))
    assert patches.changes == ("first", "second")
    patches.undo()
    patches.undo()
    assert seen == ["second", "first"] and patches.changes == ()


def test_mapping_entries() -> None:
    mapping = {"a": 1}
    patches = Patches()
    patches.set_item(mapping, "a", 2, "mapping")
    patches.set_item(mapping, "b", 3, "mapping")
    assert mapping == {"a": 2, "b": 3}
    patches.undo()
    assert mapping == {"a": 1}
