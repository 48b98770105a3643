"""oneflow dressed as torch: what a script sees where oneflow is installed and torch is not.

Two rules hold for every name:

1. A question gets the truth. `hasattr(torch, "xpu")`, `getattr(torch, "xpu", None)` and
   `from torch import xpu` behave as if the name had never been heard of.
2. A mention is not a use. `torch.fft.fftn`, written in an annotation, a default, a decorator, an
   `isinstance` or a list of bases, is a placeholder that stands for the missing name; calling it,
   or using it in any other way, raises `MissingOnHostError` with the name in it.

`names` answers which names are there; `registry` holds what is added to OneFlow; `dressed` makes
the modules; `session` applies it all to a process through patches, and undoes it.
Importing this package imports no oneflow.
"""

#: The torch that the host behaves as, for libraries that decide by version.
TORCH_VERSION = "2.6.0"
