"""The tiny models' files import each other by plain name: their folder goes on `sys.path`."""

import sys
from pathlib import Path

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny"

if str(TINY) not in sys.path:
    sys.path.append(str(TINY))
