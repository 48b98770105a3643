"""What a command needs beside what every sdbackends has: the packages of an extra."""

from __future__ import annotations

#: By import name: what runs the cells of a matrix and judges them.
MATRIX = ("numpy", "PIL", "psutil", "skimage")
#: What writes the report.
REPORT = ("jinja2",)


def need(packages: tuple[str, ...], *, what: str, extra: str) -> None:
    """Check that `packages` are installed, before any work is begun.

    Args:
        what: needs them, as a person calls it. extra: of sdbackends that brings them.

    Raises:
        SdError: some are missing; the fix is in it.
    """
    from sdbackends.catalog import requirements
    from sdbackends.errors import SdError

    lacking = [name for name in packages if not requirements.importable(name)]
    if lacking:
        raise SdError(
            f"{what} needs packages that are not installed",
            why=f"there is no {', '.join(lacking)}",
            fix=requirements.pip_install(f"sdbackends[{extra}]"),
        )
