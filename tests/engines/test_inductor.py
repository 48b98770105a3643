"""torch.compile as an engine: options, recompilation said aloud, programs that let models go."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from sdbackends.artifacts import CaptureStore
from sdbackends.build import Builder
from sdbackends.capture import unrolling
from sdbackends.engines.base import EngineContext
from sdbackends.engines.inductor import InductorEngine
from sdbackends.errors import BuildError, CaptureError, UsageError
from sdbackends.programs import RoutedModel


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return torch.nn.functional.silu(self.conv(x)) * scale


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def make(**options):
    return InductorEngine(EngineContext(options=options))


def run(engine, module, *args, **kwargs):
    return engine.build_module(module.forward)(module.forward, args, kwargs)


@pytest.mark.parametrize(
    "options", [{}, {"freezing": True}, {"channels_last": True}, {"dynamic": True}]
)
def test_every_option_computes_the_same(options):
    module, x = Small().eval(), torch.randn(1, 3, 8, 8)
    expected = module(x, scale=2.0)
    engine = make(**options)
    engine.prepare(module)
    torch.testing.assert_close(run(engine, module, x, scale=2.0), expected, rtol=1e-5, atol=1e-5)
    engine.close()
    assert module.conv.weight.is_contiguous()


class Video(torch.nn.Module):
    """Convolutions over frames and over pictures, as the models of video have them."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = torch.nn.Conv3d(3, 4, 3, padding=1)
        self.picture = torch.nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.picture(self.frames(x).mean(2))


def test_channels_last_is_for_pictures_and_leaves_frames_alone():
    module, x = Video().eval(), torch.randn(1, 3, 2, 8, 8)
    expected = module(x)
    engine = make(channels_last=True)
    engine.prepare(module)
    assert module.picture.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(run(engine, module, x), expected, rtol=1e-5, atol=1e-5)
    engine.close()
    assert all(weight.is_contiguous() for weight in module.parameters())


def test_a_model_that_cannot_be_prepared_is_refused_at_every_call(tmp_path):
    module, engine = Small().eval(), make(fused_qkv=True)
    module.fuse_qkv_projections = lambda: 1 / 0
    routed = RoutedModel(Builder("it", "compile", engine, CaptureStore(tmp_path)))
    for _ in range(2):
        with pytest.raises(BuildError, match="ZeroDivisionError"):
            routed(module, module.forward, (torch.randn(1, 3, 8, 8),), {})


class Wave(torch.nn.Module):
    """No other test has this kernel: what a process has loaded once it does not load again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin() * 0.8125


IN_ANOTHER_PROCESS = """
import torch
from tests.engines.test_inductor import Wave, make, run
run(make(), Wave().eval(), torch.ones(4, 4))
"""


def test_a_library_whose_writing_was_cut_off_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], check=True, cwd=root)
    libraries = list(tmp_path.rglob("*.main.so"))
    assert libraries
    for library in libraries:
        os.truncate(library, 0)
    x = torch.ones(4, 4)
    torch.testing.assert_close(run(make(), Wave().eval(), x), x.sin() * 0.8125)
    assert all(library.stat().st_size for library in libraries)


class RowByRow(torch.nn.Module):
    """A layer done row by row, as feed-forward chunking does it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([row.sin() for row in x.chunk(len(x))])


def test_what_unrolls_into_too_many_operations_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(unrolling, "LIMIT", 100)
    module = RowByRow().eval()
    routed = RoutedModel(Builder("it", "compile", make(), CaptureStore(tmp_path)))
    with pytest.raises(CaptureError, match="enable_forward_chunking"):
        routed(module, module.forward, (torch.randn(200, 4),), {})
    x = torch.randn(50, 4)
    torch.testing.assert_close(routed(module, module.forward, (x,), {}), x.sin())


class Emptying(torch.nn.Module):
    def forward(self, x: torch.Tensor, residuals: list[torch.Tensor]) -> torch.Tensor:
        while residuals:
            x = x + residuals.pop(0)
        return x


def test_a_list_that_the_model_empties_is_whole_at_every_run(tmp_path, capsys):
    """It is run to build, to answer and to compare; diffusers' UNet does so with a T2I-Adapter."""
    module, x = Emptying().eval(), torch.zeros(2)
    routed = RoutedModel(Builder("it", "compile", make(), CaptureStore(tmp_path)), verify=True)
    for _ in range(2):
        result = routed(module, module.forward, (x,), {"residuals": [x + 1, x + 2]})
        assert result.tolist() == [3, 3]
    assert "against eager torch: max 0.00e+00" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"speed": 1}, "no option 'speed'"),
        ({"mode": "fast"}, "'max-autotune'"),
        ({"freezing": 1}, "True"),
    ],
)
def test_an_unknown_option_is_refused_with_what_is_accepted(options, said):
    with pytest.raises(UsageError, match=said):
        make(**options)


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_results_outlive_the_memory_of_a_recorded_graph(mode, monkeypatch):
    """On a GPU each replay of a CUDA graph writes into the memory of the one before."""
    memory, begun = torch.zeros(3), []

    def replay(call, args, kwargs):
        return {"sample": memory.add_(1)}

    monkeypatch.setattr(torch, "compile", lambda function, **options: replay)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    program = make(mode=mode).build_module(None)
    first, second = (program(None, (), {})["sample"] for _ in range(2))
    assert first.tolist() == [1, 1, 1] and second.tolist() == [2, 2, 2] and len(begun) == 2


def test_a_program_does_not_keep_its_model_alive():
    engine, module = make(), Small().eval()
    program = engine.build_module(module.forward)
    program(module.forward, (torch.randn(1, 3, 8, 8),), {})
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None
    assert program is not None


def test_programs_of_many_sizes_do_not_fall_back_to_eager():
    """Dynamo gives up on a function after eight recompilations; a program has one of its own."""
    engine, module = make(), Small().eval()
    for size in range(4, 16):
        x = torch.randn(1, 3, size, size)
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        run(engine, module, x)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1


def test_the_cache_folder_is_ours_while_the_engine_lives(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    engine = InductorEngine(EngineContext(cache_dir=tmp_path))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    engine.close()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_a_cache_folder_of_the_users_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/somewhere/else")
    InductorEngine(EngineContext(cache_dir=tmp_path)).close()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/somewhere/else"
