"""The order of an epoch's rows: a keyed permutation, in NumPy; codegen/epoch.py emits the same.

Rows that Python gathers, from files that are larger than memory or for steps it watches, come in the same order as
those that compiled code gathers from arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Rounds of the Feistel network, and the numbers of SplitMix64's finaliser.
ROUNDS = 4
INCREMENT = 0x9E3779B97F4A7C15
FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31
WORD = (1 << 64) - 1

Words = NDArray[np.uint64]


def shuffled(positions: NDArray[np.int64], rows: int, seed: int) -> NDArray[np.int64]:
    """The rows at some positions of the order that a seed gives to `rows` rows, i64 like the positions.

    A balanced Feistel network on the smallest even number of bits that holds every row number, repeated while its
    result is too large (cycle walking; Black and Rogaway, 2002).
    """
    half = np.uint64(((((rows - 1) | 1).bit_length()) + 1) // 2)
    mask = np.uint64((1 << int(half)) - 1)
    at = positions.astype(np.uint64)
    pending = np.ones(at.shape, np.bool_)
    while pending.any():
        left, right = at[pending] >> half, at[pending] & mask
        for number in range(ROUNDS):
            left, right = right, left ^ (mixed(right + np.uint64(seed % (1 << 64)), number) & mask)
        at[pending] = left << half | right
        pending = at >= rows
    return at.astype(np.int64)


def mixed(x: Words, number: int) -> Words:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014) of x advanced by a multiple of its increment."""
    x = x + np.uint64((number + 1) * INCREMENT & WORD)
    for shift, factor in FACTORS:
        x = (x ^ x >> np.uint64(shift)) * np.uint64(factor)
    return x ^ x >> np.uint64(LAST_SHIFT)
