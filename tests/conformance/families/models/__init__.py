"""Pipelines of every family with tiny random weights, built in code.

Importing this registers every family.
"""

from tests.conformance.families.models import (
    bilingual,
    diffusion_transformers,
    stable_diffusion,
    stable_diffusion_xl,
)

__all__ = ["bilingual", "diffusion_transformers", "stable_diffusion", "stable_diffusion_xl"]
