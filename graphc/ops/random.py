"""Counter-based random bits; every distribution is a composite of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.node import Array
from graphc.ir.types import TensorType, u32
from graphc.ops.base import Elementwise, Emitter, Words

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


class Threefry(Elementwise):
    """One word (0 or 1) of the Threefry-2x32 block of key (k0, k1) at counter (c0, c1), 20 rounds.

    Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; `threefry(k0, k1, c0, c1)`.
    """

    word: int

    samples: ClassVar = (Words(),) * 4
    dtypes: ClassVar = (u32,)
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def infer(self, *operands: TensorType) -> TensorType:
        if self.word not in (0, 1):
            raise ShapeError(f"threefry: a block has words 0 and 1, not {self.word}")
        return super().infer(*operands)

    def eval(self, *operands: Array) -> Array:
        k0, k1, c0, c1 = operands
        keys = (k0, k1, k0 ^ k1 ^ np.uint32(PARITY))
        x0, x1 = c0 + k0, c1 + k1
        for block in range(5):
            for rotation in ROTATIONS[block % 2]:
                x0 = x0 + x1
                x1 = ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))) ^ x0
            x0 = x0 + keys[(block + 1) % 3]
            x1 = x1 + keys[(block + 2) % 3] + np.uint32(block + 1)
        return (x0, x1)[self.word]

    def emit(self, e: Emitter, *xs: Any) -> Any:
        k0, k1, c0, c1 = xs
        return e.threefry(k0, k1, c0, c1, self.word)


ALL = (Threefry,)
