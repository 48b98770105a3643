"""Which tests of a checkout make a suite, and whether a folder is such a checkout."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdbackends.errors import BackendNotReadyError, UsageError


@dataclass(frozen=True)
class Suite:
    """Tests of another project that stand for what users do with its models.

    Attributes:
        name: also the package that is tested, as it is installed.
        folders: where its tests stand in the checkout.
        files: which files there are tests of models.
        left_out: words in a test's name by which it is no test of inference.
        device_variable: how the suite is told on which device to test.
        needs: modules that its tests import, by the package that has them.
    """

    name: str
    folders: tuple[str, ...]
    files: str
    left_out: tuple[str, ...]
    device_variable: str
    needs: tuple[tuple[str, str], ...]


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="diffusers",
            folders=(
                "tests/models/unets",
                "tests/models/autoencoders",
                "tests/models/controlnets",
                "tests/models/transformers",
                "tests/pipelines/stable_diffusion",
                "tests/pipelines/stable_diffusion_xl",
                "tests/pipelines/controlnet",
                "tests/pipelines/pixart_alpha",
            ),
            files="test_*.py",
            left_out=(),
            device_variable="DIFFUSERS_TEST_DEVICE",
            needs=(("parameterized", "parameterized"), ("requests_mock", "requests-mock")),
        ),
        Suite(
            name="transformers",
            # RoBERTa is what XLM-R is made of, whose own tests all need its published weights.
            folders=tuple(
                f"tests/models/{name}" for name in ("clip", "bert", "roberta", "xlm_roberta", "t5")
            ),
            files="test_modeling_*.py",
            # Text encoders in use: no training, and no generation of text.
            left_out=("train", "grad", "backward", "generat", "beam", "assisted", "decoding"),
            device_variable="TRANSFORMERS_TEST_DEVICE",
            needs=(("parameterized", "parameterized"), ("httpx", "httpx")),
        ),
    )
}


def checkout(suite: Suite, source: Path) -> Path:
    """The absolute path of a folder that holds the suite's tests.

    Raises:
        UsageError: it does not.
    """
    folder = source.expanduser().resolve()
    fix = (
        f"git clone --branch v{importlib.metadata.version(suite.name)} (or the nearest tag) "
        f"the sources of {suite.name}, and name that folder"
    )
    if not folder.is_dir():
        raise UsageError(f"there is no folder {source}", where="--source", fix=fix)
    missing = [name for name in suite.folders if not (folder / name).is_dir()]
    if missing:
        raise UsageError(
            f"{source} is no checkout of {suite.name}",
            where="--source",
            why=f"it lacks {', '.join(missing)}",
            fix=fix,
        )
    return folder


def version_of(suite: Suite, folder: Path) -> str:
    """The version that the checkout names as its own; "unknown" where it names none."""
    module = folder / "src" / suite.name / "__init__.py"
    text = module.read_text(encoding="utf-8") if module.is_file() else ""
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return found[1] if found else "unknown"


def check_packages(suite: Suite) -> None:
    """Nothing, when everything that the suite's tests import is installed.

    Raises:
        BackendNotReadyError: something is not.
    """
    missing = [package for module, package in suite.needs if not _is_installed(module)]
    if missing:
        raise BackendNotReadyError(
            f"the tests of {suite.name} need {', '.join(missing)}",
            fix=f"pip install {' '.join(missing)}",
        )


def files_of(suite: Suite, folder: Path, only: Sequence[str]) -> list[str]:
    """The test files of the suite, relative to its checkout; those under a path of `only`.

    Raises:
        UsageError: `only` names nothing of the suite.
    """
    found = sorted(_files(suite, folder), key=lambda path: _order(suite, path))
    wanted = [path.strip("/") for path in only]
    for path in wanted:
        if not any(_is_under(file, path) for file in found):
            raise UsageError(
                f"the suite {suite.name} has no tests in {path!r}",
                where="--only",
                fix=f"a folder or file of: {', '.join(suite.folders)}",
            )
    return [file for file in found if not wanted or any(_is_under(file, path) for path in wanted)]


def _files(suite: Suite, folder: Path) -> Iterator[str]:
    for name in suite.folders:
        for path in (folder / name).rglob(suite.files):
            yield path.relative_to(folder).as_posix()


def _order(suite: Suite, file: str) -> tuple[int, str]:
    return next(i for i, name in enumerate(suite.folders) if _is_under(file, name)), file


def _is_under(file: str, path: str) -> bool:
    return file == path or file.startswith(path + "/")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
