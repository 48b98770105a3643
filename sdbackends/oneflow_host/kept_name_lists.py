"""Lists of OneFlow's names, kept on disk: one file for each Python that has oneflow.

A file holds what its list was made from and a checksum. It is written beside its place and moved
there; one that is damaged, or made from something else, is passed by and replaced. When one is
written, those go whose Python is gone, and what a killed process left half written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdbackends import log
from sdbackends.oneflow_host.name_list import NameList
from sdbackends.utils import cache_file


@dataclass(frozen=True)
class MadeFrom:
    """What a list holds for: a Python, its OneFlow, and what the host adds to that."""

    python: Path
    oneflow: str

    @cached_property
    def record(self) -> dict[str, str]:
        return {"python": str(self.python), "oneflow": self.oneflow, "host": _host()}

    @property
    def file(self) -> str:
        return f"{hashlib.sha256(str(self.python).encode()).hexdigest()[:32]}.json"


class KeptNameLists:
    """The folder `names/` of the cache; None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def load(self, made_from: MadeFrom) -> NameList | None:
        if self.folder is None:
            return None
        path = self.folder / made_from.file
        try:
            kept = _read(path)
            return NameList(**kept["names"]) if kept["made_from"] == made_from.record else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warn_once(
                ("damaged", str(path)),
                f"a kept list of OneFlow's names cannot be used ({path}): {error}\n"
                "  so:  it is made anew",
            )
            return None

    def save(self, made_from: MadeFrom, names: NameList) -> None:
        """Keep a list. A folder that cannot be written costs a warning, not the check."""
        if self.folder is None:
            return
        kept = {"made_from": made_from.record, "names": dataclasses.asdict(names)}
        try:
            with cache_file.written_whole(self.folder / made_from.file) as part:
                part.write_text(json.dumps({"checksum": _checksum(kept), **kept}), "utf-8")
            _prune(self.folder)
        except OSError as error:
            log.warn_once(
                ("cache", str(self.folder)),
                f"OneFlow's names cannot be kept, and are asked for in each check: {error}\n"
                "  fix: set SD_CACHE_DIR to a folder of your own that can be written",
            )


def _host() -> str:
    """A digest of the modules that say what is added to OneFlow and what is withheld."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():  # to open a pipe would take for ever
        path.stat()
        raise ValueError("no file")
    kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    checksum = kept.pop("checksum")
    if checksum != _checksum(kept):
        raise ValueError("the checksum does not match")
    return kept


def _checksum(kept: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _prune(folder: Path) -> None:
    cache_file.remove_abandoned(folder)
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError):  # another process prunes too
            if not _still_asked(path):
                path.unlink()


def _still_asked(path: Path) -> bool:
    try:
        return Path(_read(path)["made_from"]["python"]).exists()
    except (ValueError, KeyError, TypeError):
        return False
