"""Order: where the elements of each row stand when they are sorted."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphc.ir import build
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import TensorType, i64
from graphc.ops.base import ANY, expect_arity, expect_axes, expect_dtype


class Argsort(Op):
    """The i64 indices that sort each row (along the last axis); equals keep their order, NaNs count as the largest."""

    descending: bool = False

    differentiable: ClassVar[bool] = False

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        expect_dtype(self, x, ANY)
        expect_axes(self, x, (x.rank - 1,))
        return x.with_dtype(i64)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(self, *xs)

    def eval(self, *operands: Array) -> Array:
        (x,) = operands
        if not self.descending:
            return np.asarray(np.argsort(x, -1, kind="stable"), np.int64)
        backwards = np.argsort(x[..., ::-1], -1, kind="stable")
        return np.asarray(x.shape[-1] - 1 - backwards[..., ::-1], np.int64)


ALL = (Argsort,)
