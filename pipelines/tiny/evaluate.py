"""Measures a trained pipeline on the 200 withheld scenes: `python evaluate.py sd taiyi`.

Generates one picture of every scene that training never saw, judges it, and prints how often
size, colour, shape, background and all four are right, and how wide the outlines are blurred
for small and for big shapes. The language follows from the pipeline's text encoder.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionPipeline
from judge import Verdict, judge
from PIL import Image
from prompts import chinese, english
from shapes import SIZES, Scene, withheld_scenes
from transformers import BertModel

HERE = Path(__file__).resolve().parent
BATCH = 25


@dataclass(frozen=True)
class Figures:
    """Shares of pictures that show what was asked; edge widths in pixels."""

    pictures: int
    size: float
    color: float
    shape: float
    background: float
    all: float
    shape_small: float
    shape_big: float
    edge_small: float
    edge_big: float


def evaluate(
    pipeline: StableDiffusionPipeline,
    scenes: Sequence[Scene],
    steps: int = 20,
    guidance: float = 7.5,
    seed: int = 0,
) -> tuple[Figures, list[Image.Image], list[Verdict]]:
    """The figures over the scenes, with the pictures and what was read from them."""
    word = chinese if isinstance(pipeline.text_encoder, BertModel) else english
    generator = torch.Generator().manual_seed(seed)
    pictures: list[Image.Image] = []
    for first in range(0, len(scenes), BATCH):
        pictures += pipeline(
            [word(scene) for scene in scenes[first : first + BATCH]],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generator,
        ).images
    verdicts = [judge(picture) for picture in pictures]
    return figures(scenes, verdicts), pictures, verdicts


def figures(scenes: Sequence[Scene], verdicts: Sequence[Verdict]) -> Figures:
    """Compare what was asked with what was read."""
    pairs = list(zip(scenes, verdicts, strict=True))

    def share(name: str, *sizes: str) -> float:
        right = [getattr(s, name) == getattr(v, name) for s, v in pairs if s.size in sizes]
        return round(sum(right) / max(len(right), 1), 4)

    def edge(size: str) -> float:
        widths = [v.edge_width for s, v in pairs if s.size == size and v.shape]
        return round(sum(widths) / max(len(widths), 1), 3)

    right = sum(scene == verdict.scene for scene, verdict in pairs) / len(pairs)
    parts = [share(name, *SIZES) for name in ("size", "color", "shape", "background")]
    apart = [share("shape", size) for size in SIZES]
    return Figures(len(pairs), *parts, right, *apart, *(edge(size) for size in SIZES))


def grid(pictures: Sequence[Image.Image], columns: int = 20) -> Image.Image:
    """All pictures on one sheet."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * width, index // columns * height))
    return sheet


def main() -> None:
    """Print one line of figures per pipeline, and every picture that shows something else."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("folders", nargs="*", default=["sd", "taiyi"], help="pipelines (default: sd taiyi)")
    add("--count", type=int, default=200, help="withheld scenes to draw (default: all 200)")
    add("--steps", type=int, default=20)
    add("--guidance", type=float, default=7.5)
    add("--seed", type=int, default=0)
    add("--scheduler", metavar="CLASS", help="a diffusers scheduler, instead of the saved one")
    add("--threads", type=int, default=0, help="torch threads (default: torch's choice)")
    add("--grid", type=Path, metavar="PNG", help="save all pictures on one sheet")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in options.folders:
        folder = Path(name) if Path(name).is_dir() else HERE / name
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
        if options.scheduler:
            scheduler = getattr(diffusers, options.scheduler)
            pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        scenes = withheld_scenes()[: options.count]
        result, pictures, verdicts = evaluate(
            pipeline, scenes, options.steps, options.guidance, options.seed
        )
        for scene, verdict in zip(scenes, verdicts, strict=True):
            if scene != verdict.scene:
                print(f"  asked {tuple(vars(scene).values())}, read {verdict}")
        print(json.dumps({"pipeline": folder.name, **asdict(result)}), flush=True)
        if options.grid:
            grid(pictures).save(options.grid.with_stem(f"{options.grid.stem}-{folder.name}"))


if __name__ == "__main__":
    main()
