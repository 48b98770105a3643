"""Where the folders that are not Python code stand: `backends/`, `shim/`, `pipelines/`.

In a checkout (or an editable install) they lie beside `sdbackends/`, in a wheel inside it. This is
the only module that knows, and it imports nothing heavy: `sd-mock` runs it at every shell start.
"""

from __future__ import annotations

from pathlib import Path

from sdbackends.errors import SdError, UnknownBackendError, UsageError
from sdbackends.settings import own_backends

_PACKAGE = Path(__file__).resolve().parent


def package_dir() -> Path:
    """The folder of the package itself."""
    return _PACKAGE


def backends_dir() -> Path:
    """The folder of the package's own backend files, one `NAME.yaml` each."""
    return _find("backends")


def shim_dir() -> Path:
    """The folder that `sd-mock` puts on `PYTHONPATH`; it holds the stand-in for torch."""
    return _find("shim")


def pipelines_dir() -> Path:
    """The folder of the plain diffusers scripts and of the embedded models (`tiny/`)."""
    return _find("pipelines")


def matrix_file() -> Path:
    """`matrix.yaml`: what the matrix measures and what the demo draws, on which backends."""
    return _find("matrix.yaml")


def backend_names() -> tuple[str, ...]:
    """The names that `SD_BACKEND` accepts besides `auto`, in alphabetical order.

    Raises:
        UsageError: `SD_BACKENDS_DIR` is no folder, or a file in it has the name of another backend.
    """
    names = {path.stem for path in backends_dir().glob("*.yaml")}
    if (folder := own_backends()) is not None:
        own = {path.stem for path in folder.glob("*.yaml")}
        if taken := sorted(own & (names | {"auto"})):
            raise UsageError(
                f"the name {taken[0]!r} is taken",
                where=str(folder / f"{taken[0]}.yaml"),
                why="sdbackends has a backend of that name, and results would not tell them apart",
                fix=f"give the file another name: my-{taken[0]}.yaml",
            )
        names |= own
    return tuple(sorted(names))


def backend_file(name: str) -> Path:
    """The file of one of `backend_names`."""
    path = backends_dir() / f"{name}.yaml"
    folder = own_backends()
    return path if folder is None or path.exists() else folder / path.name


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
        fix=f"did you mean {near[0]!r}?" if near else "`sdbackends backends` says which are ready",
    )


def _find(name: str) -> Path:
    # Inside the package first: a stray folder beside an installed wheel must not win.
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (path := folder / name).exists():
            return path
    raise SdError(
        f"{name} is missing from this installation of sdbackends",
        where=str(_PACKAGE),
        fix="install sdbackends again: pip install --force-reinstall sdbackends",
    )
