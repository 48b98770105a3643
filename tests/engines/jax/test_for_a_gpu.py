"""What is chosen for a GPU, on a machine without one: devices that only say what they are."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
import torch

from sdbackends.catalog import requirements
from sdbackends.engines.jax import device, dlpack, streams
from sdbackends.engines.jax import engine as jax_engine
from sdbackends.engines.jax.engine import JaxEngine
from sdbackends.engines.jax.ops.attention import _library_takes
from sdbackends.engines.jax.options import JaxOptions, widest_head_of
from sdbackends.errors import RunError
from tests.engines.calls import Call, rand, ready
from tests.engines.programs import built, worst

CPU = SimpleNamespace(platform="cpu")
HOPPER = SimpleNamespace(platform="gpu", compute_capability="9.0")
BLACKWELL = SimpleNamespace(platform="gpu", compute_capability="10.3")
AMPERE = SimpleNamespace(platform="gpu", compute_capability="8.6")


def takes(place: SimpleNamespace, rows: int, keys: int, width: int) -> bool:
    query, key = (jnp.zeros((2, 8, count, width), jnp.bfloat16) for count in (rows, keys))
    choices = JaxOptions.from_options({}, "gpu", widest_head_of(place))
    return _library_takes(query, key, key, None, choices)


@pytest.mark.parametrize(
    ("place", "widest"), [(CPU, 128), (AMPERE, 128), (HOPPER, 256), (BLACKWELL, 256)]
)
def test_the_widest_head_of_cudnn(place: SimpleNamespace, widest: int) -> None:
    assert widest_head_of(place) == widest
    assert takes(place, 64, 77, widest)
    assert not takes(place, 64, 77, widest + 8)


@pytest.mark.parametrize(("rows", "keys"), [(1, 1), (1, 77), (64, 1)])
def test_one_row_or_one_key_is_not_for_cudnn(rows: int, keys: int) -> None:
    assert not takes(HOPPER, rows, keys, 160)
    assert takes(HOPPER, rows + 1, keys + 1, 160)


@pytest.mark.parametrize(
    ("first", "best", "warned"), [(CPU, "cuda", True), (CPU, "cpu", False), (HOPPER, "cuda", False)]
)
def test_jax_on_the_cpu_beside_torch_on_the_gpu_is_said(
    first, best, warned, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(jax, "local_devices", lambda: [first])
    monkeypatch.setattr(requirements, "device", lambda: best)
    assert device.choose(None) is first
    said = capsys.readouterr().err
    assert ("the jax engine runs on the CPU; pip install" in said) == warned


class Streams:
    """A card whose JAX hands its stream out, or does not."""

    platform, local_hardware_id = "gpu", 0

    def __init__(self, handed_out: bool) -> None:
        self._handed_out = handed_out

    def get_stream_for_external_ready_events(self) -> int:
        if not self._handed_out:
            raise RuntimeError("UNIMPLEMENTED")
        return 7


def test_dlpack_orders_the_streams_where_jax_hands_its_own_out() -> None:
    assert streams.carried_by_dlpack(Streams(True))
    assert not streams.carried_by_dlpack(Streams(False))
    assert not streams.carried_by_dlpack(jax.devices("cpu")[0])


def test_a_call_is_ordered_by_inputs_that_are_all_on_the_card() -> None:
    there, here = (SimpleNamespace(device=torch.device(name)) for name in ("cuda:0", "cpu"))
    assert streams.ordered_by([there, there], Streams(True))
    assert not streams.ordered_by([there, here], Streams(True))
    assert not streams.ordered_by([], Streams(True))


@pytest.mark.parametrize("ordered", [True, False])
def test_the_host_waits_for_the_device_where_nothing_else_orders_it(
    ordered: bool, engine: JaxEngine, monkeypatch
) -> None:
    """Which waits a call has, on a CPU that is taken for a card."""
    waits: list[str] = []
    monkeypatch.setattr(jax_engine, "carried_by_dlpack", lambda device: ordered)
    monkeypatch.setattr(jax_engine, "wait_for_torch", lambda device: waits.append("torch"))
    call = Call(ready(torch.nn.Linear(4, 4)), (rand(2, 4),))
    _, program = built(engine, call)
    waits.clear()

    class Result:
        def __init__(self, array) -> None:
            self.array = array

        def block_until_ready(self) -> None:
            waits.append("jax")

    run = program._run
    monkeypatch.setattr(program, "_run", lambda *given: [Result(one) for one in run(*given)])
    monkeypatch.setattr(
        jax_engine,
        "to_torch",
        lambda result, device, dtype: dlpack.to_torch(result.array, device, dtype),
    )
    assert worst(program(call.tensors()), [call.eager()]) < 1e-6
    assert waits == ([] if ordered else ["torch", "jax"])


def test_integers_that_are_known_to_fit_are_not_looked_at(monkeypatch) -> None:
    long = torch.tensor([2**40])
    with pytest.raises(RunError):
        dlpack.narrowed(long)
    assert dlpack.narrowed(long, in_range=True).dtype == torch.int32


def test_on_a_cpu_the_integers_of_each_call_are_looked_at(engine: JaxEngine) -> None:
    call = Call(ready(torch.nn.Embedding(8, 4)), (torch.tensor([1, 2]),))
    _, program = built(engine, call)
    program([torch.tensor([3, 4])])
    with pytest.raises(RunError, match="32 bits"):
        program([torch.tensor([2**40, 1])])
