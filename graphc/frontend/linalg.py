"""Linear algebra: `gr.linalg`, whose products are in `gr` too; by the names of the Python array API standard.

Decompositions are not there: asking for one names what to use instead.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import NoReturn

from graphc import ops
from graphc.errors import ArgumentError, MissingNameError, ShapeError, UnsupportedError
from graphc.frontend.composite import composite
from graphc.frontend.elementwise import abs as abs_
from graphc.frontend.elementwise import equal, multiply, not_equal, pow, square, subtract, where
from graphc.frontend.indexing import getitem
from graphc.frontend.manipulation import broadcast_to, expand_dims, matrix_transpose, moveaxis, reshape, stack
from graphc.frontend.promotion import apply, as_tensor, broadcast, cast, common_sizes, promoted, stretch
from graphc.frontend.recording import current, describe
from graphc.frontend.reductions import as_float, normal_axes, root
from graphc.frontend.reductions import max as max_
from graphc.frontend.reductions import min as min_
from graphc.frontend.reductions import sum as sum_
from graphc.frontend.tensor import Axis, Tensor, TensorLike
from graphc.ir.dim import Dim, Size, known_le, minimum
from graphc.ir.types import DType, i32
from graphc.sites import user_site
from graphc.suggest import answering

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "norm",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]

ITERATE = "compute it with NumPy outside the entry and pass the result in"
#: What is not there, and what to do instead.
ABSENT = {
    **dict.fromkeys(("cholesky", "qr", "svd", "svdvals", "eig", "eigh", "eigvals", "eigvalsh", "lstsq"), ITERATE),
    **dict.fromkeys(("inv", "pinv", "solve", "det", "slogdet", "matrix_rank"), ITERATE),
    "multi_dot": "use gr.einsum, which chooses an order, or @",
}


def __getattr__(name: str) -> NoReturn:
    if name in ABSENT:
        raise MissingNameError(f"gr.linalg has no {name}", site=user_site(), help=ABSENT[name])
    raise AttributeError(f"module 'graphc.linalg' has no attribute {name!r}")


# Products


@answering()
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
    leading = common_sizes("matmul", (lhs, rhs), (lhs.type.shape[:-2], rhs.type.shape[:-2]))
    lhs, rhs = stretch(lhs, leading + rows), stretch(rhs, leading + columns)
    batch = tuple(range(len(leading)))
    rank = len(leading)
    return apply(ops.DotGeneral((rank + 1,), (rank,), batch, batch), lhs, rhs)


@answering()
def tensordot(x1: TensorLike, x2: TensorLike, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Σ over pairs of axes: the last n of x1 with the first n of x2, or the given ones."""
    lhs, rhs = promoted(x1, x2, least=i32)
    if isinstance(axes, int):
        if not 0 <= axes <= min(lhs.ndim, rhs.ndim):
            raise unmultipliable(f"tensordot: axes={axes}", lhs, rhs, "give as many axes as both have, at most")
        pairs: tuple[Sequence[int], Sequence[int]] = tuple(range(lhs.ndim - axes, lhs.ndim)), tuple(range(axes))
    else:
        left_axes, right_axes = ([a] if isinstance(a, int) else list(a) for a in axes)
        pairs = left_axes, right_axes
    left = tuple(normal_axes(lhs, a)[0] for a in pairs[0])
    right = tuple(normal_axes(rhs, a)[0] for a in pairs[1])
    if len(left) != len(right) or any(lhs.type.shape[a] != rhs.type.shape[b] for a, b in zip(left, right, strict=True)):
        raise unmultipliable(f"tensordot: axes {left} and {right} differ", lhs, rhs, "their sizes must be equal")
    return apply(ops.DotGeneral(left, right), lhs, rhs)


@answering()
def outer(x1: TensorLike, x2: TensorLike) -> Tensor:
    """result[i, j] = x1[i]·x2[j]."""
    lhs, rhs = promoted(x1, x2)
    if lhs.ndim != 1 or rhs.ndim != 1:
        raise unmultipliable("outer: takes two vectors", lhs, rhs, "flatten them: x.reshape(-1)")
    return multiply(expand_dims(lhs, 1), expand_dims(rhs, 0))


@answering()
def vecdot(x1: TensorLike, x2: TensorLike, *, axis: int = -1) -> Tensor:
    """Σ x1·x2 along an axis counted from the end (−1 … −n), the others broadcast. It sums in the operands' dtype."""
    lhs, rhs = promoted(x1, x2, least=i32)
    if not lhs.ndim or not rhs.ndim:
        raise unmultipliable("vecdot: a scalar is not a vector", lhs, rhs, "multiply scalars with *")
    if axis >= 0 and lhs.ndim != rhs.ndim:
        axis -= max(lhs.ndim, rhs.ndim)
    sizes = [t.type.shape[normal_axes(t, axis)[0]] for t in (lhs, rhs)]
    if sizes[0] != sizes[1]:
        raise unmultipliable(f"vecdot: axis {axis} differs ({sizes[0]} != {sizes[1]})", lhs, rhs, "sizes must be equal")
    return sum_(multiply(lhs, rhs), axis, dtype=lhs.dtype)


def dot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """NumPy's: Σ over the last axis of x1 and the last but one of x2, or its only one; scalars multiply."""
    lhs, rhs = promoted(x1, x2, least=i32)
    if not lhs.ndim or not rhs.ndim:
        return multiply(lhs, rhs)
    return tensordot(lhs, rhs, axes=((-1,), (-2 if rhs.ndim > 1 else -1,)))


def inner(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Σ over the last axes of both; scalars multiply."""
    lhs, rhs = promoted(x1, x2, least=i32)
    return tensordot(lhs, rhs, axes=((-1,), (-1,))) if lhs.ndim and rhs.ndim else multiply(lhs, rhs)


def vdot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Σ x1·x2 over all elements, in row-major order."""
    return tensordot(reshape(as_tensor(x1), (-1,)), reshape(as_tensor(x2), (-1,)), axes=1)


@composite
def kron(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The Kronecker product: x2 times each element of x1, side by side."""
    lhs, rhs = promoted(x1, x2, least=i32)
    rank = max(lhs.ndim, rhs.ndim)
    left, right = ((1,) * (rank - t.ndim) + t.shape for t in (lhs, rhs))
    shape = [size for pair in zip(left, right, strict=True) for size in pair]
    between = reshape(lhs, [s for size in left for s in (size, 1)]) if rank else lhs
    within = reshape(rhs, [s for size in right for s in (1, size)]) if rank else rhs
    whole = broadcast_to(multiply(between, within), shape)
    return reshape(whole, [a * b for a, b in zip(left, right, strict=True)])


@composite
def cross(x1: TensorLike, x2: TensorLike, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of 3 along an axis; the other axes broadcast."""
    lhs, rhs = broadcast("cross", *promoted(x1, x2, least=i32))
    (along,) = normal_axes(lhs, axis)
    if lhs.type.shape[along] != 3:
        raise unmultipliable(f"cross: axis {axis} is not of size 3", lhs, rhs, "pad vectors of the plane with a 0")
    a, b = ([getitem(t, (slice(None),) * along + (i,)) for i in range(3)] for t in (lhs, rhs))
    turns = ((1, 2), (2, 0), (0, 1))
    return stack([subtract(multiply(a[i], b[j]), multiply(a[j], b[i])) for i, j in turns], along)


@composite
def matrix_power(x: TensorLike, n: int) -> Tensor:
    """The matrix in the last two axes to a whole power n ≥ 0, by repeated squaring."""
    tensor = as_tensor(x)
    exponent = operator.index(n)
    if exponent < 0:
        raise UnsupportedError("matrix_power: a negative power", site=user_site(), help=f"gr has no inverse: {ITERATE}")
    square_matrix("matrix_power", tensor)
    result: Tensor | None = None
    factor = tensor
    while exponent:
        if exponent & 1:
            result = factor if result is None else matmul(result, factor)
        exponent >>= 1
        if exponent:
            factor = matmul(factor, factor)
    if result is not None:
        return result
    *_, rows, _ = tensor.type.shape
    one = equal(*(apply(ops.Iota(i32, (rows, rows), a)) for a in (0, 1)))
    return stretch(cast(one, tensor.dtype), tensor.type.shape)


# Diagonals


@answering()
def diagonal(x: TensorLike, *, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """The elements [i, i + offset] of the matrices in two axes (the last two), along a new last axis."""
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise not_a_matrix("diagonal", tensor)
    one, other = normal_axes(tensor, axis1)[0], normal_axes(tensor, axis2)[0]
    if one == other:
        raise ArgumentError(f"diagonal: axes {axis1} and {axis2} are the same", site=user_site())
    moved = moveaxis(moveaxis(tensor, one, -1), other - (other > one), -1)
    *leading, rows, columns = moved.type.shape
    down, right = max(-offset, 0), max(offset, 0)
    length = diagonal_length(tensor, rows, columns, down, right)
    if isinstance(length, int) and length == 0:
        return stretch(as_tensor(0, tensor.dtype), (*leading, 0))
    flat = apply(ops.Reshape((*leading, rows * columns)), moved)
    start = right + down * columns
    stop = start + (length - 1) * (columns + 1) + 1
    zeros, ones = (0,) * len(leading), (1,) * len(leading)
    return apply(ops.Slice((*zeros, start), (*leading, stop), (*ones, columns + 1)), flat)


def diagonal_length(x: Tensor, rows: Size, columns: Size, down: int, right: int) -> Size:
    """How many elements a diagonal has; unless a square's own, a symbolic one is checked to have some."""
    length = minimum(rows - down, columns - right)
    if known_le(length, 0):
        return 0
    if isinstance(length, Dim) and (down or right or rows != columns):
        current().check(length, 1, f"the diagonal of {x.type} is empty")
    return length


@answering()
def trace(x: TensorLike, *, offset: int = 0, dtype: DType | None = None) -> Tensor:
    """The sum of the diagonal of the matrices in the last two axes."""
    return sum_(diagonal(x, offset=offset), -1, dtype=dtype)


@composite
def diag(x: TensorLike, k: int = 0) -> Tensor:
    """A vector as the k-th diagonal of a square matrix of zeros; of a matrix, its k-th diagonal."""
    tensor = as_tensor(x)
    if tensor.ndim == 2:
        return diagonal(tensor, offset=k)
    if tensor.ndim != 1:
        raise not_a_matrix("diag", tensor)
    (size,) = tensor.type.shape
    whole = size + abs(k)
    padded = apply(ops.Pad((max(k, 0),), (max(-k, 0),), (0,)), tensor, as_tensor(0, tensor.dtype))
    rows, columns = (apply(ops.Iota(i32, (whole, whole), a)) for a in (0, 1))
    return where(equal(columns, rows + k), expand_dims(padded, 0), as_tensor(0, tensor.dtype))


# Norms


@composite
def vector_norm(x: TensorLike, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over axes (None: all); ord 0 counts what is not 0, ±∞ is the largest and smallest |x|.

    The derivative of the 2-norm where it is 0 is 0. Raises `ShapeError` where an axis does not exist.
    """
    tensor = as_float(x)
    if ord == 2:
        return root(sum_(square(tensor), axis, keepdims=keepdims))
    size = abs_(tensor)
    if ord == 1:
        return sum_(size, axis, keepdims=keepdims)
    if ord == 0:
        return sum_(cast(not_equal(tensor, 0), tensor.dtype), axis, keepdims=keepdims)
    if ord in (math.inf, -math.inf):
        return (max_ if ord > 0 else min_)(size, axis, keepdims=keepdims)
    total = sum_(pow(size, float(ord)), axis, keepdims=keepdims)
    zero = equal(total, 0)
    return where(zero, 0, pow(where(zero, 1, total), 1.0 / ord))


@composite
def matrix_norm(x: TensorLike, *, keepdims: bool = False, ord: float | str = "fro") -> Tensor:
    """The norm of the matrices in the last two axes: "fro", or ±1 and ±∞ of column and row sums of |x|.

    Raises `UnsupportedError` for 2, −2 and "nuc", which take singular values.
    """
    tensor = as_float(x)
    if tensor.ndim < 2:
        raise not_a_matrix("matrix_norm", tensor)
    if ord == "fro":
        return vector_norm(tensor, axis=(-2, -1), keepdims=keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise UnsupportedError(
            f"matrix_norm: ord={ord!r} takes singular values",
            operands=[describe("x", tensor.node)],
            site=user_site(),
            help='use "fro", 1, -1, gr.inf or -gr.inf',
        )
    summed, left = (-2, -1) if ord in (1, -1) else (-1, -2)
    sums = sum_(abs_(tensor), summed, keepdims=True)
    norm = (max_ if ord > 0 else min_)(sums, left, keepdims=True)
    return norm if keepdims else reshape(norm, tensor.shape[:-2])


@answering()
def norm(x: TensorLike, ord: float | str | None = None, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """As NumPy's: the 2-norm of all elements; with `ord`, of a vector along one axis or of a matrix in two."""
    tensor = as_float(x)
    axes = normal_axes(tensor, axis)
    if ord is None or (ord == "fro" and len(axes) == 2):
        return vector_norm(tensor, axis=axes, keepdims=keepdims)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(tensor, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ArgumentError(
            f"norm: ord={ord!r} over {len(axes)} axes",
            operands=[describe("x", tensor.node)],
            site=user_site(),
            help="ord goes with one axis (a vector) or two (a matrix)",
        )
    given = [normal_axes(tensor, a)[0] for a in axis] if isinstance(axis, Sequence) else list(axes)
    moved = moveaxis(moveaxis(tensor, given[0], -1), given[1] - (given[1] > given[0]), -1)
    result = matrix_norm(moved, ord=ord)
    return reshape(result, [1 if i in axes else s for i, s in enumerate(tensor.shape)]) if keepdims else result


def square_matrix(name: str, x: Tensor) -> None:
    """Raise `ShapeError` unless the last two axes are of one size."""
    if x.ndim < 2 or x.type.shape[-1] != x.type.shape[-2]:
        raise ShapeError(f"{name}: {x.type} is no square matrix", operands=[describe("x", x.node)], site=user_site())


def not_a_matrix(name: str, x: Tensor) -> ShapeError:
    """The error of a tensor of too few axes."""
    return ShapeError(f"{name}: {x.type} is no matrix", operands=[describe("x", x.node)], site=user_site())


def unmultipliable(message: str, lhs: Tensor, rhs: Tensor, help: str) -> ShapeError:
    """The error of operands that have no product."""
    operands = [describe("lhs", lhs.node), describe("rhs", rhs.node)]
    return ShapeError(message, operands=operands, site=user_site(), help=help)
