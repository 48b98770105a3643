"""The cache's folders as a run uses them: private ones, or none.

The cache saves time and nothing else. Where there is no place for it (no home, no permission, a
folder of somebody else's) one message says so, and the run goes on without it.
"""

from __future__ import annotations

from pathlib import Path

from sdbackends import log
from sdbackends.errors import ArtifactError, NoHomeError
from sdbackends.settings import Settings
from sdbackends.utils import private_folder


def open_folder(settings: Settings, kind: str) -> Path | None:
    """The folder of `kind` in the cache directory, made if it is missing; None: keep nothing."""
    try:
        place = settings.cache_folder.absolute()
        _check(place)
        for name in kind.split("/"):
            place = place / name
            _check(place)
    except (ArtifactError, NoHomeError) as error:
        key = ("cache", error.what, error.why)
        log.warn_once(key, f"{error}\n  so:  the run keeps nothing there")
        return None
    return place


def _check(folder: Path) -> None:
    try:
        private_folder.make(folder)
        refused = private_folder.refusal(folder)
    except OSError as error:
        raise ArtifactError(
            "the cache cannot be used",
            where=str(folder),
            why=error.strerror or str(error),
            fix=private_folder.elsewhere(),
        ) from error
    if refused is not None:
        raise ArtifactError(
            "the cache is not used",
            why=f"{refused.why}, and what lies there is executed",
            fix=refused.fix,
        )
