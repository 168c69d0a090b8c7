"""A symbolic size as a value: what a mean over a batch of N rows divides by."""

from __future__ import annotations

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.node import Array
from graphc.ir.types import DType, TensorType
from graphc.ops.base import NUMERIC, Generator, expect_arity, expect_dtype, numbers


class SizeOf(Generator):
    """A dimension as a scalar of a numeric dtype (integers wrap, floats round)."""

    dtype: DType
    size: Size

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 0)
        result = TensorType(self.dtype)
        expect_dtype(self, result, NUMERIC)
        return result

    def eval(self, *operands: Array) -> Array:
        return np.full((), numbers((self.size,))[0]).astype(self.dtype.numpy)
