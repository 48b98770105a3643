"""What is drawn with the pipelines; importing this registers every case."""

from tests.conformance.families import models  # noqa: F401  (families before their cases)
from tests.conformance.families.cases import (
    adapters,
    controlnet,
    features,
    hooks,
    loading,
    memory,
    pipelines,
    plain,
    schedulers,
)

__all__ = [
    "adapters",
    "controlnet",
    "features",
    "hooks",
    "loading",
    "memory",
    "pipelines",
    "plain",
    "schedulers",
]
