"""The stand-in that `import torch` finds where `sitecustomize` did not run (`python -S`, or
another sitecustomize ahead on the path): it removes itself and imports the real torch.
"""

import os
import sys

import sdbackends_shim

sdbackends_shim.install(os.path.dirname(__path__[0]))
del sys.modules[__name__]

import torch  # noqa: E402, F401
