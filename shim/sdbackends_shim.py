"""The one thing that `PYTHONPATH=<this folder>` adds to an interpreter: a finder for `torch`.

`install()` makes this folder invisible to further imports and puts a finder on `sys.meta_path`.
When the script imports torch, that finder answers with the real torch's own spec; its loader runs
the real torch and then lets `sdbackends.session` lay the stand-ins. Where sdbackends cannot
be imported the script gets plain torch and one line on stderr. Where `SD_BACKEND` names a host
(`oneflow-host`: another framework as torch) the answer is that host's torch. Written for any
Python 3, and with nothing imported but sys and os, because it runs before every script.
"""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def install(*entries):
    """Watch for torch in this interpreter, and hide this folder, also where it is one of `entries`.

    With a blind finder for the folder, every question "where is torch?" gets the real answer, also
    those that never pass our finder (pkgutil, editable installs, PathFinder asked directly).
    """
    for entry in sys.path:
        if isinstance(entry, str) and (entry in entries or os.path.abspath(entry) == FOLDER):
            sys.path_importer_cache[entry] = _Blind()
    if not any(isinstance(finder, TorchFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchFinder())


class _Blind:
    """A path entry finder that finds nothing."""

    def find_spec(self, fullname, target=None):
        return None


class TorchFinder:
    """Finds what the other finders find, and has the loader call sdbackends after it ran."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torch":
            return None
        host = _host()
        if host is not None:
            return host.host_spec()
        spec = _ask_the_others(self, fullname, path, target)
        # A target means importlib.reload(): sdbackends is active already.
        if spec is not None and spec.loader is not None and target is None:
            _run_before_and_after(spec.loader)
        return spec

    def find_distributions(self, context=None):
        """For importlib.metadata: a host's torch is installed too."""
        host = _host()
        return [] if host is None else host.host_distributions(context)


def _host():
    """What answers for torch in its place; None: torch does."""
    if "-host" not in os.environ.get("SD_BACKEND", "") or sys.version_info < (3, 10):
        return None
    try:
        from sdbackends import session
    except ImportError:
        return None
    return session


def _ask_the_others(self, fullname, path, target):
    for finder in list(sys.meta_path):
        if isinstance(finder, TorchFinder) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(fullname, path, target)
        if spec is not None and not (spec.origin or "").startswith(FOLDER + os.sep):
            return spec
    return None


def _run_before_and_after(loader):
    # On the instance, for the one call: spec, loader and their classes stay the real ones.
    def exec_module(module):
        del loader.exec_module
        entered = _enter_sdbackends()
        loader.exec_module(module)
        if entered is not None:
            entered()

    loader.exec_module = exec_module


def _enter_sdbackends():
    """What to call after the real torch; None: sdbackends is not to be had here."""
    try:
        if sys.version_info < (3, 10):
            raise ImportError("it needs Python 3.10 or newer")
        from sdbackends import session

        if os.environ.get("SD_MEASURE"):
            from sdbackends.matrix.measure import observe_sessions

            observe_sessions()
        return session.enter_script()
    except (ImportError, AttributeError) as why:  # the latter from an sdbackends of another version
        if not os.environ.get("SD_BACKEND", "").strip():
            return None
        line = "sdbackends: cannot be used by {0} ({1}): plain torch. Fix: {0} -m pip install {2}"
        package = os.path.dirname(FOLDER)
        here = os.path.isfile(os.path.join(package, "pyproject.toml"))
        line = line.format(sys.executable, why, "-e " + package if here else "sdbackends")
        if os.environ.get("SD_FALLBACK", "").strip().lower() == "error":
            raise ImportError(line) from why
        sys.stderr.write(line + "\n")
        return None
