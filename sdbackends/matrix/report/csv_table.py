"""`report.csv`: one line for each cell with every figure, unrounded, for a spreadsheet.

A text that a spreadsheet would take for a formula has a quote before it; figures never are text.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from typing import Any

from sdbackends.matrix.report.rows import Row, device_of


def csv_text(rows: Sequence[Row]) -> str:
    """Empty fields where a figure was not measured; never a zero in its place."""
    file = io.StringIO(newline="")
    lines = [{name: _no_formula(it) for name, it in _record(row).items()} for row in rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # A lone CR is not put into quotes, and a spreadsheet begins a new line there.
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    # Spreadsheets take the full-width forms of these characters as well.
    begins = unicodedata.normalize("NFKC", value[:1])
    return f"'{value}" if begins in tuple("=+-@\t\n") else value


def _record(row: Row) -> dict[str, Any]:
    cell, result, machine = row.cell, row.result, row.run.machine
    return {
        "machine": machine.name,
        "chip": device_of(row.run, cell.device),
        "started": row.run.started,
        "commit": row.run.commit,
        "pipeline": cell.pipeline,
        "model": cell.model,
        "backend": cell.backend,
        "precision": cell.precision,
        "height": cell.size[0],
        "width": cell.size[1],
        "batch": cell.batch,
        "steps": cell.steps,
        "scheduler": cell.scheduler,
        "device": cell.device,
        "outcome": result.outcome,
        "reason": result.reason,
        "busy": result.busy,
        **_speed(row),
        **_agreement(row),
        "importing_s": result.timings.importing,
        "loading_s": result.timings.loading,
        "capture_s": result.timings.capture,
        "build_cold_s": result.timings.build_cold,
        "build_cached_s": result.timings.build_cached,
        "first_image_s": result.timings.first_image,
        "peak_rss_bytes": result.memory.peak_rss,
        "peak_gpu_bytes": result.memory.peak_gpu,
        "weights_bytes": result.memory.weights,
        "command": result.command,
        "script": result.script,
    }


def _speed(row: Row) -> dict[str, Any]:
    figures, image = row.figures, row.image
    ratio = figures.ratio
    return {
        "loop_its": figures.loop_rate,
        "end_to_end_its": figures.end_to_end_rate,
        "images_per_minute": figures.images_per_minute,
        "ratio": ratio and ratio.value,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "p50_s": image and image.p50,
        "p90_s": image and image.p90,
        "p99_s": image and image.p99,
        "samples": image and image.count,
        **{f"{part}_p50_s": _p50(row, part) for part in ("encode", "step", "decode")},
        **{f"{part}_share": _share(row, part) for part in ("encode", "step", "decode")},
    }


def _agreement(row: Row) -> dict[str, Any]:
    found = row.result.agreement
    return {
        "worst_part": row.worst_part,
        "image_max": found and found.image_max,
        "psnr_db": found and found.psnr,
        "ssim": found and found.ssim,
        "judged": found and found.judged,
    }


def _p50(row: Row, part: str) -> float | None:
    return next((it.p50 for name, it in row.figures.parts.items() if name == part), None)


def _share(row: Row, part: str) -> float | None:
    return next((it for name, it in row.figures.shares.items() if name == part), None)
