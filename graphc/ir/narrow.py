"""16-bit floats: they are stored so, computed in float32, and the result of each op is rounded to nearest even.

`Op.narrow` names the ops that take them as they are, since they only move, choose or convert elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.node import Array, Op
from graphc.ir.types import FROM_NUMPY, DType


def meaning(op: Op, operands: Sequence[Array], dtype: DType) -> Array:
    """What a bound op gives for arrays; `dtype` is its result's."""
    if op.narrow:
        return np.asarray(op.eval(*operands))
    value = np.asarray(op.widened().eval(*(wide(x) for x in operands)))
    return narrowed(value, dtype) if dtype.is_narrow else value


def is_narrow(array: Array) -> bool:
    """Whether an array holds 16-bit floats."""
    dtype = FROM_NUMPY.get(array.dtype)
    return dtype is not None and dtype.is_narrow


def wide(array: Array) -> Array:
    """An array with float32 for 16-bit floats, exactly."""
    return array.astype(np.float32) if array.dtype.itemsize == 2 and is_narrow(array) else array


def narrowed(array: Array, dtype: DType) -> Array:
    """Numbers as 16-bit floats, rounded to nearest even: floats once, integers as float32 first."""
    single = to_odd(array) if array.dtype == np.float64 else array.astype(np.float32)
    return single.astype(dtype.numpy)


def to_odd(array: Array) -> Array:
    """float64 as float32, truncated, the last bit set where that is inexact: rounding it on then rounds but once.

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008.
    """
    single = array.astype(np.float32)
    back = single.astype(np.float64)
    inexact = (back != array) & ~np.isnan(array)
    away = inexact & (np.abs(back) > np.abs(array))
    bits = single.view(np.uint32) - away.astype(np.uint32)
    return np.asarray(bits | inexact.astype(np.uint32)).view(np.float32)
