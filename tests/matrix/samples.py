"""Made-up results that look like real ones: two machines, every outcome, pictures on the disk.

`write(folder)` lays them down as a run does, `results/MACHINE/DATE.json` with the pictures beside
it, and gives the paths. The figures are drawn from a seeded generator, so they never change.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from sdbackends.matrix.results import (
    Agreement,
    Ceilings,
    Cell,
    CellResult,
    Machine,
    MemoryUse,
    Outcome,
    Part,
    PictureDifference,
    Run,
    Timings,
    Tolerance,
)

STEPS = 20
PIPELINES = ("stable_diffusion", "taiyi", "img2img")
BACKENDS = ("torch", "compile", "jax", "oneflow", "openvino")
FLOPS: dict[Part, float] = {"encode": 26.6e9, "step": 1607e9, "decode": 2514e9}
TOLERANCES = {
    "fp32": Tolerance(
        part_max_relative=1e-3, image_max=4, min_psnr=40, reason="another order of sums"
    ),
    "bf16": Tolerance(
        part_max_relative=0.1, image_max=None, min_psnr=18, reason="8 bits of mantissa, 20 steps"
    ),
}


@dataclass(frozen=True)
class Place:
    """A machine, what it can do, and how many times faster than the reference each backend is."""

    machine: Machine
    ceilings: Ceilings
    device: str
    image_seconds: float
    speed: dict[str, float]


CPU = Place(
    Machine(
        name="zen5-4c",
        system="Linux 6.1 x86_64",
        python="3.11.9",
        cpu="AMD EPYC 9R45",
        cores=4,
        threads=1,
        memory_bytes=24 << 30,
        clock_mhz=3700,
    ),
    Ceilings(matmul={"fp32": 292e9, "bf16": 1.6e12}, conv={"fp32": 911e9, "bf16": 1.94e12}),
    "cpu",
    102.0,
    {"torch": 1.0, "compile": 1.25, "jax": 1.42, "oneflow": 0.3, "openvino": 2.1},
)
GPU = Place(
    Machine(
        name="h100",
        system="Linux 5.15 x86_64",
        python="3.12.1",
        cpu="Intel Xeon Platinum 8481C",
        cores=16,
        threads=16,
        memory_bytes=128 << 30,
        gpu="NVIDIA H100 80GB HBM3",
        gpu_memory_bytes=80 << 30,
        driver="570.86",
    ),
    Ceilings(matmul={"cuda/fp32": 410e12, "cuda/bf16": 690e12}, copy_bytes=2.6e12),
    "cuda",
    1.31,
    {"torch": 1.0, "compile": 1.62, "jax": 1.35},
)
FAILURES: dict[tuple[str, str, str, str], tuple[Outcome, str]] = {
    ("zen5-4c", "img2img", "jax", "fp32"): (
        "wrong",
        "the picture has NaN or is all black",
    ),
    ("zen5-4c", "taiyi", "openvino", "fp32"): (
        "wrong",
        "unet: 0.021 of the largest value, 0.001 is allowed for fp32",
    ),
    ("zen5-4c", "taiyi", "oneflow", "fp32"): ("slow-limit", "not done after 600 s"),
    ("zen5-4c", "img2img", "oneflow", "fp32"): (
        "out-of-memory",
        "18.2 GB asked for, 16 GB are the limit",
    ),
    ("zen5-4c", "stable_diffusion", "oneflow", "fp32"): (
        "crashed",
        "it ended by signal 6: F0420 \"Check failed: <dim> == 4 & 'group_norm'\"",
    ),
}
NOT_ON_GPU = "its packages are not in this environment"


def runs(folder: Path) -> list[tuple[Path, Run]]:
    """A run on each of the two machines, with where its JSON belongs; pictures are written."""
    return [_run(CPU, folder / "zen5-4c", 1), _run(GPU, folder / "h100", 2)]


def write(folder: Path) -> list[Path]:
    """Both runs as files; their paths."""
    paths = []
    for path, run in runs(folder):
        path.write_text(run.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
        paths.append(path)
    return paths


def result(folder: Path, place: Place, cell: Cell, numbers: random.Random) -> CellResult:
    """One cell's result, with its picture under `folder`."""
    key = (place.machine.name, cell.pipeline, cell.backend, cell.precision)
    command = f"sdbackends matrix --quick --cell '{cell.id}'"
    if cell.backend not in place.speed:
        return CellResult(cell=cell, outcome="not-installed", reason=NOT_ON_GPU, command=command)
    if cell.backend == "oneflow" and cell.precision != "fp32":
        why = "oneflow has no bf16 on a CPU"
        return CellResult(cell=cell, outcome="unsupported", reason=why, command=command)
    outcome, reason = FAILURES.get(key, ("ok", ""))
    if outcome not in ("ok", "wrong"):
        done = CellResult(
            cell=cell, outcome=outcome, reason=reason, command=command, load=(0.4, 1.1)
        )
        return done.model_copy(update={"seconds": 600.0})
    seconds = place.image_seconds / place.speed[cell.backend]
    seconds /= 1.0 if cell.precision == "fp32" else 2.1
    black = "black" in reason
    _picture(folder / _picture_name(cell), 0 if black else _noise(cell, outcome), black)
    return CellResult(
        cell=cell,
        outcome=outcome,
        reason=reason,
        timings=_timings(cell, seconds, numbers),
        interleaved=tuple(
            seconds * place.speed[cell.backend] * numbers.uniform(0.99, 1.03) for _ in range(7)
        ),
        memory=MemoryUse(
            peak_rss=int(6.1e9 * numbers.uniform(0.8, 1.4)),
            peak_gpu=int(4.2e9 * numbers.uniform(0.8, 1.4)) if place.device == "cuda" else None,
            weights=4_267_000_000 // (1 if cell.precision == "fp32" else 2),
        ),
        flops=FLOPS,
        agreement=None
        if (cell.backend, cell.precision) == ("torch", "fp32")
        else _agreement(cell, outcome, black),
        load=(0.3, 1.2),
        busy=cell.backend == "compile" and cell.pipeline == "img2img",
        versions={"torch": "2.13.0", "diffusers": "0.42.1", cell.backend: "1.0"},
        picture=_picture_name(cell),
        command=command,
        script=f"sdbackends run --backend {cell.backend} pipelines/{cell.pipeline}.py",
        seconds=seconds * 9,
    )


def _run(place: Place, folder: Path, seed: int) -> tuple[Path, Run]:
    numbers = random.Random(seed)
    cells = tuple(
        result(folder, place, _cell(place, pipeline, backend, precision), numbers)
        for pipeline in PIPELINES
        for precision in ("fp32", "bf16")
        for backend in BACKENDS
    )
    run = Run(
        started=f"2026-11-2{seed}T06:30:00Z",
        commit="0123456789abcdef",
        quick=True,
        machine=place.machine,
        ceilings=place.ceilings,
        reference="torch",
        tolerances=TOLERANCES,
        cells=cells,
    )
    return folder / f"2026-11-2{seed}.json", run


def _cell(place: Place, pipeline: str, backend: str, precision: str) -> Cell:
    return Cell.model_validate(
        {
            "pipeline": pipeline,
            "backend": backend,
            "precision": precision,
            "size": (64, 64),
            "batch": 1,
            "steps": STEPS,
            "scheduler": "ddim",
            "device": place.device,
            "model": "embedded",
        }
    )


def _timings(cell: Cell, seconds: float, numbers: random.Random) -> Timings:
    repeats = 7
    shares: dict[Part, tuple[float, int]] = {
        "encode": (0.002, 1),
        "step": (0.93 / cell.steps, cell.steps),
        "decode": (0.05, 1),
    }
    building = {"torch": 0.0, "jax": 7.4}.get(cell.backend, 52.0)
    return Timings(
        importing=2.1,
        loading=1.3,
        capture=building / 2 if building else None,
        build_cold=building,
        build_cached=building / 9,
        first_image=seconds * 1.2,
        images=tuple(seconds * numbers.uniform(0.98, 1.05) for _ in range(repeats)),
        parts={
            part: tuple(
                seconds * share * numbers.uniform(0.98, 1.05) for _ in range(calls * repeats)
            )
            for part, (share, calls) in shares.items()
        },
    )


def _agreement(cell: Cell, outcome: Outcome, black: bool) -> Agreement:
    if cell.backend == "torch" and cell.precision == "fp32":
        return Agreement()
    error = {"fp32": 2e-6, "bf16": 1.4e-2}[cell.precision] * len(cell.backend) / 5
    error = 0.021 if outcome == "wrong" else error
    parts = {
        name: PictureDifference(max_relative=error * more, relative_l2=error * more / 3)
        for name, more in (("text_encoder", 0.3), ("unet", 1.0), ("vae", 0.6))
    }
    if black:
        return Agreement(parts=parts, image_max=255, psnr=4.1, ssim=0.02, judged=0.0)
    if outcome == "wrong":
        return Agreement(parts=parts, image_max=61, psnr=27.3, ssim=0.91, judged=0.75)
    if cell.precision == "fp32":
        return Agreement(parts=parts, image_max=1, psnr=68.2, ssim=0.9999, judged=1.0)
    return Agreement(parts=parts, image_max=19, psnr=41.0, ssim=0.992, judged=1.0)


def _noise(cell: Cell, outcome: Outcome) -> int:
    if cell.backend == "torch" and cell.precision == "fp32":
        return 0
    return 60 if outcome == "wrong" else 1 if cell.precision == "fp32" else 19


def _picture_name(cell: Cell) -> str:
    return f"pictures/{cell.pipeline}-{cell.backend}-{cell.precision}.png"


def _picture(path: Path, noise: int, black: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (64, 64), "black" if black else "#2050c8")
    if not black:
        ImageDraw.Draw(picture).ellipse((14, 14, 50, 50), "#d02018")
    numbers = random.Random(noise)
    for _ in range(400 if noise else 0):
        spot = (numbers.randrange(64), numbers.randrange(64))
        pixel = picture.getpixel(spot)
        assert isinstance(pixel, tuple)
        moved = tuple(min(255, value + numbers.randint(0, noise)) for value in pixel)
        picture.putpixel(spot, moved)
    picture.save(path)
