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

from sdbackends.capture import size_limit
from sdbackends.capture.store import CaptureStore
from sdbackends.engines import inductor_layout
from sdbackends.engines.base import EngineContext
from sdbackends.engines.inductor import InductorEngine
from sdbackends.errors import BuildError, CaptureError, UsageError
from sdbackends.runtime.build import Builder
from sdbackends.runtime.program_cache import RoutedModel
from tests.engines import edits
from tests.engines.calls import ready


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return torch.nn.functional.silu(self.conv(x)) * scale


#: Edits of the kinds that differ for weights that are constants: counted, and not counted.
FROZEN = ("in place", "through data")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def assert_close(result, expected):
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def make(**options):
    return InductorEngine(EngineContext(options=options))


def routed(engine, **changes):
    """The engine behind Dynamo's front end; an error of its ends the call."""
    builder = Builder("it", "compile", engine, CaptureStore(Path("nowhere")))
    return RoutedModel(builder, **{"strict": True, **changes})


def run(engine, module, *args, **kwargs):
    return routed(engine)(module, args, kwargs)[0]


def program_of(engine, module):
    model = routed(engine)
    return lambda *args, **kwargs: model(module, args, kwargs)[0]


@pytest.mark.parametrize(
    "options", [{}, {"freezing": True}, {"channels_last": True}, {"dynamic": True}]
)
def test_every_option_computes_the_same(options):
    module, x = Small().eval(), torch.randn(1, 3, 8, 8)
    expected, before = module(x, scale=2.0), edits.picture_of(module)
    engine = make(**options)
    engine.prepare(module)
    torch.testing.assert_close(run(engine, module, x, scale=2.0), expected, rtol=1e-5, atol=1e-5)
    assert edits.picture_of(module) == before
    engine.close()
    assert edits.picture_of(module) == before


class Video(torch.nn.Module):
    """Convolutions over frames and over pictures, as the models of video have them."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = torch.nn.Conv3d(3, 4, 3, padding=1)
        self.picture = torch.nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.picture(self.frames(x).mean(2))


def test_channels_last_is_for_pictures_and_leaves_frames_alone(kernels):
    module, x = Video().eval(), torch.randn(1, 3, 2, 8, 8)
    expected = module(x)
    assert_close(run(make(channels_last=True), module, x), expected)
    assert [copy.live.shape for copy in kernels()] == [module.picture.weight.shape]


class Kernels(torch.nn.Module):
    """One kernel for two convolutions, one that is also a factor, one given, one a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.factor = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.point = torch.nn.Conv2d(4, 4, 1)
        self.register_buffer("held", torch.randn(4, 4, 3, 3))

    def forward(self, x: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        conv2d = torch.nn.functional.conv2d
        y = self.point(self.factor(self.twice(self.twice(x)))) * self.factor.weight.mean()
        return conv2d(conv2d(y, given, padding=1), weight=self.held, padding=1)


@pytest.fixture
def kernels():
    """The copies that programs hold; those of other tests are gone."""
    gc.collect()
    torch._dynamo.reset()
    gc.collect()
    before = set(map(id, inductor_layout._copies.values()))
    return lambda: [c for c in inductor_layout._copies.values() if id(c) not in before]


@pytest.mark.parametrize("options", [{}, {"dynamic": True}], ids=["static", "dynamic"])
def test_only_what_is_a_kernel_and_nothing_else_is_turned(options, kernels):
    module, x, given = Kernels().eval(), torch.randn(1, 4, 8, 8), torch.randn(4, 4, 3, 3)
    program = program_of(make(channels_last=True, **options), module)
    for size in (8, 10):
        x = torch.randn(1, 4, size, size)
        assert_close(program(x, given), module(x, given))
    turned = {copy.memory[0] for copy in kernels()}
    assert turned == {module.twice.weight.data_ptr(), module.held.data_ptr()}
    assert all(c.buffer.is_contiguous(memory_format=torch.channels_last) for c in kernels())


@pytest.mark.parametrize("options", [{"channels_last": True}, {"freezing": True}], ids=str)
@pytest.mark.parametrize("edit", [*edits.IN_PLACE, *edits.ELSEWHERE])
def test_an_edit_is_seen_by_the_next_call(edit, options):
    """`edits` says what is done: through handles taken before, or to where the weight stands."""
    if "freezing" in options and edit not in FROZEN:
        pytest.skip("each edit is a new build")
    module, x = ready(Small()), torch.randn(1, 3, 8, 8)
    handles = edits.Handles(module)
    program = program_of(make(**options), module)
    before = program(x)
    if edit in edits.IN_PLACE:
        edits.IN_PLACE[edit](handles, "conv.weight")
    else:
        edits.ELSEWHERE[edit](module, "conv")
    assert_close(program(x), module(x))
    assert (before - module(x)).abs().max() > 1e-2, "the edit must be seen at all"
    module.conv.weight.data.mul_(2)
    assert_close(program(x), module(x))


def test_programs_of_two_sizes_read_one_copy(kernels):
    module, engine = ready(Small()), make(channels_last=True)
    program = program_of(engine, module)
    for factor in (1, 3):
        module.conv.weight.data.mul_(factor)
        for size in (8, 12):
            x = torch.randn(1, 3, size, size)
            assert_close(program(x), module(x))
    (copy,) = kernels()
    assert copy.writes == 2


def test_a_model_made_in_inference_mode():
    with torch.inference_mode():
        module, x = ready(Small()), torch.randn(1, 3, 8, 8)
        program = program_of(make(channels_last=True), module)
        assert_close(program(x), module(x))
        module.conv.weight.mul_(2)
        assert_close(program(x), module(x))


def test_a_model_that_cannot_be_prepared_is_refused_at_every_call():
    module, program = Small().eval(), routed(make(fused_qkv=True))
    module.fuse_qkv_projections = lambda: 1 / 0
    for _ in range(2):
        with pytest.raises(BuildError, match="ZeroDivisionError"):
            program(module, (torch.randn(1, 3, 8, 8),), {})


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


def test_a_program_in_python_whose_writing_was_cut_off_is_made_again(tmp_path, monkeypatch):
    from torch._inductor.utils import clear_caches

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    x = torch.ones(4, 4)
    run(make(), Wave().eval(), x)
    for damage in ("", "cut off", "def (", "undefined_name\n"):
        programs = [path for path in tmp_path.rglob("*.py") if "def call(" in path.read_text()]
        assert programs
        for program in programs:
            text = program.read_text()
            program.write_text(text[: len(text) // 2] if damage == "cut off" else damage)
        clear_caches()
        torch.testing.assert_close(run(make(), Wave().eval(), x), x.sin() * 0.8125)
        assert all("def call(" in program.read_text() for program in programs), damage


class RowByRow(torch.nn.Module):
    """A layer done row by row, as feed-forward chunking does it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([row.sin() for row in x.chunk(len(x))])


def test_what_unrolls_into_too_many_operations_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(size_limit, "LIMIT", 100)
    module = RowByRow().eval()
    program = program_of(make(), module)
    with pytest.raises(CaptureError, match="enable_forward_chunking"):
        program(torch.randn(200, 4))
    x = torch.randn(50, 4)
    torch.testing.assert_close(program(x), x.sin())


class Emptying(torch.nn.Module):
    def forward(self, x: torch.Tensor, residuals: list[torch.Tensor]) -> torch.Tensor:
        while residuals:
            x = x + residuals.pop(0)
        return x


def test_a_list_that_the_model_empties_is_empty_once(capsys):
    """It is run to build, to answer and to compare; diffusers' UNet does so with a T2I-Adapter."""
    module, x = Emptying().eval(), torch.zeros(2)
    program = routed(make(), verify=True)
    for _ in range(2):
        residuals = [x + 1, x + 2]
        result, _ = program(module, (x,), {"residuals": residuals})
        assert result.tolist() == [3, 3] and residuals == []
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

    def replay(*args):
        return (memory.add_(1),)

    monkeypatch.setattr(
        "torch._inductor.compile_fx.compile_fx", lambda graph, inputs, **options: replay
    )
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    module, x = Small().eval(), torch.randn(1, 3, 8, 8)
    program = make(mode=mode).compile(torch.fx.symbolic_trace(module), [x])
    first, second = (program(x)[0] for _ in range(2))
    assert first.tolist() == [1, 1, 1] and second.tolist() == [2, 2, 2] and len(begun) == 2


class Fusing(Small):
    """As diffusers' models, which can fuse the projections of their attentions."""

    fused = False

    def fuse_qkv_projections(self) -> None:
        self.fused = True

    def unfuse_qkv_projections(self) -> None:
        self.fused = False


def test_neither_a_program_nor_the_engine_keeps_a_model_alive(kernels):
    engine, module = make(channels_last=True, fused_qkv=True), Fusing().eval()
    engine.prepare(module)
    program = routed(engine)
    program(module, (torch.randn(1, 3, 8, 8),), {})
    assert module.fused and len(kernels()) == 1
    gone = [weakref.ref(module), *map(weakref.ref, module.parameters())]
    del module
    gc.collect()
    assert [one() for one in gone] == [None] * len(gone)
    program.close()
    gc.collect()
    assert not kernels(), "the copies go with the programs"
    engine.close()


def test_what_was_fused_is_as_it_was_after_close():
    engine, module = make(fused_qkv=True), Fusing().eval()
    engine.prepare(module)
    assert module.fused
    engine.close()
    assert not module.fused


def test_programs_of_many_sizes_do_not_fall_back_to_eager():
    """Dynamo gives up on a function after eight recompilations; a model has one of its own."""
    module, program = Small().eval(), routed(make())
    for size in range(4, 16):
        _, call = program(module, (torch.randn(1, 3, size, size),), {})
        assert (call.traced, call.ran, call.reasons) == (1, 1, [])


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
