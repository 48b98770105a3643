"""A class or function that a model was traced from and that changes afterwards is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sdbackends.capture.class_guard import ClassGuard


class Base(torch.nn.Module):
    strength = 1.0

    @property
    def doubled(self) -> float:
        return 2 * self.strength

    @staticmethod
    def shift(x: torch.Tensor, by: float = 1.0) -> torch.Tensor:
        return x + by

    def forward(self, x: torch.Tensor, *, factor: float = 2.0) -> torch.Tensor:
        return self.shift(x) * factor * self.doubled


class Model(Base):
    pass


def other(self: Any, x: torch.Tensor, *, factor: float = 3.0) -> torch.Tensor:
    return x * factor


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a method": lambda patch: patch.setattr(Base, "forward", other),
    "a method below": lambda patch: patch.setattr(Model, "forward", other, raising=False),
    "a class attribute": lambda patch: patch.setattr(Base, "strength", 2.0),
    "a new attribute": lambda patch: patch.setattr(Model, "mine", 2.0, raising=False),
    "a property": lambda patch: patch.setattr(Base, "doubled", property(lambda self: 5.0)),
    "a static method": lambda patch: patch.setattr(Base, "shift", staticmethod(lambda x: x)),
    "the code of a method": lambda patch: patch.setattr(Base.forward, "__code__", other.__code__),
    "a default": lambda patch: patch.setattr(Base.shift, "__defaults__", (2.0,)),
    "a keyword's default": lambda patch: patch.setitem(
        Base.forward.__kwdefaults__, "factor", object()
    ),
    "a method of tensors": lambda patch: patch.setattr(torch.Tensor, "sin", other, raising=False),
    "a method of all modules": lambda patch: patch.setattr(torch.nn.Module, "__call__", other),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_and_so_is_its_undoing(change: str) -> None:
    guard = ClassGuard(Model())
    guard.add((), [Base.forward.__code__, Base.shift.__code__])
    assert guard.holds()
    with pytest.MonkeyPatch.context() as patch:
        CHANGES[change](patch)
        assert not guard.holds()
    assert guard.holds()


class Helper:
    def scale(self) -> float:
        return 2.0


def test_classes_that_the_code_read_count_from_when_they_are_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = ClassGuard(Model())
    monkeypatch.setattr(Helper, "scale", lambda self: 3.0)
    assert guard.holds()
    guard.add([Helper], ())
    assert guard.holds()
    monkeypatch.setattr(Helper, "scale", lambda self: 4.0)
    assert not guard.holds()


def test_instances_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    guard = ClassGuard(model)
    model.strength = 5.0
    model.extra = torch.nn.Linear(2, 2)
    assert guard.holds()
