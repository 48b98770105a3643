"""Engines with one fault each, and one with none, for the matrix: they stand on eager torch."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from sdbackends.engines.base import ModuleEngine
from sdbackends.errors import NotFiniteError, UnsupportedOpsError


class Faulty(ModuleEngine):
    """`run` gives what the model gives, but for the fault."""

    name = "faulty"

    def version(self) -> str:
        return "1"

    calls = 0

    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        return lambda *args: self.run(graph, args)

    def run(self, graph: torch.fx.GraphModule, args: Any) -> Any:
        self.calls += 1
        self.fault()
        return graph(*args)

    def fault(self) -> None:
        pass


class Good(Faulty):
    pass


class Crashing(Faulty):
    def fault(self) -> None:
        if self.calls > 5:
            os.abort()


class Hanging(Faulty):
    def fault(self) -> None:
        if self.calls > 5:
            time.sleep(3600)


class Computing(Faulty):
    def fault(self) -> None:
        while self.calls > 5:
            pass


class Leaking(Faulty):
    held: tuple[Any, ...] = ()

    def fault(self) -> None:
        self.held = (*self.held, torch.ones(8, 1024, 1024))


class Refusing(Faulty):
    def fault(self) -> None:
        raise UnsupportedOpsError("unet stays on eager torch", why="no lowering for aten.roll")


class Infinite(Faulty):
    def fault(self) -> None:
        raise NotFiniteError("unet failed", why="it returned NaN")


class Wrong(Faulty):
    """2% too much out of every convolution."""

    def run(self, graph: torch.fx.GraphModule, args: Any) -> Any:
        return WrongConvolutions(graph).run(*args)


class WrongConvolutions(torch.fx.Interpreter):
    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_function(target, args, kwargs)
        return result * 1.02 if target is torch.conv2d else result
