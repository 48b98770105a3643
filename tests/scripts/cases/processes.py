"""Models in several processes: forks, spawned workers, and scripts that share one cache folder."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import torch

from tests.scripts.models import X, applying, picture, small
from tests.scripts.registry import case

#: A forked child, and a new process, that take as long as this hang.
FORK_LIMIT_S, LIMIT_S = 30, 90


def in_fork(work: Any) -> Any:
    """What `work()` gives in a forked child; "hangs" or its exit code where it gives nothing."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=lambda: there.send(work().tolist()))
    child.start()
    there.close()
    try:
        if not here.poll(FORK_LIMIT_S):
            return "hangs"
        return torch.tensor(here.recv())
    except EOFError:
        child.join(10)
        return f"ended with {child.exitcode}"
    finally:
        child.kill()
        child.join()


def drawn_by_a_worker(factor: float) -> list[float]:
    torch.set_num_threads(1)
    return picture(small(), X * factor).flatten().tolist()


@case(alone=True)
def call_then_fork():
    model = small()
    torch.set_num_threads(1)
    first = picture(model)
    child = in_fork(lambda: picture(model))
    return (first, child, picture(model))


@case
def call_then_fork_for_another_size():
    model = small()
    torch.set_num_threads(1)
    first = picture(model)
    child = in_fork(lambda: picture(model, X.repeat(2, 1, 1, 1)))
    return (first, child, picture(model, X.repeat(2, 1, 1, 1)))


@case(alone=True)
def fork_before_the_first_call():
    model = small()
    torch.set_num_threads(1)
    child = in_fork(lambda: picture(model))
    return (child, picture(model))


@case
def fork_for_an_edited_model():
    model = small()
    torch.set_num_threads(1)
    first = picture(model)

    def work():
        with torch.no_grad():
            model.conv_in.weight.mul_(5)
        return picture(model)

    return (first, in_fork(work), picture(model))


@case
def two_forks_one_after_the_other():
    torch.set_num_threads(1)
    model = applying(lambda h: h * 5)
    first = picture(model)
    return (first, *(in_fork(lambda n=n: picture(model, X * n)) for n in (2, 3)))


@case
def data_loader_with_workers():
    """Training and evaluation scripts: the workers are forks of a process that called a model."""
    model = small()
    torch.set_num_threads(1)
    first = picture(model)
    data = torch.utils.data.TensorDataset(torch.arange(4.0))
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=1, timeout=FORK_LIMIT_S)
    batches = [batch[0] for batch in loader]
    return (first, *batches, picture(model))


@case
def fork_by_os():
    model = small()
    torch.set_num_threads(1)
    first = picture(model)
    child = os.fork()
    if child == 0:
        os._exit(0)
    code = os.waitpid(child, 0)[1]
    return (first, code, picture(model))


@case
def child_of_a_shell():
    model = small()
    first = picture(model)
    said = subprocess.run(["echo", "said"], capture_output=True, text=True, check=True).stdout
    return (first, said, picture(model))


@case
def spawned_workers():
    first = drawn_by_a_worker(1.0)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        results = list(pool.map(drawn_by_a_worker, [1.0, 2.0], timeout=LIMIT_S * 2))
    return (torch.tensor(first), *map(torch.tensor, results))


#: The second run of this is a script that changes three things; each prints one number.
SCRIPT = """
    import sys
    sys.path[:0] = [ROOT]
    import torch
    import torch.nn.functional as F
    from tests.scripts.models import X, picture, small, with_processor
    from diffusers import AutoencoderTiny

    def around(self, x, weight, bias):
        if self.padding != (0, 0):
            h, w = self.padding
            x = F.pad(x, (w, w, h, h), mode="circular")
        return F.conv2d(x, weight, bias, self.stride, 0, self.dilation, self.groups)

    def show(picture):
        print(round(float(picture.double().abs().sum()), 2))

    settings = {"a": {"b": 5.0 if CHANGED else 1.0}, "names": {"x", "y", "z"}}
    show(picture(with_processor(lambda: settings["a"]["b"] * len(settings["names"]))))
    real = F.silu
    if CHANGED:
        F.silu = lambda x: 5 * real(x)
    show(picture(small()))
    F.silu = real
    if CHANGED:
        torch.nn.Conv2d._conv_forward = around
    torch.manual_seed(0)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ).eval()
    with torch.no_grad():
        show(vae.decode(X).sample)
"""


def printed(text: str, hash_seed: int, **values: object) -> list[float] | str:
    """What a script prints in a process of its own, with this one's environment."""
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, textwrap.dedent(text)])],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return [float(line) for line in done.stdout.split()]


@case
def scripts_that_share_a_cache():
    """A usual script, one that patches, and the usual one again; their sets are ordered anew."""
    root = str(Path(__file__).parents[3])
    flags = enumerate((False, True, False))
    return [printed(SCRIPT, seed, ROOT=root, CHANGED=changed) for seed, changed in flags]
