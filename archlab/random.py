"""Random numbers as a pure function of (seed, path, index).

First weights and data come from one counter-based generator (Philox 4x64-10) keyed by the seed and the
path. Element ``i`` of a stream depends on nothing else, so a shard, a second backend or a larger mesh
sees the same bits. Only raw 64-bit words are taken from NumPy: those are stable between versions.

Masks are drawn where the activations are, on any array library: by Threefry-2x32 with 20 rounds, which
needs no integers wider than 32 bits (:class:`Portable`).
"""

import hashlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from archlab.errors import InputError

_WORDS = 4  # 64-bit words in one Philox block
_UNUSED, _ONE = np.uint64(12), np.uint64(0x3FF << 52)  # the low bits of a word; 1.0 in float64
_PIECE = 2**17  # elements that are worked out together: of fewer, threads wait for Python's lock; more leave the cache


def key(seed: int, path: str) -> np.ndarray:
    """The 128-bit Philox key of a stream."""
    digest = hashlib.sha256(f"{seed}/{path}".encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)


def uniform(seed: int, path: str, count: int, start: int = 0) -> np.ndarray:
    """Elements ``start … start+count`` of the stream, float64 in the open interval (0, 1)."""
    block, skip = divmod(start, _WORDS)
    generator = np.random.Philox(key=key(seed, path)).advance(block)
    words = generator.random_raw(skip + count)[skip:]
    words >>= _UNUSED
    words |= _ONE  # 1 + w / 2⁵² as bits: integers are slow to convert
    numbers = words.view(np.float64)
    numbers -= 1.0 - 2.0**-53
    return numbers


def elements(
    law: Callable[[np.ndarray], np.ndarray], seed: int, path: str, count: int, start: int = 0,
    dtype: DTypeLike = np.float64,
) -> np.ndarray:  # fmt: skip
    """``law`` of the elements that :func:`uniform` gives, elementwise, rounded to ``dtype``; on all cores."""
    out = np.empty(count, dtype)

    def draw(first: int) -> None:
        piece = out[first : first + _PIECE]
        piece[:] = law(uniform(seed, path, len(piece), start + first))

    if count <= _PIECE:
        draw(0)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(draw, range(0, count, _PIECE)))
    return out


def normal(seed: int, path: str, count: int, start: int = 0) -> np.ndarray:
    """Standard normal elements, float64."""
    return elements(normal_quantile, seed, path, count, start)


def normal_cdf(x: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988): relative error about 1e-16.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def normal_quantile(p: np.ndarray) -> np.ndarray:
    """The inverse of the standard normal distribution function, for 0 < p < 1."""
    q = p - 0.5
    out = q * _ratio(_CENTRE, 0.180625 - q * q)
    outer = np.flatnonzero(np.abs(q) > 0.425)
    p = p[outer]
    tail = np.sqrt(-np.log(np.minimum(p, 1.0 - p)))
    size, far = _ratio(_MIDDLE, tail - 1.6), np.flatnonzero(tail > 5.0)
    size[far] = _ratio(_TAIL, tail[far] - 5.0)
    out[outer] = np.sign(p - 0.5) * size
    return out


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: np.ndarray) -> np.ndarray:
    above, below = (_polynomial(powers, x) for powers in coefficients)
    return np.divide(above, below, out=above)


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """By Horner's scheme, the highest power first."""
    y = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y *= x
        y += coefficient
    return y


# --- masks ------------------------------------------------------------------------------------

_LOW = 0xFFFFFFFF  # the 32 bits of a word
_TURNS = (13, 15, 26, 6, 17, 29, 16, 24)  # how far each round rotates
_PARITY = 0x1BD11BDA
_BITS = 24  # of a word decide an element: as many as a float32 probability has
_LARGEST = 2**32  # elements that one word can count


def threefry(key: Any, counter: Any, low: Any = _LOW) -> tuple[Any, Any]:
    """Two words of random bits: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw; SC 2011).

    ``key`` and ``counter`` are two 32-bit words each: arrays of uint32, of a wider integer that holds one
    word in its low half (PyTorch's int64), or Python's own integers. Shapes broadcast. ``low`` is 2³² − 1 in
    a form that the arrays take beside them.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = (counter[0] + keys[0]) & low, (counter[1] + keys[1]) & low
    for i in range(20):
        left = _TURNS[i % 8]
        x = (x + y) & low
        y = (((y << left) | (y >> (32 - left))) & low) ^ x
        if i % 4 == 3:
            n = i // 4 + 1
            x, y = (x + keys[n % 3]) & low, (y + keys[(n + 1) % 3] + n) & low
    return x, y


def words(seed: int, path: str) -> tuple[int, int]:
    """The Threefry key of a stream: the first 64 bits of the hash that also makes the Philox key."""
    digest = hashlib.sha256(f"{seed}/{path}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


class Portable:
    """Masks that are the same bits on every backend: the source behind ``policy.random`` "portable".

    Element (b, …, j) of the mask ``name`` with shape (B, …) is kept if w / 2²⁴ < p, where p is the probability
    in float32 and w the upper 24 bits of the first word of

        threefry(threefry(words(seed, name), (step, 0)), (i, b)),

    i the row-major index within row b. So a mask depends on seed, step, name and place alone, and not on how
    layers are compiled, recomputed or placed; two draws of one name in one step are the same.

    seed
        As of first weights.
    step
        How many updates came before, at least 0; it may be traced.
    rank
        Which share of the batch the masks are for: its first row is row rank · B of the whole.

    This class draws with NumPy and can be given to :func:`archlab.reference.run`; a backend derives its own.
    """

    xp: Any = np
    word: Any = np.uint32
    low: Any = _LOW
    device: Any = None

    def __init__(self, seed: int, step: Any, rank: int = 0) -> None:
        self.seed, self.step, self.rank = seed, step, rank

    def key(self, name: str) -> Any:
        """The two words of a stream's key."""
        return words(self.seed, name)

    def keep(self, name: str, shape: tuple[int, ...], probability: Any) -> Any:
        """Booleans of ``shape``, true with ``probability``; the first axis is the batch.

        Raises :class:`InputError` where one row has more than 2³² elements.
        """
        xp, (rows, *inner) = self.xp, shape
        if math.prod(inner) > _LARGEST:
            raise InputError(f"{name}: a mask of {math.prod(inner)} elements a row is too large; at most {_LARGEST}")
        index = xp.reshape(self._range(math.prod(inner)), (1, *inner))
        row = xp.reshape(self._range(rows) + self.rank * rows, (rows, *(1 for _ in inner)))
        drawn, _ = self._bits(self._bits(self.key(name), (self.step, 0)), (index, row))
        # float32 times a power of two is exact, and so is the integer: every library finds the same threshold.
        scaled = xp.full((1,), probability, dtype=xp.float32, device=self.device) * 2.0**_BITS
        return (drawn >> (32 - _BITS)) < xp.astype(scaled, self.word)

    def _bits(self, key: Any, counter: Any) -> tuple[Any, Any]:
        return threefry(key, counter, self.low)

    def _range(self, count: int) -> Any:
        return self.xp.arange(count, dtype=self.word, device=self.device)
