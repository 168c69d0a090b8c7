"""Data types: their limits, their kinds, what they promote to; by the names of the Python array API standard."""

from __future__ import annotations

import numpy as np

from graphc.errors import ArgumentError, DTypeError
from graphc.frontend.promotion import array_of, as_tensor, cast, common_dtype, is_weak, promote
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import FROM_NUMPY, DType
from graphc.ops.base import limits
from graphc.records import Record
from graphc.sites import user_site


class FloatInfo(Record):
    """The limits of a float dtype."""

    bits: int
    eps: float  # the distance of 1 to the next float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IntegerInfo(Record):
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def expect_dtype(value: object) -> DType:
    """The dtype that a value is, NumPy's included. Raises `DTypeError` for anything else."""
    if isinstance(value, DType):
        return value
    named = isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic))
    known = FROM_NUMPY.get(np.dtype(value)) if named else None  # type: ignore[call-overload]
    if known is None:
        raise DTypeError(f"{value!r} is not a dtype", site=user_site(), help="use gr.f32, gr.f64, gr.i32, gr.bool, …")
    return known


def astype(x: TensorLike, dtype: DType, *, copy: bool = True) -> Tensor:
    """The elements as another dtype: floats to integers truncate and saturate, NaN gives 0.

    Tensors never change, so that `copy` says nothing.
    """
    return cast(as_tensor(x), expect_dtype(dtype))


def dtype_of(value: DType | TensorLike) -> DType:
    """A dtype, or that of a tensor or an array."""
    if isinstance(value, (DType, Tensor)):
        return value if isinstance(value, DType) else value.dtype
    if is_weak(value):
        return common_dtype([value])
    return expect_dtype(array_of(value).dtype)


def finfo(type: DType | TensorLike, /) -> FloatInfo:
    """The limits of a float dtype, or of a tensor's. Raises `DTypeError` for other dtypes.

    >>> gr.finfo(gr.f32).eps
    1.1920928955078125e-07
    """
    dtype = dtype_of(type)
    if not dtype.is_float:
        raise DTypeError(f"finfo: {dtype} is no float", site=user_site(), help="gr.iinfo tells of integers")
    eps = 2.0 ** (1 - dtype.precision)
    largest = (2.0 - eps) * 2.0**dtype.largest_exponent
    return FloatInfo(8 * dtype.itemsize, eps, largest, -largest, 2.0 ** (1 - dtype.largest_exponent), dtype)


def iinfo(type: DType | TensorLike, /) -> IntegerInfo:
    """The limits of an integer dtype, or of a tensor's. Raises `DTypeError` for other dtypes."""
    dtype = dtype_of(type)
    if not dtype.is_integer:
        raise DTypeError(f"iinfo: {dtype} is no integer", site=user_site(), help="gr.finfo tells of floats")
    low, high = limits(dtype)
    return IntegerInfo(8 * dtype.itemsize, high, low, dtype)


def can_cast(from_: DType | TensorLike, to: DType, /) -> bool:
    """Whether promotion takes the one dtype to the other."""
    return promote(dtype_of(from_), expect_dtype(to)) == to


def result_type(*arrays_and_dtypes: DType | TensorLike) -> DType:
    """The dtype that operands are promoted to; Python numbers are weak. Raises `ArgumentError` for none at all."""
    if not arrays_and_dtypes:
        raise ArgumentError("result_type: takes at least one tensor or dtype", site=user_site())
    return common_dtype([v if not isinstance(v, DType) and is_weak(v) else dtype_of(v) for v in arrays_and_dtypes])


KINDS = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": (),
    "numeric": ("int", "uint", "float"),
}


def isdtype(dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> bool:
    """Whether a dtype is of a kind ("bool", "signed integer", "integral", "real floating", "numeric", …), or one of
    several. Raises `ArgumentError` for an unknown kind."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, DType):
        return expect_dtype(dtype) == kind
    if kind not in KINDS:
        raise ArgumentError(f"isdtype: {kind!r} is not a kind", site=user_site(), help=f"one of {', '.join(KINDS)}")
    return expect_dtype(dtype).kind in KINDS[kind]
