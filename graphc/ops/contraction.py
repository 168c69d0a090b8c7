"""Contractions: matrix products of any rank."""

from __future__ import annotations

import math

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node
from graphc.ir.types import TensorType
from graphc.ops.base import NUMERIC, Contraction, after_first, expect_arity, expect_axes, expect_same
from graphc.ops.movement import inverse

Axes = tuple[int, ...]


class DotGeneral(Contraction):
    """Σ over paired `contract` axes of lhs·rhs, separately for each index of paired `batch` axes.

    The result's axes: the batch, then lhs's others, then rhs's others. It accumulates in the operands' dtype.
    """

    lhs_contract: Axes
    rhs_contract: Axes
    lhs_batch: Axes = ()
    rhs_batch: Axes = ()

    def lhs_free(self, rank: int) -> Axes:
        """The axes of an lhs of some rank that the result keeps, batch aside."""
        return tuple(a for a in range(rank) if a not in self.lhs_contract + self.lhs_batch)

    def rhs_free(self, rank: int) -> Axes:
        """The axes of an rhs of some rank that the result keeps, batch aside."""
        return tuple(a for a in range(rank) if a not in self.rhs_contract + self.rhs_batch)

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 2)
        lhs, rhs = operands
        expect_axes(self, lhs, self.lhs_contract + self.lhs_batch)
        expect_axes(self, rhs, self.rhs_contract + self.rhs_batch)
        expect_same(self, (lhs.with_shape(()), rhs.with_shape(())), NUMERIC)
        for kind, left, right in (
            ("inner", self.lhs_contract, self.rhs_contract),
            ("batch", self.lhs_batch, self.rhs_batch),
        ):
            sizes = tuple(lhs.shape[a] for a in left), tuple(rhs.shape[a] for a in right)
            if sizes[0] != sizes[1]:
                raise ShapeError(f"dot_general: {kind} dimensions differ ({text(sizes[0])} != {text(sizes[1])})")
        kept = [lhs.shape[a] for a in self.lhs_batch + self.lhs_free(lhs.rank)]
        return lhs.with_shape((*kept, *(rhs.shape[a] for a in self.rhs_free(rhs.rank))))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        depth = tuple(operands[0].shape[a] for a in self.lhs_contract)
        return 2 * result.size * result.with_shape(depth).size

    def eval(self, *operands: Array) -> Array:
        lhs, rhs = operands
        left, right = self.lhs_free(lhs.ndim), self.rhs_free(rhs.ndim)
        batch = [lhs.shape[a] for a in self.lhs_batch]
        rows, columns = [lhs.shape[a] for a in left], [rhs.shape[a] for a in right]
        inner = math.prod(lhs.shape[a] for a in self.lhs_contract)
        a = lhs.transpose(self.lhs_batch + left + self.lhs_contract).reshape(*batch, math.prod(rows), inner)
        b = rhs.transpose(self.rhs_batch + self.rhs_contract + right).reshape(*batch, inner, math.prod(columns))
        return np.asarray(np.matmul(a, b)).reshape((*batch, *rows, *columns))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        lhs, rhs = xs
        left, right = self.lhs_free(lhs.type.rank), self.rhs_free(rhs.type.rank)
        batch = tuple(range(len(self.lhs_batch)))
        rows = tuple(range(len(batch), len(batch) + len(left)))
        columns = tuple(range(len(batch) + len(left), y.type.rank))
        # ct·rhsᵀ leaves lhs's axes as batch, free, contracted (the latter in the order of their partners in rhs).
        by_rhs = tuple(self.lhs_contract[i] for i in inverse(self.rhs_contract))
        lhs_ct = build.dot_general(ct, rhs, columns, right, batch, self.rhs_batch)
        by_lhs = tuple(self.rhs_contract[i] for i in inverse(self.lhs_contract))
        rhs_ct = build.dot_general(lhs, ct, left, rows, self.lhs_batch, batch)
        return (
            build.transpose(lhs_ct, inverse(self.lhs_batch + left + by_rhs)),
            build.transpose(rhs_ct, inverse(self.rhs_batch + by_lhs + right)),
        )

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        lhs, rhs = xs
        left, right = (after_first if one else tuple for one in batched)
        contract = left(self.lhs_contract), right(self.rhs_contract)
        shared = left(self.lhs_batch), right(self.rhs_batch)
        if all(batched):
            return build.dot_general(lhs, rhs, *contract, (0, *shared[0]), (0, *shared[1]))
        # The new axis is the first that one side keeps: the result has it after the batch, or after lhs's axes too.
        place = len(self.lhs_batch) if batched[0] else lhs.type.rank - len(self.lhs_contract)
        return build.move_axis(build.dot_general(lhs, rhs, *contract, *shared), place, 0)


def text(sizes: tuple[object, ...]) -> str:
    """Sizes as an error shows them: `784`, or `(3, N)` where they are several."""
    return str(sizes[0]) if len(sizes) == 1 else f"({', '.join(map(str, sizes))})"


ALL = (DotGeneral,)
