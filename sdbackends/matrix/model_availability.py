"""Whether the model of a cell is there, known without starting anything.

A folder is looked at, a hub id is looked up in the hub's cache. What would be downloaded is left to
the cell: only where the hub may not be asked is it known to be missing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sdbackends.errors import SdError
from sdbackends.launch.pipeline_scripts import defaults
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.results import Cell
from sdbackends.paths import pipelines_dir

EMBEDDED = "embedded"
_INDEX = "model_index.json"


def lack(cell: Cell) -> CellFailed | None:
    """Why the cell's model cannot be loaded here."""
    kind = cell.model.partition(":")[0]
    if kind in ("tiny-random", "full-random"):
        return None
    if cell.model == EMBEDDED:
        return _lack_of_embedded(cell.pipeline)
    folder = Path(cell.model)
    if folder.is_dir():
        return _lack_of_folder(folder, cell.model)
    if cell.model.startswith(("/", ".", "~")) or cell.model.count("/") != 1:
        return CellFailed("not-installed", f"there is no folder {cell.model}")
    return _lack_on_hub(cell.model)


def _lack_of_embedded(pipeline: str) -> CellFailed | None:
    try:
        model, _ = defaults(pipeline)
    except SdError as error:
        return CellFailed("unsupported", error.what)
    if not model.startswith("tiny/"):
        return CellFailed("unsupported", f"{pipeline} has no embedded model; it draws with {model}")
    return _lack_of_folder(pipelines_dir() / model, f"pipelines/{model}")


def _lack_of_folder(folder: Path, name: str) -> CellFailed | None:
    if (folder / _INDEX).is_file():
        return None
    return CellFailed(
        "not-installed", f"the folder {name} holds no model: there is no {_INDEX} in it"
    )


def _lack_on_hub(repository: str) -> CellFailed | None:
    if importlib.util.find_spec("huggingface_hub") is None:
        return None  # the cell's own environment says so
    from huggingface_hub import constants, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(repository, _INDEX), str) or not constants.HF_HUB_OFFLINE:
        return None
    why = "is not in the hub's cache, and HF_HUB_OFFLINE forbids to download it"
    return CellFailed("not-installed", f"{repository} {why}")
