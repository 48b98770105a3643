"""Name the file that a lowering goes into.

Engines with a table of lowerings keep one module a family, under the same names in every engine
(`conv.py`, `norm.py`, …). The family is that of another overload of the op (`capture/opset.py`),
else that of a word in its name, else what torch says of it (pointwise, a reduction), else that of
the op most like it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from sdbackends.capture.opset import FAMILIES
from sdbackends.paths import package_dir

#: A word in an op's name -> the module of its family.
_WORDS = {
    "attention": "attention",
    "conv": "conv",
    "convolution": "conv",
    "embedding": "embedding",
    "fft": "fft",
    "interpolate": "resize",
    "linalg": "linalg",
    "norm": "norm",
    "pad": "pad",
    "sampler": "resize",
    "upsample": "resize",
}
_POINTWISE = frozenset({"activation", "elementwise", "logic", "unary"})
#: Below this two names have nothing to do with each other.
_ALIKE = 0.7


def lowering_file(op: str, folder: Path) -> str:
    """The file for "aten.erfinv.default", from the root of a checkout on.

    `folder` is where the engine's lowerings stand.
    """
    family = _family(op)
    if family is None:
        return f"a new file in {_relative(folder)}"
    path = folder / f"{family}.py"
    return _relative(path) if path.exists() else f"{_relative(path)} (a new file)"


def _family(op: str) -> str | None:
    base = _base(op)
    known = {_base(one): family for family, ops in FAMILIES.items() for one in ops}
    if base in known:
        return known[base]
    for word in re.findall(r"[a-z]+", base):
        if word in _WORDS:
            return _WORDS[word]
    overload = _overload(op)
    tags = getattr(overload, "tags", ())
    if torch.Tag.pointwise in tags:
        return "unary" if _tensors(overload) == 1 else "elementwise"
    if torch.Tag.reduction in tags:
        return "reduce"
    others = {one: family for one, family in known.items() if family not in _POINTWISE}
    near = get_close_matches(base, others, n=1, cutoff=_ALIKE)
    return others[near[0]] if near else None


def _base(op: str) -> str:
    """`_fft_c2c` of "aten._fft_c2c.default (complex64)"; a namespace of its own stays."""
    name = op.partition(" ")[0].removeprefix("aten.")
    return name.rpartition(".")[0] or name


def _overload(op: str) -> Any:
    found: Any = torch.ops
    for name in op.partition(" ")[0].split("."):
        found = getattr(found, name, None)
    return found


def _tensors(overload: Any) -> int:
    """How many of its arguments are tensors, or may be."""
    return sum("Tensor" in str(argument.type) for argument in overload._schema.arguments)


def _relative(path: Path) -> str:
    return path.relative_to(package_dir().parent).as_posix()
