"""Every error that sdbackends raises on purpose.

A message has four parts: what happened, where (which file, model, option), why, and how to fix
it. `SdError` builds the text from those parts, so that none is forgotten, and the command line
prints it without a traceback. `exit_code` is 2 where the user's words were off (usage) and 1 where
the work failed.
"""

from __future__ import annotations


class SdError(Exception):
    """Base class: one clear message with the fix in it."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        lines = [what if not where else f"{what} ({where})"]
        if why:
            lines.append(f"  why: {why}")
        if fix:
            lines.append(f"  fix: {fix}")
        super().__init__("\n".join(lines))


class UsageError(SdError):
    """Something that the user named is not accepted: an option, a variable, a path."""

    exit_code = 2


class NoHomeError(UsageError):
    """A folder has to be named: this user has no home in which one could be chosen."""


class UnknownBackendError(UsageError):
    """`SD_BACKEND` (or `--backend`) names no file in `backends/`."""


class CatalogError(UsageError):
    """A `backends/*.yaml` file cannot be read or breaks its schema."""


class ResultsError(UsageError):
    """A file of results is cut off, foreign, of another schema, or must not be overwritten."""


class BackendNotReadyError(SdError):
    """The backend exists, but a package or a device that it needs is missing."""


class NotMadeError(SdError):
    """A worker environment could not be made or removed."""


class NotClearedError(SdError):
    """A part of the cache directory could not be removed."""


class CaptureError(SdError):
    """A model call could not be turned into a graph."""


class UnsupportedOpsError(SdError):
    """The engine has no lowering for some ops of the graph; all of them are listed."""


class BuildError(SdError):
    """The engine failed to turn a graph into a program."""


class RunError(SdError):
    """A built program failed."""


class NotFiniteError(RunError):
    """A program returned NaN or Inf where eager does not."""


class PositionError(RunError):
    """A call asks for a row that is not there; eager torch raises an IndexError for it."""


class ArtifactError(SdError):
    """An entry of the cache directory is damaged or foreign; it is rebuilt, never trusted."""
