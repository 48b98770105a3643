"""The embedded models' own judge: how much of the prompt a picture shows.

The judge and the words of the prompts stand in `pipelines/tiny`, outside the package; a pipeline's
script says what it draws unless it is told otherwise, and that is what a cell draws.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from sdbackends.launch.pipeline_scripts import defaults
from sdbackends.paths import pipelines_dir

_FACTS = ("size", "color", "shape", "background")


def score(pipeline: str, picture: Path) -> float | None:
    """Which share of the prompt's facts the judge reads back, 0..1.

    None where the pipeline's own model is not one that the judge knows.
    """
    asked = _asked(pipeline)
    if asked is None:
        return None
    verdict = _tiny("judge").judge(picture)
    right = sum(bool(getattr(verdict, fact) == getattr(asked, fact)) for fact in _FACTS)
    return right / len(_FACTS)


def prompt_in_english(pipeline: str) -> str | None:
    """Put what a pipeline's script draws by itself into English, the same words for each language.

    None where the pipeline's own model is not one that the judge knows.
    """
    asked = _asked(pipeline)
    return None if asked is None else str(_tiny("prompts").english(asked))


@cache
def _asked(pipeline: str) -> Any:
    """The scene that the script asks for; None where it is none of the tiny models' scenes."""
    model, prompt = defaults(pipeline)
    return _scenes().get(prompt) if model.startswith("tiny/") else None


@cache
def _scenes() -> dict[str, Any]:
    """Every scene by its English and its Chinese prompt."""
    shapes, prompts = _tiny("shapes"), _tiny("prompts")
    found = {}
    for values in product(shapes.SIZES, shapes.COLORS, shapes.SHAPES, shapes.COLORS):
        scene = shapes.Scene(*values)
        found[prompts.english(scene)] = found[prompts.chinese(scene)] = scene
    return found


def _tiny(module: str) -> Any:
    with _importable(pipelines_dir() / "tiny"):
        return importlib.import_module(module)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The files of that folder import each other by plain name."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
