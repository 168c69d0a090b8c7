"""Elementwise functions, by the names of the Python array API standard."""

from __future__ import annotations

import math

from graphc import ops
from graphc.errors import DTypeError, UnsupportedError
from graphc.frontend.promotion import (
    apply,
    as_tensor,
    broadcast,
    cast,
    common_dtype,
    elementwise,
    is_weak,
    promoted,
    stretch,
    weak_kind,
)
from graphc.frontend.recording import describe
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import DType, bool_, f32, i32
from graphc.sites import user_site


def numeric(x: TensorLike) -> Tensor:
    """A tensor that arithmetic is defined on: booleans count as i32."""
    return promoted(x, least=i32)[0]


def arithmetic(op: ops.Elementwise, *values: TensorLike) -> Tensor:
    """An op on numbers: booleans count as i32."""
    return elementwise(op, *values, least=i32)


def floating(op: ops.Elementwise, *values: TensorLike) -> Tensor:
    """An op on floats: where all are integers they become f32."""
    return elementwise(op, *values, least=f32)


# Arithmetic


def add(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 + x2."""
    return arithmetic(ops.Add(), x1, x2)


def subtract(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 − x2."""
    return arithmetic(ops.Sub(), x1, x2)


def multiply(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 · x2."""
    return arithmetic(ops.Mul(), x1, x2)


def divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2; integers divide as f32."""
    return floating(ops.Div(), x1, x2)


def floor_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """⌊x1 / x2⌋; an integer over 0 is 0."""
    quotient = arithmetic(ops.Div(), x1, x2)
    return floor(quotient) if quotient.dtype.is_float else quotient


def remainder(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 − ⌊x1 / x2⌋·x2, with the sign of x2."""
    return arithmetic(ops.Rem(), x1, x2)


def negative(x: TensorLike) -> Tensor:
    """−x."""
    return arithmetic(ops.Neg(), x)


def positive(x: TensorLike) -> Tensor:
    """x."""
    return numeric(x)


def abs(x: TensorLike) -> Tensor:
    """|x|; its derivative at 0 is 0."""
    return arithmetic(ops.Abs(), x)


def sign(x: TensorLike) -> Tensor:
    """−1, 0 or 1."""
    return arithmetic(ops.Sign(), x)


def square(x: TensorLike) -> Tensor:
    """x²."""
    tensor = numeric(x)
    return apply(ops.Mul(), tensor, tensor)


def reciprocal(x: TensorLike) -> Tensor:
    """1 / x."""
    return divide(1.0, x)


def pow(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 to the power x2. A whole exponent becomes products, ½ a square root; integers take whole ones ≥ 0 only."""
    if is_weak(x2) and not isinstance(x2, SymbolicSize) and isinstance(x1, Tensor):
        exponent = float(x2)  # type: ignore[arg-type]
        whole = exponent.is_integer() and math.fabs(exponent) <= 64
        if whole and (x1.dtype.is_float or (exponent >= 0 and weak_kind(x2) == "int")):
            return whole_power(numeric(x1), int(exponent))
        if exponent == 0.5:
            return sqrt(x1)
    dtype = common_dtype([x1 if is_weak(x1) else as_tensor(x1), x2 if is_weak(x2) else as_tensor(x2)])
    if not dtype.is_float:
        raise UnsupportedError(
            "pow: integers to a negative or symbolic power",
            operands=[describe("x", v.node) for v in (x1, x2) if isinstance(v, Tensor)],
            site=user_site(),
            help="cast one of them to a float: x.astype(gr.f32)",
        )
    return elementwise(ops.Pow(), x1, x2)


def whole_power(x: Tensor, exponent: int) -> Tensor:
    """x to a whole power by repeated squaring."""
    if exponent < 0:
        return reciprocal(whole_power(x, -exponent))
    result: Tensor | None = None
    while exponent:
        if exponent & 1:
            result = x if result is None else multiply(result, x)
        exponent >>= 1
        if exponent:
            x = square(x)
    return result if result is not None else stretch(as_tensor(1, x.dtype), x.type.shape)


def maximum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The larger; NaN where one is NaN; equal ones share the gradient."""
    return arithmetic(ops.Max(), x1, x2)


def minimum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller; NaN where one is NaN; equal ones share the gradient."""
    return arithmetic(ops.Min(), x1, x2)


def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x between bounds."""
    result = numeric(x)
    if min is not None:
        result = maximum(result, min)
    return minimum(result, max) if max is not None else result


# Functions of floats


def exp(x: TensorLike) -> Tensor:
    """eˣ."""
    return floating(ops.Exp(), x)


def expm1(x: TensorLike) -> Tensor:
    """eˣ − 1, exact near 0."""
    return floating(ops.Expm1(), x)


def log(x: TensorLike) -> Tensor:
    """ln x."""
    return floating(ops.Log(), x)


def log1p(x: TensorLike) -> Tensor:
    """ln(1 + x), exact near 0."""
    return floating(ops.Log1p(), x)


def log2(x: TensorLike) -> Tensor:
    """log₂ x."""
    return log(x) * (1.0 / math.log(2.0))


def log10(x: TensorLike) -> Tensor:
    """log₁₀ x."""
    return log(x) * (1.0 / math.log(10.0))


def logaddexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """ln(exp x1 + exp x2) without overflow; both −∞ give −∞, both +∞ give +∞."""
    a, b = broadcast("logaddexp", *promoted(x1, x2, least=f32))
    gap = where(a == b, 0.0, -abs(a - b))
    return maximum(a, b) + log1p(exp(gap))


def sqrt(x: TensorLike) -> Tensor:
    """√x."""
    return floating(ops.Sqrt(), x)


def rsqrt(x: TensorLike) -> Tensor:
    """1 / √x."""
    return floating(ops.Rsqrt(), x)


def sin(x: TensorLike) -> Tensor:
    """sin x."""
    return floating(ops.Sin(), x)


def cos(x: TensorLike) -> Tensor:
    """cos x."""
    return floating(ops.Cos(), x)


def tan(x: TensorLike) -> Tensor:
    """sin x / cos x."""
    return sin(x) / cos(x)


def sinh(x: TensorLike) -> Tensor:
    """(eˣ − e⁻ˣ) / 2, exact near 0."""
    return 0.5 * (expm1(x) - expm1(negative(x)))


def cosh(x: TensorLike) -> Tensor:
    """(eˣ + e⁻ˣ) / 2."""
    return 0.5 * (exp(x) + exp(negative(x)))


def tanh(x: TensorLike) -> Tensor:
    """tanh x."""
    return floating(ops.Tanh(), x)


def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + e⁻ˣ)."""
    return floating(ops.Sigmoid(), x)


def erf(x: TensorLike) -> Tensor:
    """The error function."""
    return floating(ops.Erf(), x)


def floor(x: TensorLike) -> Tensor:
    """⌊x⌋; integers are left alone."""
    return rounding(ops.Floor(), x)


def ceil(x: TensorLike) -> Tensor:
    """⌈x⌉; integers are left alone."""
    return rounding(ops.Ceil(), x)


def round(x: TensorLike) -> Tensor:
    """The nearest whole number, halves to the even one; integers are left alone."""
    return rounding(ops.Round(), x)


def trunc(x: TensorLike) -> Tensor:
    """x without its fraction; integers are left alone."""
    return where(less(x, 0), ceil(x), floor(x))


def rounding(op: ops.Elementwise, x: TensorLike) -> Tensor:
    """A rounding op, which integers do not need."""
    tensor = numeric(x)
    return apply(op, tensor) if tensor.dtype.is_float else tensor


# Comparison


def equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 == x2."""
    return elementwise(ops.Eq(), x1, x2)


def not_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 != x2."""
    return elementwise(ops.Ne(), x1, x2)


def less(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 < x2."""
    return arithmetic(ops.Lt(), x1, x2)


def less_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 <= x2."""
    return arithmetic(ops.Le(), x1, x2)


def greater(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 > x2."""
    return arithmetic(ops.Gt(), x1, x2)


def greater_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 >= x2."""
    return arithmetic(ops.Ge(), x1, x2)


def isnan(x: TensorLike) -> Tensor:
    """Whether elements are NaN."""
    tensor = as_tensor(x)
    return not_equal(tensor, tensor)


def isinf(x: TensorLike) -> Tensor:
    """Whether elements are ±∞."""
    tensor = numeric(x)
    return equal(abs(tensor), math.inf) if tensor.dtype.is_float else not_equal(tensor, tensor)


def isfinite(x: TensorLike) -> Tensor:
    """Whether elements are neither infinite nor NaN."""
    tensor = numeric(x)
    return less(abs(tensor), math.inf) if tensor.dtype.is_float else equal(tensor, tensor)


# Logic and bits


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
    """x1 >> x2, filling with the sign where there is one; counts beyond the width give 0."""
    return arithmetic(ops.Shr(), x1, x2)


# Selection, casts, gradients


def where(condition: TensorLike, x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 where the condition holds, else x2. The condition must be bool: `DTypeError`."""
    test = as_tensor(condition)
    if test.dtype != bool_:
        raise DTypeError(
            f"where: the condition is {test.dtype}, not bool",
            operands=[describe("condition", test.node)],
            site=user_site(),
            help="compare it, for example condition != 0",
        )
    return apply(ops.Select(), *broadcast("where", test, *promoted(x1, x2)))


def astype(x: TensorLike, dtype: DType) -> Tensor:
    """The elements as another dtype: floats to integers truncate and saturate, NaN gives 0."""
    if not isinstance(dtype, DType):
        raise DTypeError(f"{dtype!r} is not a dtype", site=user_site(), help="use gr.f32, gr.f64, gr.i32, gr.bool, …")
    return cast(as_tensor(x), dtype)


def stop_gradient(x: TensorLike) -> Tensor:
    """x, as a constant to differentiation."""
    tensor = as_tensor(x)
    return apply(ops.StopGradient(), tensor) if tensor.dtype.is_float else tensor
