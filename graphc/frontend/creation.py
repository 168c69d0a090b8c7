"""New tensors, by the names of the Python array API standard. Sizes may be symbolic wherever they are sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ArgumentError, ShapeError, UnsupportedError
from graphc.frontend.dtypes import expect_dtype
from graphc.frontend.elementwise import equal, greater_equal, less_equal, where
from graphc.frontend.manipulation import normal_shape
from graphc.frontend.promotion import apply, as_tensor, cast, is_weak, stretch
from graphc.frontend.recording import describe
from graphc.frontend.size import SymbolicSize, UserSize, is_size, to_size
from graphc.frontend.tensor import Shape, Tensor, TensorLike
from graphc.ir.dim import Dim, Size, maximum
from graphc.ir.types import DType, f32, i32, i64
from graphc.sites import user_site


def asarray(
    x: TensorLike, dtype: DType | None = None, *, device: object = None, copy: bool | None = None
) -> Tensor:
    """Anything as a tensor: Python numbers are f32 and i32, arrays keep their dtype unless one is given.

    Tensors never change, so that `copy` says nothing. Raises `DTypeError` for what is no rectangular array of numbers.
    """
    expect_host(device)
    dtype = None if dtype is None else expect_dtype(dtype)
    tensor = as_tensor(x, dtype) if is_weak(x) else as_tensor(x)
    return tensor if dtype is None else cast(tensor, dtype)


def from_dlpack(x: Any, /, *, device: object = None, copy: bool | None = None) -> Tensor:
    """A constant from another library's array."""
    expect_host(device)
    return as_tensor(x if isinstance(x, Tensor) else np.from_dlpack(x))


def expect_host(device: object) -> None:
    """Raise `UnsupportedError` for a device other than the CPU."""
    if device not in (None, "cpu"):
        raise UnsupportedError(f"device {device!r}", site=user_site(), help="graphc computes on the CPU: leave it out")


def full(shape: Shape, fill_value: TensorLike, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """A shape filled with a scalar."""
    value = asarray(fill_value, dtype, device=device)
    if value.ndim:
        raise UnsupportedError("full: the value is not a scalar", site=user_site(), help="use gr.broadcast_to")
    return stretch(value, normal_shape(shape))


def zeros(shape: Shape, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """Zeros, f32 by default."""
    return full(shape, 0, f32 if dtype is None else dtype, device=device)


def ones(shape: Shape, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """Ones, f32 by default."""
    return full(shape, 1, f32 if dtype is None else dtype, device=device)


def empty(shape: Shape, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """Zeros, f32 by default: nothing is ever uninitialised."""
    return zeros(shape, dtype, device=device)


def full_like(x: TensorLike, fill_value: TensorLike, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """A scalar repeated to another tensor's shape and dtype."""
    like = as_tensor(x)
    return stretch(asarray(fill_value, like.dtype if dtype is None else dtype, device=device), like.type.shape)


def zeros_like(x: TensorLike, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """Zeros of another tensor's shape and dtype."""
    return full_like(x, 0, dtype, device=device)


def ones_like(x: TensorLike, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """Ones of another tensor's shape and dtype."""
    return full_like(x, 1, dtype, device=device)


def empty_like(x: TensorLike, dtype: DType | None = None, *, device: object = None) -> Tensor:
    """Zeros of another tensor's shape and dtype."""
    return zeros_like(x, dtype, device=device)


def arange(
    start: UserSize | float,
    stop: UserSize | float | None = None,
    step: int | float = 1,
    dtype: DType | None = None,
    *,
    device: object = None,
) -> Tensor:
    """start, start + step, … up to, not including, stop; the only argument is stop. Sizes may be symbolic.

    Whole numbers give i32, others f32, unless a dtype is given.
    """
    expect_host(device)
    first: Any = 0 if stop is None else start
    last: Any = start if stop is None else stop
    for bound in (first, last, step):
        if not is_size(bound) and not isinstance(bound, (float, np.floating)):
            raise ArgumentError(
                f"arange: {bound!r} is not a number known while tracing",
                site=user_site(),
                help="gr.arange(n) + x moves it to a computed start",
            )
    if step == 0:
        raise ArgumentError("arange: the step is 0", site=user_site())
    if is_size(first) and is_size(last) and is_size(step):
        return whole_steps(to_size(first), to_size(last), int(step), i32 if dtype is None else expect_dtype(dtype))
    if isinstance(first, (Dim, SymbolicSize)) or isinstance(last, (Dim, SymbolicSize)):
        help = "multiply gr.arange(n) by the step"
        raise UnsupportedError("arange: symbolic sizes in steps that are not whole", site=user_site(), help=help)
    count = max(math.ceil((last - first) / step), 0)
    return asarray(first + np.arange(count) * np.float64(step), f32 if dtype is None else dtype)


def whole_steps(start: Size, stop: Size, step: int, dtype: DType) -> Tensor:
    """`arange` of whole numbers."""
    distance = stop - start if step > 0 else start - stop
    (count,) = normal_shape(maximum((distance + (abs(step) - 1)) // abs(step), 0))
    plain = isinstance(start, int) and start == 0 and step == 1
    counted = i64 if (dtype.is_float and not plain) or dtype.kind == "bool" else dtype
    places = apply(ops.Iota(counted, (count,), 0))
    if step != 1:
        places = places * as_tensor(step % 2**8 if counted.kind == "uint" else step, counted)
    if not (isinstance(start, int) and start == 0):
        places = places + as_tensor(SymbolicSize(start) if isinstance(start, Dim) else start, counted)
    return cast(places, dtype)


def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: UserSize,
    dtype: DType | None = None,
    *,
    endpoint: bool = True,
    device: object = None,
) -> Tensor:
    """`num` numbers from start to stop at equal distances, f32 by default; without `endpoint`, stop is left out."""
    expect_host(device)
    if isinstance(num, int) and num < 0:
        raise ArgumentError(f"linspace: {num} numbers", site=user_site())
    if isinstance(start, (int, float)) and isinstance(stop, (int, float)) and isinstance(num, int):
        values = np.linspace(start, stop, num, endpoint=endpoint)
        return asarray(values, f32 if dtype is None else dtype)
    low, high = (asarray(v, f32) if is_weak(v) else as_tensor(v) for v in (start, stop))
    (count,) = normal_shape(num)
    parts = maximum(count - 1, 1) if endpoint else maximum(count, 1)
    share = apply(ops.Iota(f32, (count,), 0)) / as_tensor(SymbolicSize(parts) if isinstance(parts, Dim) else parts, f32)
    result = low * (1.0 - share) + high * share
    return cast(result, result.dtype if dtype is None else dtype)


def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: UserSize,
    *,
    endpoint: bool = True,
    base: float = 10.0,
    dtype: DType | None = None,
) -> Tensor:
    """`num` powers of a base whose exponents go from start to stop at equal distances; see `linspace`."""
    exponents = linspace(start, stop, num, dtype if dtype is not None and dtype.is_float else None, endpoint=endpoint)
    powers = apply(ops.Pow(), full(exponents.shape, base, exponents.dtype), exponents)
    return cast(powers, exponents.dtype if dtype is None else dtype)


def eye(
    n_rows: UserSize,
    n_cols: UserSize | None = None,
    *,
    k: int = 0,
    dtype: DType | None = None,
    device: object = None,
) -> Tensor:
    """Ones on the k-th diagonal (above the main one where k > 0), zeros elsewhere; f32 by default."""
    expect_host(device)
    shape = normal_shape((n_rows, n_rows if n_cols is None else n_cols))
    rows, columns = (apply(ops.Iota(i64, shape, axis)) for axis in (0, 1))
    k = max(min(k, 2**62), -(2**62))  # as far away as any
    return cast(equal(rows + k if k else rows, columns), f32 if dtype is None else expect_dtype(dtype))


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """The last two axes' elements on and below the k-th diagonal, zeros above."""
    matrix, rows, columns = places_of("tril", x)
    return where(less_equal(columns, rows + k), matrix, as_tensor(0, matrix.dtype))


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """The last two axes' elements on and above the k-th diagonal, zeros below."""
    matrix, rows, columns = places_of("triu", x)
    return where(greater_equal(columns, rows + k), matrix, as_tensor(0, matrix.dtype))


def places_of(name: str, x: TensorLike) -> tuple[Tensor, Tensor, Tensor]:
    """A stack of matrices, with the row and the column of their elements."""
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(
            f"{name}: {tensor.type} has fewer than two axes", operands=[describe("x", tensor.node)], site=user_site()
        )
    shape = tensor.type.shape[-2:]
    return tensor, apply(ops.Iota(i32, shape, 0)), apply(ops.Iota(i32, shape, 1))


def meshgrid(*arrays: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """For each vector its elements along its own axis of the grid of all of them.

    With `indexing="xy"` the first vector runs along the second axis, as in a plot; with `"ij"` along the first.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing {indexing!r} is neither 'xy' nor 'ij'", site=user_site())
    vectors = [as_tensor(a) for a in arrays]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        order[:2] = [1, 0]
    shape = tuple(vectors[i].type.size for i in order)
    flat = [v if v.ndim == 1 else apply(ops.Reshape((v.type.size,)), v) for v in vectors]
    return [apply(ops.Broadcast(shape, (order.index(i),)), v) for i, v in enumerate(flat)]
