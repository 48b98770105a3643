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
from pathlib import Path

import torch
from architecture import build_bert, build_clip, build_unet, save_pipeline
from autoencoder import Latents, Pool, encode_pool, polish_decoder, render_pool, train_vae
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusion import BertPrompter, ClipPrompter, train_diffusion
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
    vae = train_vae(pool, options.vae_steps, options.vae_batch, device)
    vae.cpu().half().save_pretrained(options.output / "sd" / "vae")


def run_sd(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Train the English pipeline into sd."""
    folder = options.output / "sd"
    vae, latents = _encoded(options, pool, device)
    tokenizer = build_clip_tokenizer(folder / "tokenizer")
    text_encoder = build_clip(tokenizer).to(device)
    unet = build_unet().to(device, memory_format=torch.channels_last)
    train_diffusion(
        unet,
        ClipPrompter(text_encoder, tokenizer),
        latents,
        steps=options.sd_steps,
        batch=options.batch,
        peak=1.5e-3,
        unet_share=lambda progress: 1.0,
        save=lambda: save_pipeline(folder, vae, unet, text_encoder, tokenizer),
        save_every=options.save_every,
        seed=options.seed,
        label="sd",
    )


def run_taiyi(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Train the Chinese pipeline into taiyi: the text encoder alone, then all of it."""
    folder = options.output / "taiyi"
    vae, latents = _encoded(options, pool, device)
    tokenizer = build_bert_tokenizer(folder / "tokenizer")
    text_encoder = build_bert(tokenizer).to(device)
    trained = options.output / "sd" / "unet"
    unet = UNet2DConditionModel.from_pretrained(trained)
    unet = unet.float().to(device, memory_format=torch.channels_last)
    train_diffusion(
        unet,
        BertPrompter(text_encoder, tokenizer),
        latents,
        steps=options.taiyi_steps,
        batch=options.batch,
        peak=1e-3,
        unet_share=lambda progress: 0.0 if progress < 0.15 else 0.6,
        save=lambda: save_pipeline(folder, vae, unet, text_encoder, tokenizer),
        save_every=options.save_every,
        seed=options.seed + 1,
        label="taiyi",
    )


def run_polish(options: argparse.Namespace, pool: Pool, device: torch.device) -> None:
    """Sharpen the decoder, for sd and for taiyi where it is there."""
    vae = _trained_vae(options, device)
    polish_decoder(vae, pool, options.polish_steps, options.vae_batch, device)
    vae.cpu().half()
    for name in ("sd", "taiyi"):
        if (options.output / name / "model_index.json").exists():
            vae.save_pretrained(options.output / name / "vae")


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
    add("--vae-steps", type=int, default=1600, help="steps of the autoencoder (default: 1600)")
    add("--vae-batch", type=int, default=16, help="pictures a step of it (default: 16)")
    add("--sd-steps", type=int, default=2400, help="steps of sd (default: 2400)")
    add("--taiyi-steps", type=int, default=1200, help="steps of taiyi (default: 1200)")
    add("--polish-steps", type=int, default=800, help="steps of the decoder (default: 800)")
    add("--batch", type=int, default=64, help="pictures a step of sd and taiyi (default: 64)")
    add("--save-every", type=int, default=400, help="steps between interim saves (default: 400)")
    return parser


if __name__ == "__main__":
    main()
