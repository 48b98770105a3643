"""One cell and one run with round figures, for tests that change a thing or two about them."""

from __future__ import annotations

from typing import Any

from sdbackends.matrix.results import Ceilings, Cell, CellResult, Machine, Run, Timings, Tolerance

TOLERANCE = Tolerance(part_max_relative=1e-3, image_max=3, min_psnr=45, reason="sums")


def cell(**other: Any) -> Cell:
    fields = {
        "pipeline": "stable_diffusion",
        "backend": "jax",
        "precision": "fp32",
        "size": (64, 64),
        "batch": 1,
        "steps": 20,
        "scheduler": "ddim",
        "device": "cpu",
        "model": "embedded",
    }
    return Cell(**{**fields, **other})


def result(speed: float = 1.0, **other: Any) -> CellResult:
    """A cell that is `speed` times as fast as its reference, with 2% of noise in both."""
    noise = (1.0, 0.99, 1.02, 0.98, 1.01)
    fields: dict[str, Any] = {
        "cell": cell(),
        "outcome": "ok",
        "timings": Timings(images=tuple(2.0 / speed * one for one in noise)),
        "interleaved": tuple(2.0 * one for one in reversed(noise)),
    }
    return CellResult(**{**fields, **other})


def machine(**other: Any) -> Machine:
    fields: dict[str, Any] = {
        "name": "zen5-4c",
        "system": "Linux",
        "python": "3.11.9",
        "cpu": "AMD Zen 5",
        "cores": 4,
        "threads": 4,
        "memory_bytes": 1 << 34,
    }
    return Machine(**{**fields, **other})


def run(*results: CellResult, **other: Any) -> Run:
    fields: dict[str, Any] = {
        "started": "2026-11-20T10:00:00Z",
        "commit": "0123abc",
        "quick": True,
        "machine": machine(),
        "ceilings": Ceilings(),
        "reference": "torch",
        "tolerances": {"fp32": TOLERANCE},
        "cells": results,
    }
    return Run(**{**fields, **other})
