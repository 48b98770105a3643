"""Where the folders that are not Python code stand: `backends/`, `shim/`, `pipelines/`.

In a checkout (or an editable install) they lie beside `sdbackends/`, in a wheel inside it. This is
the only module that knows, and it imports nothing heavy: `sd-mock` runs it at every shell start.
"""

from __future__ import annotations

from pathlib import Path

from sdbackends.errors import SdError, UnknownBackendError

_PACKAGE = Path(__file__).resolve().parent


def backends_dir() -> Path:
    """The folder of the backend files, one `NAME.yaml` each."""
    return _find("backends")


def shim_dir() -> Path:
    """The folder that `sd-mock` puts on `PYTHONPATH`; it holds the stand-in for torch."""
    return _find("shim")


def pipelines_dir() -> Path:
    """The folder of the plain diffusers scripts and of the embedded models (`tiny/`)."""
    return _find("pipelines")


def matrix_file() -> Path:
    """`matrix.yaml`: which prompts and pipelines the demo shows, on which backends."""
    return _find("matrix.yaml")


def backend_names() -> tuple[str, ...]:
    """The names that `SD_BACKEND` accepts besides `auto`, in alphabetical order."""
    return tuple(sorted(path.stem for path in backends_dir().glob("*.yaml")))


def check_backend(name: str) -> None:
    """Nothing, when `name` is a backend or "auto".

    Raises:
        UnknownBackendError: it is not; the message holds the list and the nearest name.
    """
    known = backend_names()
    if name == "auto" or name in known:
        return
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=1)
    raise UnknownBackendError(
        f"there is no backend {name!r}",
        why=f"the backends are: {', '.join(known)}, and auto",
        mend=f"did you mean {near[0]!r}?" if near else "`sdbackends backends` says which are ready",
    )


def _find(name: str) -> Path:
    # Inside the package first: a stray folder beside an installed wheel must not win.
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (path := folder / name).exists():
            return path
    raise SdError(
        f"{name} is missing from this installation of sdbackends",
        where=str(_PACKAGE),
        mend="install sdbackends again: pip install --force-reinstall sdbackends",
    )
