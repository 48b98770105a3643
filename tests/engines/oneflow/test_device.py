"""Which card OneFlow can use, and what is said where it cannot. No card is needed here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sdbackends.engines.oneflow.device import choose, has_code_for
from sdbackends.errors import BackendNotReadyError, UsageError


def oneflow(*capabilities: tuple[int, int]) -> SimpleNamespace:
    """As much of `oneflow` as is asked."""
    cuda = SimpleNamespace(
        is_available=lambda: bool(capabilities),
        device_count=lambda: len(capabilities),
        get_device_capability=lambda index: capabilities[index],
        get_device_name=lambda index: f"card {index}",
    )
    return SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((6, 0), True), ((7, 2), True), ((8, 0), True), ((8, 9), True), ((5, 2), False)],
)
def test_code_runs_on_cards_of_its_generation(capability: tuple[int, int], runs: bool) -> None:
    assert has_code_for(capability) is runs


def test_a_card_is_taken_where_it_can_be_used() -> None:
    assert choose(None, oneflow((8, 0))).name == "cuda:0"
    assert choose("cuda:1", oneflow((9, 0), (8, 6))).name == "cuda:1"
    assert choose("cpu", oneflow((8, 0))).name == "cpu"
    assert choose(None, oneflow()).name == "cpu"


def test_hopper_is_as_good_as_none() -> None:
    chosen = choose(None, oneflow((9, 0)))
    assert chosen.name == "cpu" and "sm_90" in chosen.note and "PTX" in chosen.note
    with pytest.raises(BackendNotReadyError, match="sm_90"):
        choose("cuda", oneflow((9, 0)))


def test_a_card_that_is_not_there_is_refused() -> None:
    with pytest.raises(BackendNotReadyError, match="sees no CUDA device"):
        choose("cuda", oneflow())
    with pytest.raises(BackendNotReadyError, match="sees 1 CUDA devices"):
        choose("cuda:3", oneflow((8, 0)))
    with pytest.raises(UsageError, match="tpu"):
        choose("tpu", oneflow())
