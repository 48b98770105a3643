"""Import OpenVINO without its telemetry.

`import openvino` tells a server that it was imported, unless the user once opted out. A script that
is run with `SD_BACKEND=openvino` never asked for that. OpenVINO has a stand-in for machines without
the package `openvino_telemetry`, and takes it here. A script that imports OpenVINO itself, before,
keeps what it has.
"""

from __future__ import annotations

import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def _import_quietly() -> None:
    absent = object()
    before: Any = sys.modules.get(_TELEMETRY, absent)
    if before is absent:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import openvino.frontend.pytorch.fx_decoder  # noqa: F401
    finally:
        if before is absent:
            del sys.modules[_TELEMETRY]


_import_quietly()

import openvino as ov  # noqa: E402
from openvino import opset15 as opset  # noqa: E402
from openvino.frontend import FrontEndManager  # noqa: E402
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder  # noqa: E402

__all__ = ["FrontEndManager", "TorchFXPythonDecoder", "opset", "ov"]
