"""Pipelines of every family with tiny random weights, built in code.

Importing this registers every family.
"""

from tests.families.models import stable_diffusion

__all__ = ["stable_diffusion"]
