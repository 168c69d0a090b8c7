"""Products of vectors, matrices and stacks of them, by the names of the Python array API standard."""

from __future__ import annotations

from collections.abc import Sequence

from graphc import ops
from graphc.errors import ShapeError
from graphc.frontend.elementwise import multiply
from graphc.frontend.manipulation import expand_dims
from graphc.frontend.promotion import apply, common_shape, promoted, stretch
from graphc.frontend.recording import describe
from graphc.frontend.reductions import normal_axes
from graphc.frontend.reductions import sum as sum_
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import i32
from graphc.sites import user_site


def matmul(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The product of matrices in the last two axes; a rank-1 operand is a row or a column, leading axes broadcast."""
    lhs, rhs = promoted(x1, x2, least=i32)
    if not lhs.ndim or not rhs.ndim:
        raise unmultipliable("matmul: a scalar is not a matrix", lhs, rhs, "multiply scalars with *")
    inner = max(rhs.ndim - 2, 0)
    if lhs.type.shape[-1] != rhs.type.shape[inner]:
        left, right = lhs.type.shape[-1], rhs.type.shape[inner]
        help = f"the rhs needs {left} rows, or the lhs {right} columns"
        raise unmultipliable(f"matmul: inner dimensions differ ({left} != {right})", lhs, rhs, help)
    if rhs.ndim <= 2:
        return apply(ops.DotGeneral((lhs.ndim - 1,), (inner,)), lhs, rhs)
    if lhs.ndim == 1:
        return apply(ops.DotGeneral((inner,), (0,)), rhs, lhs)
    return batched(lhs, rhs)


def batched(lhs: Tensor, rhs: Tensor) -> Tensor:
    """A matrix product for each index of the leading axes, which broadcast."""
    rows, columns = lhs.type.shape[-2:], rhs.type.shape[-2:]
    if lhs.ndim == 2:
        product = apply(ops.DotGeneral((1,), (rhs.ndim - 2,)), lhs, rhs)
        return apply(ops.Transpose((*range(1, rhs.ndim - 1), 0, rhs.ndim - 1)), product)
    leading = common_shape("matmul", corner(lhs), corner(rhs))
    lhs, rhs = stretch(lhs, leading + rows), stretch(rhs, leading + columns)
    batch = tuple(range(len(leading)))
    rank = len(leading)
    return apply(ops.DotGeneral((rank + 1,), (rank,), batch, batch), lhs, rhs)


def corner(x: Tensor) -> Tensor:
    """The first matrix element of each batch index: a tensor of the leading axes' shape."""
    leading = x.type.shape[:-2]
    zeros = (0,) * x.ndim
    ones = (1,) * x.ndim
    box = apply(ops.Slice(zeros, (*leading, 1, 1), ones), x)
    return apply(ops.Reshape(leading), box)


def tensordot(x1: TensorLike, x2: TensorLike, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Σ over pairs of axes: the last n of x1 with the first n of x2, or the given ones."""
    lhs, rhs = promoted(x1, x2, least=i32)
    if isinstance(axes, int):
        pairs: tuple[Sequence[int], Sequence[int]] = tuple(range(lhs.ndim - axes, lhs.ndim)), tuple(range(axes))
    else:
        pairs = axes
    left = tuple(normal_axes(lhs, a)[0] for a in pairs[0])
    right = tuple(normal_axes(rhs, a)[0] for a in pairs[1])
    if len(left) != len(right) or any(lhs.type.shape[a] != rhs.type.shape[b] for a, b in zip(left, right, strict=True)):
        raise unmultipliable(f"tensordot: axes {left} and {right} differ", lhs, rhs, "their sizes must be equal")
    return apply(ops.DotGeneral(left, right), lhs, rhs)


def outer(x1: TensorLike, x2: TensorLike) -> Tensor:
    """result[i, j] = x1[i]·x2[j]."""
    lhs, rhs = promoted(x1, x2)
    if lhs.ndim != 1 or rhs.ndim != 1:
        raise unmultipliable("outer: takes two vectors", lhs, rhs, "flatten them: x.reshape(-1)")
    return multiply(expand_dims(lhs, 1), expand_dims(rhs, 0))


def vecdot(x1: TensorLike, x2: TensorLike, *, axis: int = -1) -> Tensor:
    """Σ x1·x2 along an axis, the others broadcast."""
    return sum_(multiply(x1, x2), axis)


def unmultipliable(message: str, lhs: Tensor, rhs: Tensor, help: str) -> ShapeError:
    """The error of operands that have no product."""
    operands = [describe("lhs", lhs.node), describe("rhs", rhs.node)]
    return ShapeError(message, operands=operands, site=user_site(), help=help)
