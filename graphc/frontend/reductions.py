"""Reductions over axes, by the names of the Python array API standard."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from graphc import ops
from graphc.errors import ArgumentError, AxisError, DTypeError
from graphc.frontend.composite import in_f32
from graphc.frontend.elementwise import (
    divide,
    equal,
    maximum,
    multiply,
    not_equal,
    numeric,
    sqrt,
    stop_gradient,
    subtract,
    where,
)
from graphc.frontend.logic import truth
from graphc.frontend.promotion import apply, as_tensor, cast, element_count
from graphc.frontend.recording import current, describe
from graphc.frontend.tensor import Axis, Tensor, TensorLike
from graphc.ir.dim import Size
from graphc.ir.types import DType, bool_, f32, i32, i64, u8
from graphc.ops.size import SizeOf
from graphc.sites import user_site


def sum(x: TensorLike, axis: Axis = None, *, dtype: DType | None = None, keepdims: bool = False) -> Tensor:
    """The sum over axes, all of them by default, in `dtype` if one is given; booleans and u8 are counted as i32."""
    return reduce(ops.ReduceSum, countable(x, dtype), axis, keepdims)


def prod(x: TensorLike, axis: Axis = None, *, dtype: DType | None = None, keepdims: bool = False) -> Tensor:
    """The product over axes, in `dtype` if one is given; booleans and u8 as i32."""
    return reduce(ops.ReduceProd, countable(x, dtype), axis, keepdims)


def max(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest element over axes, which must not be empty; a NaN wins; equal ones share the gradient."""
    return reduce(ops.ReduceMax, nonempty("max", numeric(x), axis), axis, keepdims)


def largest(x: Tensor, axis: Axis) -> Tensor:
    """The maximum along axes, kept as axes of size 1, a constant to differentiation; −∞ over no elements."""
    return stop_gradient(reduce(ops.ReduceMax, x, axis, keepdims=True))


def min(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The smallest element over axes, which must not be empty; a NaN wins; equal ones share the gradient."""
    return reduce(ops.ReduceMin, nonempty("min", numeric(x), axis), axis, keepdims)


def any(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether any element over axes is true; False over none."""
    return not_equal(reduce(ops.ReduceSum, cast(truth(x), i32), axis, keepdims), 0)


def all(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether every element over axes is true; True over none."""
    return not_equal(reduce(ops.ReduceProd, cast(truth(x), i32), axis, keepdims), 0)


def count_nonzero(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """How many elements over axes are not zero, i64."""
    return reduce(ops.ReduceSum, cast(truth(x), i64), axis, keepdims)


@in_f32
def mean(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The mean over axes; integers as f32; NaN over none."""
    tensor = as_float(x)
    return divide(sum(tensor, axis, keepdims=keepdims), count(tensor, axis))


@in_f32
def var(x: TensorLike, axis: Axis = None, *, correction: int | float = 0, keepdims: bool = False) -> Tensor:
    """The variance over axes: Σ(x − mean)² / max(n − correction, 0)."""
    tensor = as_float(x)
    deviation = subtract(tensor, mean(tensor, axis, keepdims=True))
    squares = sum(multiply(deviation, deviation), axis, keepdims=keepdims)
    return divide(squares, degrees(count(tensor, axis), correction))


@in_f32
def std(x: TensorLike, axis: Axis = None, *, correction: int | float = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes; its derivative where it is 0 is 0."""
    return root(var(x, axis, correction=correction, keepdims=keepdims))


def degrees(elements: Tensor, correction: int | float) -> Tensor:
    """What a sum of squares is divided by for a variance."""
    return maximum(subtract(elements, correction), 0) if correction else elements


def root(x: Tensor) -> Tensor:
    """√x with derivative 0 where x is 0."""
    zero = equal(x, 0)
    return where(zero, 0, sqrt(where(zero, 1, x)))


def argmax(x: TensorLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The i64 index of the first largest element along an axis, or of the flattened tensor."""
    return arg_reduce(ops.ArgMax, x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The i64 index of the first smallest element along an axis, or of the flattened tensor."""
    return arg_reduce(ops.ArgMin, x, axis, keepdims)


def reduce(op: Callable[[tuple[int, ...]], ops.Reduction], x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """A reduction over normalised axes, which stay with size 1 if asked."""
    axes = normal_axes(x, axis)
    result = apply(op(axes), x) if axes else x
    return restored(result, x, axes) if keepdims else result


def arg_reduce(op: Callable[[int], ops.ArgReduction], x: TensorLike, axis: int | None, keepdims: bool) -> Tensor:
    """The index of an extreme element."""
    tensor = nonempty(op(0).mnemonic(), numeric(x), axis)
    if axis is None:
        flat = apply(ops.Reshape((tensor.type.size,)), tensor) if tensor.ndim != 1 else tensor
        return restored(apply(op(0), flat), tensor, tuple(range(tensor.ndim))) if keepdims else apply(op(0), flat)
    axes = normal_axes(tensor, axis)
    result = apply(op(axes[0]), tensor)
    return restored(result, tensor, axes) if keepdims else result


def restored(result: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A reduction's result with the reduced axes back, of size 1."""
    shape: tuple[Size, ...] = tuple(1 if i in axes else s for i, s in enumerate(x.type.shape))
    return result if result.type.shape == shape else apply(ops.Reshape(shape), result)


def normal_axes(x: Tensor, axis: Axis) -> tuple[int, ...]:
    """Axes as sorted numbers from 0.

    Raises `AxisError` where one does not exist or is named twice, `ArgumentError` where one is no integer.
    """
    if axis is None:
        return tuple(range(x.ndim))
    try:
        given = [operator.index(a) for a in (axis if isinstance(axis, Sequence) else [axis])]
    except TypeError:
        raise ArgumentError(f"axis={axis!r} is neither an integer nor several", site=user_site()) from None
    axes = sorted(a + x.ndim if a < 0 else a for a in given)
    if len(set(axes)) != len(axes) or not set(axes) <= set(range(x.ndim)):
        raise AxisError(
            f"axis {axis} does not fit a tensor of rank {x.ndim}",
            operands=[describe("x", x.node)],
            site=user_site(),
            help=f"its axes are 0 to {x.ndim - 1}, each once; negative ones count from the end" if x.ndim else None,
        )
    return tuple(axes)


def nonempty(name: str, x: Tensor, axis: Axis) -> Tensor:
    """The tensor, with a check that the axes have elements: there is no largest of none."""
    for a in normal_axes(x, axis):
        current().check(x.type.shape[a], 1, f"{name} over an empty axis")
    return x


def count(x: Tensor, axis: Axis) -> Tensor:
    """How many elements the axes hold, as a scalar of the tensor's dtype."""
    size = element_count([x.type.shape[a] for a in normal_axes(x, axis)])
    return as_tensor(size, x.dtype) if isinstance(size, int) else apply(SizeOf(x.dtype, size))


def as_float(x: TensorLike) -> Tensor:
    """The tensor; integers and booleans as f32."""
    tensor = as_tensor(x)
    return tensor if tensor.dtype.is_float else cast(tensor, f32)


def countable(x: TensorLike, dtype: DType | None = None) -> Tensor:
    """The tensor as the dtype given; else dtypes too narrow for a sum as i32."""
    if dtype is not None:
        tensor = cast(as_tensor(x), expect_dtype(dtype))
        return cast(tensor, i32) if tensor.dtype == bool_ else tensor
    tensor = numeric(x)
    return cast(tensor, i32) if tensor.dtype == u8 else tensor


def expect_dtype(dtype: DType) -> DType:
    """A dtype argument. Raises `DTypeError` where it is something else."""
    if isinstance(dtype, DType):
        return dtype
    raise DTypeError(f"{dtype!r} is not a dtype", site=user_site(), help="use gr.f32, gr.f64, gr.i32, gr.bool, …")
