"""The overlay restores what was there, and only what was there."""

from __future__ import annotations

from sdbackends.host.overlay import Overlay


class Base:
    inherited = 1


class Thing(Base):
    own = 2


def test_undo_restores_and_deletes() -> None:
    before = dict(vars(Thing))
    overlay = Overlay()
    assert overlay.set(Thing, "own", 3) == 2
    assert overlay.set(Thing, "inherited", 4) == 1
    assert overlay.set(Thing, "new", 5) is None
    assert (Thing.own, Thing.inherited, Thing.new) == (3, 4, 5)
    overlay.undo()
    assert dict(vars(Thing)) == before


def test_undo_goes_backwards_and_once() -> None:
    overlay = Overlay()
    seen: list[str] = []
    overlay.on_undo("first", lambda: seen.append("first"))
    overlay.on_undo("second", lambda: seen.append("second"))
    assert overlay.changes == ("first", "second")
    overlay.undo()
    overlay.undo()
    assert seen == ["second", "first"] and overlay.changes == ()


def test_mapping_entries() -> None:
    mapping = {"a": 1}
    overlay = Overlay()
    overlay.set_item(mapping, "a", 2, "mapping")
    overlay.set_item(mapping, "b", 3, "mapping")
    assert mapping == {"a": 2, "b": 3}
    overlay.undo()
    assert mapping == {"a": 1}
