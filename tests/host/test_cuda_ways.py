"""Every way in which scripts say "cuda" works on a machine without CUDA, on the CPU."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.usefixtures("no_cuda")
X = torch.ones(2)


@pytest.mark.parametrize(
    "make",
    [
        # A number is the GPU of that number.
        lambda: X.to(0),
        lambda: X.cuda(0),
        lambda: X.cuda(device="cuda:0", non_blocking=True),
        lambda: torch.zeros(2, device=0),
        lambda: torch.tensor([1.0], device=0),
        lambda: torch.zeros_like(X, device=0),
        lambda: X.new_zeros(2, device=0),
        lambda: torch.nn.Linear(2, 2, device=0).weight,
        lambda: torch.nn.Linear(2, 2).to(0).weight,
        # Typed names.
        lambda: torch.cuda.FloatTensor([1, 2]),
        lambda: torch.cuda.FloatTensor(2, 3),
        lambda: torch.cuda.HalfTensor(X.half()),
        lambda: torch.cuda.LongTensor([1]),
        lambda: X.type(torch.cuda.FloatTensor),
        lambda: X.type("torch.cuda.HalfTensor"),
        lambda: X.type(torch.cuda.LongTensor),
        # Formats, copies, other tensors, other makers.
        lambda: torch.ones(1, 2, 3, 4).cuda(memory_format=torch.channels_last),
        lambda: torch.ones(1, 2, 3, 4).to("cuda", memory_format=torch.channels_last),
        lambda: X.to("cuda", copy=True),
        lambda: X.to(torch.ones(1, device="cuda")),
        lambda: X.half().cuda(),
        lambda: torch.from_numpy(np.ones(2)).cuda(),
        lambda: torch.nn.Parameter(X).cuda(),
        lambda: torch.nn.utils.rnn.pack_sequence([X]).cuda().data,
        lambda: torch.nn.Linear(2, 2, device="meta").to_empty(device="cuda").weight,
        lambda: torch.hann_window(4, device="cuda"),
        lambda: torch.fft.fftfreq(4, device="cuda"),
        lambda: torch.sparse_coo_tensor([[0]], [1.0], (2,)).to("cuda"),
        lambda: torch.multinomial(X, 1, generator=torch.Generator("cuda").manual_seed(0)),
        # Pinned memory.
        lambda: torch.zeros(2, pin_memory=True),
        lambda: torch.empty(2, pin_memory=True).to("cuda", non_blocking=True),
        lambda: torch.tensor([1.0], pin_memory=True),
        lambda: next(iter(torch.utils.data.DataLoader([X], pin_memory=True))),
        # Wrappers.
        lambda: torch.nn.DataParallel(torch.nn.Linear(2, 2)).cuda()(X),
        lambda: torch.nn.DataParallel(torch.nn.Linear(2, 2), device_ids=[0])(X),
        lambda: torch.jit.script(torch.nn.Linear(2, 2)).cuda()(X),
    ],
)
def test_tensors_are_on_the_cpu(make: Any) -> None:
    made = make()
    assert made.device.type == "cpu" and not made.is_cuda and made.get_device() == -1


def test_typed_names_are_those_of_the_cpu() -> None:
    assert torch.cuda.HalfTensor(2).dtype is torch.cuda.HalfTensor.dtype is torch.float16
    assert X.type("torch.cuda.DoubleTensor").type() == "torch.DoubleTensor"
    assert isinstance(X.type(torch.cuda.FloatTensor), torch.cuda.FloatTensor)
    assert not isinstance(X, torch.cuda.LongTensor)
    assert X.type(torch.float64).dtype is torch.float64 and X.type() == "torch.FloatTensor"


@pytest.mark.parametrize("name", ["torch.cuda.DoubleTensor", torch.cuda.DoubleTensor])
def test_the_default_tensor_type(name: Any) -> None:
    torch.set_default_tensor_type(name)
    try:
        assert torch.zeros(1).dtype is torch.float64
    finally:
        torch.set_default_tensor_type(torch.FloatTensor)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0, torch.device("cuda")])
def test_default_devices(device: Any) -> None:
    torch.set_default_device(device)
    try:
        made = [torch.zeros(1), torch.tensor([1.0]), torch.arange(3), torch.nn.Linear(1, 1).weight]
    finally:
        torch.set_default_device(None)
    with torch.device("cuda"):
        made += [torch.zeros(1), torch.tensor([1.0]), torch.nn.Linear(1, 1).weight]
    assert {tensor.device.type for tensor in made} == {"cpu"}


def saved(thing: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "place",
    [
        lambda storage, location: storage.cuda(0),
        lambda storage, location: storage.cuda(),
        lambda storage, location: storage,
        "cuda",
        "cuda:0",
        torch.device("cuda"),
        torch.device("cuda", 1),
        {"cuda:0": "cuda:0"},
        {"cuda:1": "cuda:0", "cpu": "cuda:0"},
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_checkpoints(place: Any, weights_only: bool) -> None:
    loaded = torch.load(saved({"a": X}), map_location=place, weights_only=weights_only)
    assert loaded["a"].device.type == "cpu" and torch.equal(loaded["a"], X)


@pytest.mark.parametrize("place", [None, "cuda", lambda storage, location: storage.cuda()])
def test_a_checkpoint_that_was_saved_on_a_gpu(monkeypatch: pytest.MonkeyPatch, place: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        file = saved({"a": X})
    assert torch.equal(torch.load(file, map_location=place)["a"], X)


def test_storages() -> None:
    storage = X.untyped_storage()
    assert storage.cuda() is storage and storage.to(device="cuda").device.type == "cpu"


@pytest.mark.parametrize("place", [None, "cuda", torch.device("cuda:0"), "cpu"])
def test_scripted_files(place: Any) -> None:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    file.seek(0)
    assert torch.jit.load(file, map_location=place).to("cuda")(X).shape == (2,)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0])
def test_safetensors(tmp_path: Path, device: Any) -> None:
    safetensors = pytest.importorskip("safetensors")
    torch_files = pytest.importorskip("safetensors.torch")
    torch_files.save_file({"a": X}, tmp_path / "a.safetensors")
    assert torch.equal(torch_files.load_file(tmp_path / "a.safetensors", device=device)["a"], X)
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt", device=device) as file:
        assert torch.equal(file.get_tensor("a"), X)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("make", [torch.cuda.amp.GradScaler, lambda: torch.amp.GradScaler("cuda")])
def test_training_with_a_scaler(make: Any) -> None:
    model = torch.nn.Linear(2, 1).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = make()
    with torch.cuda.amp.autocast():
        loss = model(X.cuda()).sum()
    before = model.weight.clone()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert not torch.equal(model.weight, before)


@pytest.mark.parametrize(
    "do",
    [
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", False),
        lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
        lambda: setattr(torch.backends.cudnn, "benchmark", False),
        lambda: torch.backends.cuda.enable_flash_sdp(True),
        lambda: torch.cuda.manual_seed_all(0),
        lambda: torch.cuda.random.manual_seed(0),
        lambda: torch.cuda.seed_all(),
        lambda: torch.cuda.set_device("cuda:0"),
        lambda: torch.cuda.set_per_process_memory_fraction(0.5, 0),
        lambda: torch.cuda.memory.empty_cache(),
        lambda: torch.cuda.memory_stats(),
        lambda: torch.cuda.memory_summary(),
        lambda: torch.cuda.is_current_stream_capturing(),
        lambda: torch.cuda.current_stream().synchronize(),
        lambda: torch.cuda.default_generators[0].initial_seed(),
        lambda: torch.get_device_module("cuda").synchronize(),
        lambda: torch.cuda.temperature() + torch.cuda.utilization(),
        lambda: torch.cuda.get_device_properties(torch.device("cuda")).name,
        lambda: torch.cuda.get_device_capability("cuda:0"),
    ],
)
def test_settings_and_questions(do: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch.testing forbids such settings to the whole process, where another test has imported it.
    settings = torch.backends.flags_frozen.__globals__
    monkeypatch.setitem(settings, "__allow_nonbracketed_mutation_flag", True)
    do()


def test_contexts() -> None:
    stream, event = torch.cuda.Stream(), torch.cuda.Event(enable_timing=True)
    with torch.cuda.device(0), torch.cuda.device("cuda:0"), torch.cuda.device_of(X):
        event.record(stream)
    with torch.cuda.stream(stream), torch.random.fork_rng(devices=[0]):
        stream.wait_event(event)
    event.synchronize()
    assert event.query() and stream.query()
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        q = torch.ones(1, 1, 2, 2, device="cuda")
        assert torch.nn.functional.scaled_dot_product_attention(q, q, q).shape == q.shape


def enter_a_device() -> None:
    with torch.device("cuda"):
        pass


def test_a_second_session_notices_cuda_too(enable: Any) -> None:
    from sdbackends import session
    from sdbackends.host import cuda

    torch.zeros(1, device="cuda")
    session.close_all()
    for use in (
        lambda: torch.zeros(1, device="cuda"),
        lambda: torch.zeros_like(X, device="cuda:0"),
        enter_a_device,
        lambda: X.new_zeros(1, device="cuda"),
        lambda: torch.cuda.FloatTensor(1),
        lambda: torch.Generator("cuda"),
    ):
        with enable():
            assert not cuda.is_used()
            use()
            assert cuda.is_used()
