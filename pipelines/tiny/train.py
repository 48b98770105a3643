"""Trains the two tiny pipelines from nothing: `python pipelines/tiny/train.py --help`.

Four stages, each of which reads what those before wrote: `vae` trains the autoencoder
(into sd/vae), `sd` a UNet and a CLIP text encoder for English prompts (into sd), `taiyi` a
BERT text encoder for Chinese prompts on top of that UNet, and then both together (into
taiyi), as the real Taiyi came from Stable Diffusion; `polish` sharpens the decoder that both
share. The same seed, thread count and machine
give the same weights. Uses a CUDA device when there is one.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from architecture import build_bert, build_clip, build_unet, build_vae, save_pipeline, save_vae
from autoencoder import Latents, Pool, encode_pool, polish_decoder, render_pool, train_vae
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusion import BertPrompter, ClipPrompter, Course, train_diffusion
from transformers import BertModel, CLIPTextModel
from vocabulary import build_bert_tokenizer, build_clip_tokenizer

HERE = Path(__file__).resolve().parent
STAGES = ("vae", "sd", "taiyi", "polish")


def main(arguments: list[str] | None = None) -> None:
    """Run the stages that the command line names."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    started = time.monotonic()
    print(f"rendering {options.copies} pictures of every training scene", flush=True)
    pool = render_pool(options.copies, options.seed)
    run = {"vae": run_vae, "sd": run_sd, "taiyi": run_taiyi, "polish": run_polish}
    for stage in STAGES:
        if stage in options.stages:
            torch.manual_seed(options.seed)
            run[stage](options, pool, device)
            print(f"{stage} done after {time.monotonic() - started:.0f} s", flush=True)


def run_vae(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Train the autoencoder into sd/vae."""
    vae = _trained_vae(options, device).requires_grad_(True) if options.go_on else build_vae()
    train_vae(vae, pool, options.vae_steps, options.vae_batch, device)
    save_vae(options.output / "sd" / "vae", vae)


def run_sd(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Train the English pipeline into sd."""
    folder = options.output / "sd"
    vae, latents = _encoded(options, pool, device)
    tokenizer = build_clip_tokenizer(folder / "tokenizer")
    text_encoder, unet = build_clip(tokenizer), build_unet()
    if options.go_on:
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
        unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    text_encoder.float().to(device)
    unet.float().to(device, memory_format=torch.channels_last)
    course = _course(options, "sd", options.sd_steps, peak=1e-3 if options.go_on else 1.5e-3)
    train_diffusion(
        unet,
        ClipPrompter(text_encoder, tokenizer),
        latents,
        course,
        save=lambda: save_pipeline(folder, vae, unet, text_encoder, tokenizer),
    )


def run_taiyi(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Train the Chinese pipeline into taiyi: the text encoder alone, then all of it."""
    folder = options.output / "taiyi"
    vae, latents = _encoded(options, pool, device)
    tokenizer = build_bert_tokenizer(folder / "tokenizer")
    text_encoder = build_bert(tokenizer)
    unet = UNet2DConditionModel.from_pretrained(options.output / "sd" / "unet")
    if options.go_on:
        text_encoder = BertModel.from_pretrained(folder / "text_encoder")
        unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    text_encoder.float().to(device)
    unet.float().to(device, memory_format=torch.channels_last)
    course = _course(options, "taiyi", options.taiyi_steps, peak=1e-3)
    train_diffusion(
        unet,
        BertPrompter(text_encoder, tokenizer),
        latents,
        replace(course, text_alone=0.15, unet_share=0.5),
        save=lambda: save_pipeline(folder, vae, unet, text_encoder, tokenizer),
    )


def run_polish(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Sharpen the decoder, for sd and for taiyi where it is there."""
    vae = _trained_vae(options, device)
    polish_decoder(vae, pool, options.polish_steps, options.vae_batch, device)
    for name in ("sd", "taiyi"):
        if (options.output / name / "model_index.json").exists():
            save_vae(options.output / name / "vae", vae)


def _course(options: argparse.Namespace, label: str, steps: int, peak: float) -> Course:
    return Course(label, steps, options.batch, peak, options.seed, options.save_every)


def _encoded(
    options: argparse.Namespace, pool: Pool, device: torch.device
) -> tuple[AutoencoderKL, Latents]:
    vae = _trained_vae(options, device)
    return vae, encode_pool(vae, pool, device)


def _trained_vae(options: argparse.Namespace, device: torch.device) -> AutoencoderKL:
    vae = AutoencoderKL.from_pretrained(options.output / "sd" / "vae").float().to(device)
    return vae.eval().requires_grad_(False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "stages",
        nargs="*",
        default=STAGES,
        metavar="STAGE",
        help="vae, sd, taiyi, polish (default: all)",
    )
    add("--output", type=Path, default=HERE, help="where sd/ and taiyi/ go (default: beside this)")
    add("--seed", type=int, default=0, help="seed of weights, pictures and noise (default: 0)")
    add("--threads", type=int, default=0, help="torch threads on a CPU (default: torch's choice)")
    add("--device", help="cuda or cpu (default: cuda where there is one)")
    add("--copies", type=int, default=32, help="pictures of every scene (default: 32)")
    add("--vae-steps", type=int, default=4000, help="steps of the autoencoder (default: 4000)")
    add("--go-on", action="store_true", help="train on from the weights that are there")
    add("--vae-batch", type=int, default=8, help="pictures a step of it (default: 8)")
    add("--sd-steps", type=int, default=2800, help="steps of sd (default: 2800)")
    add("--taiyi-steps", type=int, default=1700, help="steps of taiyi (default: 1700)")
    add("--polish-steps", type=int, default=4000, help="steps of the decoder (default: 4000)")
    add("--batch", type=int, default=64, help="pictures a step of sd and taiyi (default: 64)")
    add("--save-every", type=int, default=400, help="steps between interim saves (default: 400)")
    return parser


if __name__ == "__main__":
    main()
