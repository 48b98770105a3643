"""Hold what a program returned against the graph that it was built from.

In come the values; a `RunError` goes out where there is one too many or too few, or where one is
no tensor, or a tensor of another shape or dtype or on another device than the graph says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sdbackends.capture.graph import TensorSpec
from sdbackends.errors import RunError


def check(
    given: Sequence[Any], specs: Sequence[TensorSpec | None], device: torch.device | None
) -> None:
    """Raise where `given` are not tensors as in `specs` on `device` (None: wherever they are)."""
    if len(given) != len(specs):
        raise _wrong(f"{len(given)} results where the graph has {len(specs)}")
    for value, spec in zip(given, specs, strict=True):
        if not isinstance(value, torch.Tensor):
            raise _wrong(f"a {type(value).__name__} where the graph has a tensor")
        dtype = str(value.dtype).removeprefix("torch.")
        if spec is not None and (tuple(value.shape) != spec.shape or dtype != spec.dtype):
            got = f"{dtype}{list(value.shape)}"
            raise _wrong(f"{got} where the graph has {spec.dtype}{list(spec.shape)}")
        if value.is_meta or (device is not None and value.device != device):
            raise _wrong(f"a tensor on {value.device} where the inputs are on {device}")


class Checked:
    """A program over Dynamo's own graph, whose results are held against the graph's.

    Of a shape that is symbolic in the graph (one program for all sizes) the sizes that are known
    are compared.
    """

    def __init__(self, graph: torch.fx.GraphModule, program: Callable[..., Any]) -> None:
        self._program = program
        results = graph.graph.output_node().args[0]
        assert isinstance(results, (tuple, list))
        self._expected = [_example(result) for result in results]

    def __call__(self, *args: Any) -> Any:
        """Run.

        Raises:
            RunError: the program returned something else than its graph says.
        """
        given = self._program(*args)
        if not isinstance(given, (tuple, list)):
            raise _wrong(f"a {type(given).__name__} where the graph has {len(self._expected)}")
        if len(given) != len(self._expected):
            raise _wrong(f"{len(given)} results where the graph has {len(self._expected)}")
        for value, expected in zip(given, self._expected, strict=True):
            if expected is not None:
                _compare(value, expected)
        return given

    def close(self) -> None:
        close = getattr(self._program, "close", None)
        if callable(close):
            close()


def _example(result: Any) -> torch.Tensor | None:
    example = result.meta.get("example_value") if isinstance(result, torch.fx.Node) else None
    return example if isinstance(example, torch.Tensor) else None


def _compare(value: Any, expected: torch.Tensor) -> None:
    if not isinstance(value, torch.Tensor):
        raise _wrong(f"a {type(value).__name__} where the graph has a tensor")
    same = value.dtype == expected.dtype and value.dim() == expected.dim()
    # The sizes of the graph's may be symbols, for which nothing is asked: that would guard them.
    sizes = zip(value.shape, expected.shape, strict=False)
    if not same or any(type(size) is int and size != got for got, size in sizes):
        got = f"{value.dtype}{list(value.shape)}".removeprefix("torch.")
        said = f"{expected.dtype}{list(expected.shape)}".removeprefix("torch.")
        raise _wrong(f"{got} where the graph has {said}")
    if value.is_meta or value.device != expected.device:
        raise _wrong(f"a tensor on {value.device} where the graph has one on {expected.device}")


def _wrong(why: str) -> RunError:
    return RunError("the program returned something else than its graph says", why=why)
