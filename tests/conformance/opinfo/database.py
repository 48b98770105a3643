"""Samples of `torch.testing._internal`'s OpInfo database: named, repeatable, callable.

A sample's name is `OPINFO/DTYPE/NUMBER` ("div.floor_rounding/float32/3"). The same name gives the
same numbers in every process. A sample is a call of torch's function with its tensors apart from
everything else, which is how a captured call wants it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import hypothesis
import numpy as np
import torch
from torch.utils import _pytree as pytree

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int64": torch.int64}
#: For the ops that may have complex results.
COMPLEX_DTYPES = {"complex64": torch.complex64, "complex128": torch.complex128}
_DTYPES = {**DTYPES, **COMPLEX_DTYPES}


@dataclass(frozen=True)
class Sample:
    """One call of one op."""

    name: str
    opinfo: Any
    leaves: tuple[Any, ...]
    spec: pytree.TreeSpec

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.name.split("/")[1]]

    def tensors(self) -> list[torch.Tensor]:
        return [leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor)]

    def call(self, tensors: list[torch.Tensor]) -> Any:
        """The op with these tensors in place of the sample's own."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(v, torch.Tensor) else v for v in self.leaves]
        input, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.opinfo(input, *args, **kwargs)

    def in_dtype(self, dtype: torch.dtype) -> Sample:
        """The same numbers in a wider dtype, also where the sample names its own as an argument."""
        wide = [
            leaf.to(dtype)
            if isinstance(leaf, torch.Tensor) and leaf.dtype == self.dtype
            else (dtype if leaf is self.dtype else leaf)
            for leaf in self.leaves
        ]
        return Sample(self.name, self.opinfo, tuple(wide), self.spec)


@cache
def opinfos() -> dict[str, Any]:
    """The whole database by name, in its own order."""
    return {info.full_name: info for info in _database()}


def samples(opinfo: str, dtype: str, count: int | None = None) -> Iterator[Sample]:
    """The first `count` samples of an OpInfo; none where it has not that dtype."""
    info = opinfos()[opinfo]
    if not info.supports_dtype(_DTYPES[dtype], "cpu"):
        return
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    found = info.sample_inputs("cpu", _DTYPES[dtype], requires_grad=False)
    for number, sample in enumerate(itertools.islice(found, count)):
        leaves, spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        yield Sample(f"{opinfo}/{dtype}/{number}", info, tuple(leaves), spec)


def named(names: list[str]) -> list[Sample]:
    """The samples of these names."""
    wanted: dict[tuple[str, str], set[int]] = {}
    for name in names:
        opinfo, dtype, number = name.split("/")
        wanted.setdefault((opinfo, dtype), set()).add(int(number))
    found = {
        sample.name: sample
        for (opinfo, dtype), numbers in wanted.items()
        for sample in samples(opinfo, dtype, max(numbers) + 1)
        if int(sample.name.rpartition("/")[2]) in numbers
    }
    return [found[name] for name in names]


def _database() -> list[Any]:
    """The import sets switches for torch's own tests, which are undone for those beside ours."""
    profile = hypothesis.settings.get_current_profile_name()
    try:
        from torch.testing._internal.common_methods_invocations import op_db
    finally:
        hypothesis.settings.load_profile(profile)
        setattr(torch.backends, "__allow_nonbracketed_mutation_flag", True)
    return list(op_db)
