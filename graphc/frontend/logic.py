"""Logic, and operations on bits, by the names of the Python array API standard."""

from __future__ import annotations

from graphc import ops
from graphc.frontend.elementwise import arithmetic, minimum
from graphc.frontend.promotion import apply, as_tensor, cast, elementwise, promoted
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import bool_, i32


def truth(x: TensorLike) -> Tensor:
    """Whether elements are not zero."""
    return cast(as_tensor(x), bool_)


def logical_and(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Both are true."""
    return elementwise(ops.And(), truth(x1), truth(x2))


def logical_or(x1: TensorLike, x2: TensorLike) -> Tensor:
    """One or both are true."""
    return elementwise(ops.Or(), truth(x1), truth(x2))


def logical_xor(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Exactly one is true."""
    return elementwise(ops.Xor(), truth(x1), truth(x2))


def logical_not(x: TensorLike) -> Tensor:
    """It is false."""
    return apply(ops.Not(), truth(x))


def bitwise_and(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 & x2; on booleans the logical function."""
    return elementwise(ops.And(), x1, x2)


def bitwise_or(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 | x2; on booleans the logical function."""
    return elementwise(ops.Or(), x1, x2)


def bitwise_xor(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 ^ x2; on booleans the logical function."""
    return elementwise(ops.Xor(), x1, x2)


def bitwise_invert(x: TensorLike) -> Tensor:
    """~x; on booleans the logical function."""
    return elementwise(ops.Not(), x)


def bitwise_left_shift(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 << x2; counts beyond the width give 0."""
    return arithmetic(ops.Shl(), x1, x2)


def bitwise_right_shift(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 >> x2, filling with the sign where there is one, whatever the count; counts below 0 give 0."""
    value, count = promoted(x1, x2, least=i32)
    if value.dtype.kind == "int":
        count = minimum(count, 8 * value.dtype.itemsize - 1)
    return elementwise(ops.Shr(), value, count)
