"""The numbers of a CUDA generator, against published ones."""

from __future__ import annotations

import numpy as np
import pytest

from sdbackends.host.philox import PhiloxStream, philox4x32_10

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers_of_random123(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: str
) -> None:
    """`philox4x32 10` in kat_vectors of Random123 (Salmon et al., D. E. Shaw Research)."""
    assert [f"{int(word):08x}" for word in philox4x32_10(counter, key)] == words.split()


def test_randn_as_a_gpu_prints_it() -> None:
    """Seed 0, shape (3, 4): in the docstring of modules/rng_philox.py, stable-diffusion-webui."""
    published = [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564]
    published += [-0.62285122, -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497]
    assert PhiloxStream(0).normal(12) == pytest.approx(published, abs=2e-6)


def test_each_draw_begins_where_the_one_before_ended() -> None:
    stream = PhiloxStream(7)
    first, second = stream.normal(5), stream.normal(5)
    assert stream.offset == 8
    assert np.array_equal(second, PhiloxStream(7, offset=4).normal(5))
    assert not np.array_equal(first, second)


def test_a_longer_draw_begins_with_the_shorter() -> None:
    assert np.array_equal(PhiloxStream(1).uniform(1000)[:10], PhiloxStream(1).uniform(10))


def test_beyond_the_grid_threads_draw_again() -> None:
    threads = 108 * 2048
    stream = PhiloxStream(3)
    numbers = stream.uniform(threads * 4 + 1)
    assert stream.offset == 8
    words = philox4x32_10((0, 0, 5, 0), (3, 0))
    assert numbers[5::threads][:4] == pytest.approx([int(w) / 2**32 for w in words], abs=1e-6)
    again = philox4x32_10((1, 0, 0, 0), (3, 0))
    assert numbers[threads * 4] == pytest.approx(int(again[0]) / 2**32, abs=1e-6)


def test_integers_take_32_bits_or_64() -> None:
    x, y, *_ = (int(word) for word in philox4x32_10((0, 0, 0, 0), (9, 0)))
    assert PhiloxStream(9).integers(1, -3, 10).tolist() == [x % 10 - 3]
    assert PhiloxStream(9).integers(1, 0, 1 << 40).tolist() == [(x << 32 | y) % (1 << 40)]
    everything = PhiloxStream(9).integers(4, -(1 << 63), 1 << 64)
    assert everything.dtype == np.int64


def test_large_seeds_and_negative_seeds() -> None:
    words = philox4x32_10((0, 0, 0, 0), (0xFFFFFFFF, 0xFFFFFFFF))
    assert PhiloxStream(-1).bits32(1).tolist() == [int(words[0])]
    assert PhiloxStream(2**64 - 1).bits32(1).tolist() == [int(words[0])]


@pytest.mark.parametrize("draw", ["normal", "normal_double"])
def test_normal_numbers_are_normal(draw: str) -> None:
    numbers = getattr(PhiloxStream(11), draw)(200_000)
    assert abs(numbers.mean()) < 0.01 and abs(numbers.std() - 1) < 0.01
    assert abs((numbers**4).mean() - 3) < 0.1


@pytest.mark.parametrize("draw", ["uniform", "uniform_double"])
def test_uniform_numbers_are_uniform(draw: str) -> None:
    numbers = getattr(PhiloxStream(11), draw)(200_000)
    assert numbers.min() > 0 and numbers.max() <= 1
    assert np.histogram(numbers, 10, (0, 1))[0] == pytest.approx(20_000, rel=0.03)
