"""The commands `sdbackends` and `sd-mock`.

Both entry points stand here; each imports its own half, so that `sd-mock` starts fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from sdbackends.errors import SdError


def main() -> None:
    """`sdbackends …`"""

    def command() -> None:
        from sdbackends.cli.app import app

        app(prog_name="sdbackends")

    _run("sdbackends", command)


def sd_mock() -> None:
    """`sd-mock …`"""

    def command() -> None:
        from sdbackends.cli.mock import app

        app(prog_name="sd-mock")

    _run("sd-mock", command)


def _run(name: str, command: Callable[[], None]) -> None:
    """An `SdError` ends in its message on stderr and its exit code, without a traceback."""
    try:
        command()
    except SdError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(error.exit_code)
