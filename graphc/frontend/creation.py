"""New tensors, by the names of the Python array API standard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, UnsupportedError
from graphc.frontend.elementwise import equal
from graphc.frontend.manipulation import normal_shape
from graphc.frontend.promotion import apply, as_tensor, cast, is_weak, stretch
from graphc.frontend.size import SymbolicSize, UserSize, to_size, user_size
from graphc.frontend.tensor import Shape, Tensor, TensorLike
from graphc.ir.dim import Dim
from graphc.ir.types import DType, f32, i32
from graphc.sites import user_site


def asarray(x: TensorLike, dtype: DType | None = None) -> Tensor:
    """Anything as a tensor: Python numbers are f32 and i32, arrays keep their dtype unless one is given."""
    if dtype is not None and not isinstance(dtype, DType):
        raise DTypeError(f"{dtype!r} is not a dtype", site=user_site(), help="use gr.f32, gr.f64, gr.i32, gr.bool, …")
    tensor = as_tensor(x, dtype) if is_weak(x) else as_tensor(x)
    return tensor if dtype is None else cast(tensor, dtype)


def full(shape: Shape, fill_value: TensorLike, dtype: DType | None = None) -> Tensor:
    """A shape filled with a scalar."""
    value = asarray(fill_value, dtype)
    if value.ndim:
        raise UnsupportedError("full: the value is not a scalar", site=user_site(), help="use gr.broadcast_to")
    return stretch(value, normal_shape(shape))


def zeros(shape: Shape, dtype: DType = f32) -> Tensor:
    """Zeros."""
    return full(shape, 0, dtype)


def ones(shape: Shape, dtype: DType = f32) -> Tensor:
    """Ones."""
    return full(shape, 1, dtype)


def full_like(x: TensorLike, fill_value: TensorLike, dtype: DType | None = None) -> Tensor:
    """A scalar repeated to another tensor's shape and dtype."""
    like = as_tensor(x)
    return stretch(asarray(fill_value, dtype or like.dtype), like.type.shape)


def zeros_like(x: TensorLike, dtype: DType | None = None) -> Tensor:
    """Zeros of another tensor's shape and dtype."""
    return full_like(x, 0, dtype)


def ones_like(x: TensorLike, dtype: DType | None = None) -> Tensor:
    """Ones of another tensor's shape and dtype."""
    return full_like(x, 1, dtype)


def arange(
    start: UserSize | float, stop: UserSize | float | None = None, step: int | float = 1, dtype: DType | None = None
) -> Tensor:
    """start, start + step, … up to, not including, stop; the only argument is stop. Sizes may be symbolic."""
    first, last = (0, start) if stop is None else (start, stop)
    if isinstance(first, (Dim, SymbolicSize)) or isinstance(last, (Dim, SymbolicSize)):
        count = normal_shape((to_size(last) - to_size(first) + int(step) - 1) // int(step))  # type: ignore[arg-type]
        places = apply(ops.Iota(dtype or i32, count, 0)) * step
        return places + (user_size(first) if isinstance(first, Dim) else first)
    values = np.arange(first, last, step)
    return asarray(values, dtype or (i32 if values.dtype.kind == "i" else f32))


def linspace(start: float, stop: float, num: int, dtype: DType = f32, endpoint: bool = True) -> Tensor:
    """`num` numbers from start to stop at equal distances."""
    return asarray(np.linspace(start, stop, num, endpoint=endpoint), dtype)


def eye(n_rows: UserSize, n_cols: UserSize | None = None, dtype: DType = f32) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    shape = normal_shape((n_rows, n_rows if n_cols is None else n_cols))
    return cast(equal(apply(ops.Iota(i32, shape, 0)), apply(ops.Iota(i32, shape, 1))), dtype)


def meshgrid(*arrays: TensorLike) -> Sequence[Tensor]:
    """For each vector its elements along its own axis of the grid of all of them (matrix indexing)."""
    vectors = [as_tensor(a) for a in arrays]
    shape = tuple(v.type.size for v in vectors)
    return [apply(ops.Broadcast(shape, (i,)), v) for i, v in enumerate(vectors)]
