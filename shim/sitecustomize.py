"""Runs at interpreter start: watch for torch, then give way to the sitecustomize found next.

The interpreter imports the first `sitecustomize` on its path. This one installs the finder, makes
its folder invisible, and imports the one that it hid; with none, the import fails in the way that
`site` expects and ignores.
"""

import sys

import sdbackends_shim

sdbackends_shim.install()
del sys.modules[__name__]

import sitecustomize  # noqa: E402, F401
