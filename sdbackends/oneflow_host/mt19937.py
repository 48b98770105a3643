"""The numbers of torch's CPU generator, in numpy: a Mersenne Twister, and what ATen makes of it.

An `Mt19937Stream` has a seed and gives flat numpy arrays, taking words from the twister in ATen's
order (ATen/core/DistributionsHelper.h, ATen/native/cpu/DistributionTemplates.h). Normal numbers of
16 elements and more come in groups of 16 by Box and Muller with the logarithm, sine and cosine of
Cephes in single precision (avx_mathfun.h), as on every x86 processor since AVX2: the same bits.
Fewer, or in double precision, they come by the C library's functions: equal but for a rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: What torch seeds its default generators with.
DEFAULT_SEED = 67280421310721
#: From this range on torch takes 64 bits for one integer, so that the modulo is not felt.
_WIDE_RANGE = 1 << 28
_GROUP = 16
_HALF = _GROUP // 2
# Cephes in single precision: logarithm, sine, cosine, and pi/4 in three parts.
_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG_2 = -2.12194440e-4, 0.693359375
_SIN = -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1
_COS = 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2
_QUARTER_PI = -0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8


class Mt19937Stream:
    """One CPU generator's state: where the twister stands, and a normal number kept for later."""

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.seed = seed
        self._twister = np.random.MT19937()
        # The seeding of the twister's authors, by 32 bits.
        self._twister._legacy_seeding(seed & 0xFFFFFFFF)
        self._kept: float | None = None

    @property
    def state(self) -> Any:
        """For `get_state` and back."""
        return self._twister.state, self._kept

    @state.setter
    def state(self, state: Any) -> None:
        self._twister.state, self._kept = state

    def normal(self, count: int) -> Floats:
        """`normal_fill` of single precision, or the scalar distribution below 16 elements."""
        if count < _GROUP:
            return self._scalar_normal(count).astype(np.float32)
        uniform = self.uniform(count)
        numbers = uniform[: count - count % _GROUP]
        result = uniform.copy()
        result[: numbers.size] = _box_muller(numbers)
        if count % _GROUP:
            # The last group is drawn anew and reaches back over numbers that are there already.
            result[-_GROUP:] = _box_muller(self.uniform(_GROUP))
        return result

    def normal_double(self, count: int) -> Doubles:
        if count < _GROUP:
            return self._scalar_normal(count)
        result = self.uniform_double(count)
        whole = count - count % _GROUP
        result[:whole] = _box_muller_double(result[:whole])
        if count % _GROUP:
            result[-_GROUP:] = _box_muller_double(self.uniform_double(_GROUP))
        return result

    def uniform(self, count: int) -> Floats:
        """24 bits of each word."""
        words = self._words(count) & np.uint32((1 << 24) - 1)
        return words.astype(np.float32) * np.float32(2.0**-24)

    def uniform_double(self, count: int) -> Doubles:
        """53 bits of each two words."""
        return (self._wide(count) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53

    def integers(self, count: int, low: int, span: int) -> npt.NDArray[np.int64]:
        """`span` values from `low` on, by modulo; as `Tensor.random_(from, to)`."""
        wide = span >= _WIDE_RANGE
        drawn = self._wide(count) if wide else self._words(count).astype(np.uint64)
        return (drawn % np.uint64(span) + np.uint64(low & 0xFFFFFFFFFFFFFFFF)).view(np.int64)

    def permutation(self, count: int) -> npt.NDArray[np.int64]:
        """`randperm`: the shuffle of Fisher and Yates from the front."""
        result = np.arange(count)
        for at, word in enumerate(self._words(max(count - 1, 0))):
            other = at + int(word) % (count - at)
            result[at], result[other] = result[other], result[at]
        return result

    def _words(self, count: int) -> npt.NDArray[np.uint32]:
        raw: npt.NDArray[np.uint64] = np.atleast_1d(self._twister.random_raw(count))
        return raw.astype(np.uint32)

    def _wide(self, count: int) -> npt.NDArray[np.uint64]:
        pairs = self._words(2 * count).astype(np.uint64).reshape(count, 2)
        return pairs[:, 0] << np.uint64(32) | pairs[:, 1]

    def _scalar_normal(self, count: int) -> Doubles:
        """`normal_distribution<double>`, one by one: each pair's second number is kept."""
        result = np.empty(count)
        for at in range(count):
            if self._kept is not None:
                result[at], self._kept = self._kept, None
                continue
            first, second = self.uniform_double(2)
            radius, angle = np.sqrt(-2.0 * np.log1p(-second)), 2.0 * np.pi * first
            result[at], self._kept = radius * np.cos(angle), float(radius * np.sin(angle))
        return result


def _box_muller(uniform: Floats) -> Floats:
    pairs = uniform.reshape(-1, 2, _HALF)
    radius = np.sqrt(np.float32(-2) * _log(np.float32(1) - pairs[:, 0]))
    sine, cosine = _sine_and_cosine(np.float32(2 * np.pi) * pairs[:, 1])
    return np.stack([radius * cosine, radius * sine], axis=1).reshape(-1)


def _box_muller_double(uniform: Doubles) -> Doubles:
    pairs = uniform.reshape(-1, 2, _HALF)
    radius, angle = np.sqrt(-2.0 * np.log1p(-pairs[:, 0])), 2.0 * np.pi * pairs[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def _log(x: Floats) -> Floats:
    """Of numbers above 0, by mantissa and exponent."""
    bits = x.view(np.uint32)
    exponent = (bits >> np.uint32(23)).astype(np.int32) - 126
    mantissa = (bits & np.uint32(0x807FFFFF) | np.uint32(0x3F000000)).view(np.float32)
    small = mantissa < np.float32(np.sqrt(0.5))
    e = (exponent - small).astype(np.float32)
    m = mantissa - np.float32(1) + np.where(small, mantissa, np.float32(0))
    square = m * m
    y = _polynomial(_LOG, m) * m
    y = _fused(y, square, e * np.float32(_LOG_2[0])) - square * np.float32(0.5)
    return m + y + e * np.float32(_LOG_2[1])


def _sine_and_cosine(x: Floats) -> tuple[Floats, Floats]:
    """Of angles from 0 on, by eighths of a turn."""
    octant = (x * np.float32(4 / np.pi)).astype(np.int32) + 1 & ~1
    rest = x
    for part in _QUARTER_PI:
        rest = _fused(octant.astype(np.float32), part, rest)
    square = rest * rest
    cosine = _polynomial(_COS, square) * square
    cosine = _fused(cosine, square, square * np.float32(-0.5)) + np.float32(1)
    sine = _fused(_polynomial(_SIN, square) * square, rest, rest)
    swapped = octant & 2 != 0
    first, second = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    negative_sine, negative_cosine = octant & 4 != 0, octant + 2 & 4 != 0
    return np.where(negative_sine, -first, first), np.where(negative_cosine, -second, second)


def _polynomial(factors: tuple[float, ...], x: Floats) -> Floats:
    result = np.full_like(x, factors[0])
    for factor in factors[1:]:
        result = _fused(result, x, np.float32(factor))
    return result


def _fused(a: Floats, b: Any, c: Any) -> Floats:
    """a * b + c, rounded once, as the processor's fused multiply-add."""
    product = a.astype(np.float64) * np.asarray(b, np.float32)
    result: Floats = (product + c).astype(np.float32)
    return result
