"""A symbolic size as a value: what a mean over a batch of N rows divides by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.node import Array, Node
from graphc.ir.types import DType, TensorType
from graphc.ops.base import Generator, expect_arity


@dataclass(frozen=True)
class SizeOf(Generator):
    """A dimension as a scalar of a numeric dtype (in floats rounded to nearest)."""

    dtype: DType
    size: Size

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 0)
        return TensorType(self.dtype, ())

    def eval(self, *operands: Array) -> Array:
        return np.asarray(self.size, self.dtype.numpy)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ()
