"""What a first run does, in the order of its worth.

An item is a function of `first_run.work` with its options, in a process of its own. One that
builds is started early, beside others; it waits when it is built, and measures when it is its turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Item:
    """One process.

    Attributes:
        work: MODULE of `first_run.work`; its function `main` gets the options.
        seconds: limit of it, of one that builds after it was told to measure.
        build_seconds: limit of its building, beside others; 0: it has none, and begins in its turn.
    """

    name: str
    work: str
    seconds: float
    options: Mapping[str, Any] = field(default_factory=dict)
    build_seconds: float = 0.0
    env: Mapping[str, str] = field(default_factory=dict)


def _pictures(family: str, seconds: float) -> Item:
    return Item(f"{family}-pictures", "pictures", seconds, {"family": family})


def _unet(
    family: str,
    backend: str,
    *,
    name: str = "",
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> Item:
    chosen = {"family": family, "backend": backend, "precision": "bf16", "batch": 1, **options}
    slow = family == "sdxl"
    return Item(
        f"{family}-{name or backend}",
        "unet",
        60.0 if slow else 40.0,
        chosen,
        build_seconds=330.0 if slow else 240.0,
        env=env or {},
    )


#: The first question is which engine is right and how fast; variants of one come last.
ITEMS: tuple[Item, ...] = (
    Item("facts", "facts", 60.0),
    Item("checks", "checks", 120.0),
    _pictures("sd15", 60.0),
    _unet("sd15", "compile"),
    _unet("sd15", "jax"),
    _unet("sd15", "compile-launches"),
    _pictures("sdxl", 90.0),
    _unet("sdxl", "compile"),
    _unet("sdxl", "jax"),
    _unet("sd15", "jax", name="jax-fp16", precision="fp16"),
    _unet("sd15", "jax", name="jax-batch4", batch=4),
    _unet("sd15", "compile", name="compile-batch4", batch=4),
    _unet(
        "sd15",
        "jax",
        name="jax-launches",
        env={"XLA_FLAGS": "--xla_gpu_enable_command_buffer="},
    ),
    _unet("sd15", "jax-plain-attention"),
    _unet("sd15", "jax", name="jax-autotune1", env={"XLA_FLAGS": "--xla_gpu_autotune_level=1"}),
    _unet("sdxl", "compile-launches"),
)


def named(name: str) -> Item:
    return next(item for item in ITEMS if item.name == name)
