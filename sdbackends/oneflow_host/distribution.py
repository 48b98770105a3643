"""The metadata of an installed torch, of the version that the host behaves as."""

from __future__ import annotations

from importlib.metadata import Distribution
from typing import Any

from sdbackends.oneflow_host import TORCH_VERSION

_FILES = {
    "METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {TORCH_VERSION}\n",
    "top_level.txt": "torch\n",
}


class TorchDistribution(Distribution):
    """Two files, and none on the disk."""

    def read_text(self, filename: str) -> str | None:
        return _FILES.get(filename)

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"torch is oneflow here: there is no file {path}")
