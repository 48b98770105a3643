"""Trains the picture half of a pipeline: an AutoencoderKL on rendered scenes.

`render_pool` draws the pictures that both halves train on; `train_vae` trains an autoencoder
and sets its `scaling_factor` so that the latents have a spread of one; `encode_pool` turns
the pool into the latents that the UNet trains on; `polish_decoder` sharpens the decoder
alone, which changes no latent and so may be done after the UNet is trained.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from schedule import learning_rate, set_learning_rate
from shapes import Scene, jitter, render, training_scenes
from torch import Tensor
from tqdm import trange

LEARNING_RATE = 7e-4
KL_WEIGHT = 2e-6
EDGE_WEIGHT = 1.0
SLACK = 1.5  # of the polished decoder's noise against the posterior's


@dataclass(frozen=True)
class Pool:
    """Pictures of every training scene: bytes of shape (scenes, copies, 3, 64, 64)."""

    scenes: list[Scene]
    pictures: Tensor


@dataclass(frozen=True)
class Latents:
    """A pool's posterior means and spreads, scaled: (scenes, copies, 4, 8, 8) each."""

    scenes: list[Scene]
    mean: Tensor
    std: Tensor


def render_pool(copies: int, seed: int) -> Pool:
    """Render every training scene `copies` times at jittered places."""
    rng = np.random.default_rng(seed)
    scenes = training_scenes()
    pictures = [render(scene, jitter(rng)) for scene in scenes for _ in range(copies)]
    bytes_ = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Pool(scenes, bytes_.unflatten(0, (len(scenes), copies)))


def train_vae(vae: AutoencoderKL, pool: Pool, steps: int, batch: int, device: torch.device) -> None:
    """Train in place with reconstruction, edge and KL losses, and set the scaling factor."""
    vae.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(vae.parameters(), LEARNING_RATE, fused=True)
    pictures = pool.pictures.flatten(0, 1)
    odds = _odds(pool)
    bar = trange(steps, desc="vae", mininterval=5)
    for step in bar:
        set_learning_rate(optimizer, learning_rate(step, steps, LEARNING_RATE))
        chosen = torch.multinomial(odds, batch)
        x = _floats(pictures[chosen], device)
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
        loss = _rebuilt_loss(y, x) + KL_WEIGHT * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            bar.set_postfix(mse=f"{F.mse_loss(y.detach(), x).item():.5f}", refresh=False)
    vae.eval().requires_grad_(False)
    _measure_scale(vae, pictures, device)


def polish_decoder(
    vae: AutoencoderKL, pool: Pool, steps: int, batch: int, device: torch.device
) -> None:
    """Train the decoder on, in place, against latents that stay as they are but for more noise
    and some stretch, as a UNet's latents have under guidance."""
    latents = encode_pool(vae, pool, device)
    mean, std = latents.mean.flatten(0, 1), latents.std.flatten(0, 1)
    pictures = pool.pictures.flatten(0, 1)
    odds = _odds(pool)
    weights = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    vae.to(memory_format=torch.channels_last)
    vae.decoder.train()
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, LEARNING_RATE, fused=True)
    bar = trange(steps, desc="polish", mininterval=5)
    for step in bar:
        set_learning_rate(optimizer, learning_rate(step, steps, LEARNING_RATE))
        chosen = torch.multinomial(odds, batch)
        x = _floats(pictures[chosen], device)
        noise = SLACK * std[chosen] * torch.randn(mean[chosen].shape).to(device)
        stretch = 0.9 + 0.3 * torch.rand(batch, 1, 1, 1).to(device)
        y = vae.decode((mean[chosen] * stretch + noise) / vae.config.scaling_factor).sample
        loss = _rebuilt_loss(y, x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 25 == 0:
            bar.set_postfix(mse=f"{F.mse_loss(y.detach(), x).item():.5f}", refresh=False)
    vae.eval().requires_grad_(False)


@torch.no_grad()
def encode_pool(vae: AutoencoderKL, pool: Pool, device: torch.device) -> Latents:
    """Encode every picture of the pool once."""
    means, stds = [], []
    for pictures in pool.pictures.flatten(0, 1).split(64):
        posterior = vae.encode(_floats(pictures, device)).latent_dist
        means.append(posterior.mean)
        stds.append(posterior.std)
    shape, scale = pool.pictures.shape[:2], vae.config.scaling_factor
    mean, std = torch.cat(means) * scale, torch.cat(stds) * scale
    return Latents(pool.scenes, mean.unflatten(0, shape), std.unflatten(0, shape))


def _odds(pool: Pool) -> Tensor:
    """Small shapes are drawn twice as often as big ones: they fill less of a picture."""
    scenes = torch.tensor([2.0 if scene.size == "small" else 1.0 for scene in pool.scenes])
    return scenes.repeat_interleave(pool.pictures.shape[1])


def _floats(pictures: Tensor, device: torch.device) -> Tensor:
    x = pictures.to(device).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def _rebuilt_loss(y: Tensor, x: Tensor) -> Tensor:
    return F.l1_loss(y, x) + F.mse_loss(y, x) + EDGE_WEIGHT * _edge_loss(y, x)


def _edge_loss(y: Tensor, x: Tensor) -> Tensor:
    """Differences between neighbours must agree too: this is what keeps outlines crisp."""
    return F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))


@torch.no_grad()
def _measure_scale(vae: AutoencoderKL, pictures: Tensor, device: torch.device) -> None:
    some = pictures[torch.randperm(len(pictures))[:512]]
    means = [vae.encode(_floats(part, device)).latent_dist.mean for part in some.split(64)]
    vae.register_to_config(scaling_factor=1 / torch.cat(means).std().item())
