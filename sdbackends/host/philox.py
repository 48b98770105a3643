"""The numbers of a CUDA generator, computed on the CPU: Philox4x32-10 as cuRAND and PyTorch use it.

A `PhiloxStream` has a seed and an offset, gives flat numpy arrays, and moves its offset as kernels
of PyTorch do. Each GPU thread is a Philox subsequence of its own, so the numbers depend on how many
threads a kernel starts. While every element has its own thread they are the same on every GPU (a
small one holds 40,000, a latent of 4x64x64 is 16,384 elements); above, the layout is that of the
reference GPU, an A100: 108 multiprocessors of 2,048 threads, 221,184 together.

The integers are exact. Normal numbers agree with a GPU within about 1e-6, because a GPU takes sine,
cosine and logarithm from its fast units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.floating[Any]]

#: What PyTorch seeds its default generators with.
DEFAULT_SEED = 67280421310721
MULTIPROCESSORS = 108
_BLOCK = 256
_GRID = MULTIPROCESSORS * (2048 // _BLOCK)
_MASK = np.uint64(0xFFFFFFFF)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
# Single precision, as in curand_uniform.h and curand_normal.h.
_STEP = np.float32(2.0**-32)
_TURN = np.float32(_STEP * np.float32(2 * np.pi))
_FINE_STEP = 2.0**-53
#: From this range on PyTorch takes 64 bits for one integer, so that the modulo is not felt.
_WIDE_RANGE = 1 << 28


def philox4x32_10(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Words, ...]:
    """Ten rounds on each counter (four equal arrays of uint32 values); four words come out."""
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = key
    for _ in range(10):
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (right >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            right & _MASK,
            (left >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            left & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return tuple(c.astype(np.uint32) for c in (c0, c1, c2, c3))


@dataclass
class PhiloxStream:
    """One CUDA generator's state: where its threads begin to draw."""

    seed: int = DEFAULT_SEED
    offset: int = 0

    def normal(self, count: int) -> Floats:
        """`curand_normal4`: single precision."""
        x, y, z, w = self._words(count, per_call=4)
        rows = [*_box_muller(x, y), *_box_muller(z, w)]
        return _in_order(rows, count)

    def uniform(self, count: int) -> Floats:
        """`curand_uniform4`: single precision, above 0, up to and including 1."""
        rows = [_to_unit(word) for word in self._words(count, per_call=4)]
        return _in_order(rows, count)

    def normal_double(self, count: int) -> Floats:
        """`curand_normal2_double`."""
        x, y, z, w = self._words(count, per_call=2)
        radius = np.sqrt(-2 * np.log(_wide(x, y) * _FINE_STEP + _FINE_STEP / 2))
        angle = np.pi * (_wide(z, w) * (2 * _FINE_STEP) + _FINE_STEP)
        return _in_order([radius * np.sin(angle), radius * np.cos(angle)], count)

    def uniform_double(self, count: int) -> Floats:
        """`curand_uniform2_double`."""
        x, y, z, w = self._words(count, per_call=2)
        rows = [_wide(a, b) * _FINE_STEP + _FINE_STEP / 2 for a, b in ((x, y), (z, w))]
        return _in_order(rows, count)

    def integers(self, count: int, low: int, span: int) -> npt.NDArray[np.int64]:
        """`span` values from `low` on, by modulo; as `Tensor.random_(from, to)`."""
        drawn = self.bits64(count) if span >= _WIDE_RANGE else self.bits32(count).astype(np.uint64)
        if span < 1 << 64:
            drawn = drawn % np.uint64(span)
        return (drawn + np.uint64(low & 0xFFFFFFFFFFFFFFFF)).view(np.int64)

    def bits32(self, count: int) -> Words:
        return _in_order(list(self._words(count, per_call=4)), count)

    def bits64(self, count: int) -> npt.NDArray[np.uint64]:
        x, y, z, w = (word.astype(np.uint64) for word in self._words(count, per_call=2))
        return _in_order([x << np.uint64(32) | y, z << np.uint64(32) | w], count)

    def _words(self, count: int, per_call: int) -> tuple[Words, ...]:
        """Four words for every call of every thread; `per_call` numbers are made of them."""
        threads = _BLOCK * min(_GRID, -(-count // _BLOCK))
        calls = -(-count // (threads * per_call))
        position = self.offset // 4 + np.arange(calls, dtype=np.uint64)[:, None]
        thread = np.arange(min(threads, count), dtype=np.uint64)[None, :]
        shape = (calls, thread.shape[1])
        counter = (position & _MASK, position >> np.uint64(32), thread, np.uint64(0))
        seed = self.seed & 0xFFFFFFFFFFFFFFFF
        self.offset += 4 * calls
        c0, c1, c2, c3 = (np.broadcast_to(c, shape) for c in counter)
        return philox4x32_10((c0, c1, c2, c3), (seed & 0xFFFFFFFF, seed >> 32))


def _in_order(rows: list[npt.NDArray[Any]], count: int) -> npt.NDArray[Any]:
    """Thread t of T writes its n-th number of a call to element t + n*T, then the next T*N."""
    return np.stack(rows, axis=1).reshape(-1)[:count]


def _to_unit(word: Words) -> Floats:
    # In double, then rounded once: a GPU does this as one fused multiply-add.
    unit = word.astype(np.float32).astype(np.float64) * _STEP + _STEP / 2
    return unit.astype(np.float32)


def _box_muller(x: Words, y: Words) -> tuple[Floats, Floats]:
    turn = y.astype(np.float32).astype(np.float64) * _TURN + _TURN / 2
    angle = turn.astype(np.float32)
    radius = np.sqrt(np.float32(-2) * np.log(_to_unit(x)))
    return radius * np.sin(angle), radius * np.cos(angle)


def _wide(low: Words, high: Words) -> Floats:
    """53 bits of two words."""
    wide = low.astype(np.uint64) ^ (high.astype(np.uint64) << np.uint64(21))
    return wide.astype(np.float64)
