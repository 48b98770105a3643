"""The commands `sdbackends` and `sd-mock`.

Both entry points stand here; each imports its own half, so that `sd-mock` starts fast. Nothing is
imported outside of a function: Ctrl-C comes then, too, and can be caught in functions alone.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The exit code of what Ctrl-C ended, as shells have it.
_INTERRUPTED = 130


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

    try:
        _run("sd-mock", command)
    except BaseException as error:
        from sdbackends.cli import output

        failed = not isinstance(error, SystemExit) or error.code not in (0, None)
        if failed and not sys.stdout.isatty() and _is_evaluated(sys.argv[1:]):
            # Its exit code is lost in `eval "$(sd-mock …)"`; this fails in its place, so that a
            # script under `set -e` stops.
            output.try_to_write("false;\n")
        raise


def _is_evaluated(words: list[str]) -> bool:
    """Whether what sd-mock prints with these words is for a shell."""
    return not any(word.startswith(("--check", "--status")) for word in words)


def _run(name: str, command: Callable[[], None]) -> None:
    try:
        code = _code(name, command)
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write(f"{name}: interrupted\n")
        code = _INTERRUPTED
    sys.exit(code)


def _code(name: str, command: Callable[[], None]) -> str | int | None:
    """Run the command; its exit code.

    What a user or a machine can bring about ends in one message on stderr. A traceback is left for
    errors of ours.
    """
    import errno

    from sdbackends.cli import output
    from sdbackends.errors import SdError

    output.open_closed()
    code: str | int | None = 0
    try:
        command()
    except SystemExit as end:
        code = end.code
    except SdError as error:
        code = output.failed(name, str(error), error.exit_code)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            path = str(error.filename or "")[:80]
            code = output.failed(name, f"a path is too long for this system: {path}…", 2)
        elif error.errno in output.UNWRITABLE and error.filename is None:
            code = output.failed(name, f"cannot write: {error.strerror}", 1)
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            code = output.failed(name, f"{error.strerror}: {error.filename}", 1)
        else:
            raise
    return output.finish(name, code)
