"""What is tested: families (how to build a pipeline), features (what to do with it), cases (both).

A family is a function that builds a fresh pipeline with tiny random weights, always the same ones.
A case takes such a pipeline and draws with it. Both are registered by decorators where they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Parts of a pipeline that a case expects on the engine, by the names of `SD_BACKEND`'s parts, and
#: how many models of each: "text_encoder text_encoder unet vae" are two encoders.
Parts = Counter[str]


@dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
        name: short, as in a test's id: `sd15`.
        title: as users know it: "Stable Diffusion 1.4/1.5".
        build: a fresh pipeline, always with the same weights.
        call: what every call of this family is given: prompt, steps, size, guidance.
        parts: which parts run on the engine in a plain call.
    """

    name: str
    title: str
    build: Callable[[], Any]
    call: dict[str, Any]
    parts: Parts


@dataclass(frozen=True)
class Case:
    """A feature of one family.

    Attributes:
        feature: as docs/support.md names it: "text to image".
        group: the heading that it stands under: "Pipelines", "Adapters", "Schedulers", …
        draw: takes a fresh pipeline of the family and gives what is compared: pictures as PIL,
            NumPy in [0, 1] or tensors, latents as tensors; one, or a list of them.
        build: another pipeline than the family's own; None: the family's.
        parts: which parts must have run on the engine.
        name: the second half of a test's id.
        room: the module that it stands in, whose tests run it.
    """

    family: Family
    feature: str
    group: str
    draw: Callable[[Any], Any]
    build: Callable[[], Any]
    parts: Parts
    name: str
    room: str

    @property
    def id(self) -> str:
        return f"{self.family.name}-{self.name}"


FAMILIES: dict[str, Family] = {}
CASES: dict[str, Case] = {}


def family(
    name: str, title: str, *, parts: str = "text_encoder unet vae", **call: Any
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a function that builds the pipeline of a family."""

    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        assert name not in FAMILIES, name
        FAMILIES[name] = Family(name, title, build, call, Counter(parts.split()))
        return build

    return register


def case(
    families: str,
    feature: str,
    group: str,
    *,
    build: Callable[[], Any] | None = None,
    also: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `draw(pipe, call)` for each of the named families.

    `call` is a copy of what the family gives to every call, `also` are parts that have to run on
    the engine besides the family's. The function's name is the case's.
    """

    def register(draw: Callable[..., Any]) -> Callable[..., Any]:
        for name in families.split():
            of = FAMILIES[name]
            one = Case(
                family=of,
                feature=feature,
                group=group,
                draw=lambda pipe, of=of: draw(pipe, dict(of.call)),
                build=build or of.build,
                parts=of.parts + Counter(also.split()),
                name=draw.__name__,
                room=draw.__module__,
            )
            assert one.id not in CASES, one.id
            CASES[one.id] = one
        return draw

    return register
