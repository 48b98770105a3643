"""The scripts in `pipelines/`, seen from outside: their names, and their command line checked.

The scripts know nothing of sdbackends; their own parser (`pipelines/_arguments.py`, standard
library only) is loaded here, so that a wrong word is refused before torch is imported.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from sdbackends.errors import SdError, UsageError
from sdbackends.paths import pipelines_dir


def pipeline_names() -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in pipelines_dir().glob("*.py") if p.stem[0] != "_"))


def pipeline_script(name: str) -> Path:
    """The script of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in pipeline_names():
        raise UsageError(
            f"there is no pipeline {name!r}", fix=f"one of: {', '.join(pipeline_names())}"
        )
    return pipelines_dir() / f"{name}.py"


@cache
def defaults(name: str) -> tuple[str, str]:
    """The model and the prompt that a script takes unless it is told otherwise.

    They are read from its text, `parser(description, model, prompt)`, without running it.
    """
    script = pipeline_script(name)
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "parser":
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            if len(words) == 2:
                return str(words[0]), str(words[1])
    raise SdError(f"{script.name} names no model and no prompt", where=str(script))


def model_families() -> tuple[str, ...]:
    """The families that the scripts make with random weights: `tiny-random:FAMILY`."""
    families: tuple[str, ...] = _arguments().FAMILIES
    return families


def check_arguments(script: Path, words: Sequence[str]) -> None:
    """Nothing, when the script would accept `words`.

    Raises:
        UsageError: it would not.
    """

    def refuse(message: str) -> NoReturn:
        raise UsageError(message, where=script.name, fix="`sdbackends generate --help`")

    parser = _arguments().parser("", "", "")
    parser.error = refuse
    parser.parse_args(words)


def writable_picture(path: Path) -> None:
    """Nothing, when a picture can be written there; its folder is made.

    Raises:
        UsageError: it cannot.
    """
    try:
        _arguments().picture_file(str(path))
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error), fix="name another file with --output") from None


def _arguments() -> Any:
    return _module(pipelines_dir() / "_arguments.py")


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("sdbackends_pipeline_arguments", path)
    if spec is None or spec.loader is None:
        raise SdError(f"{path.name} cannot be loaded", where=str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
