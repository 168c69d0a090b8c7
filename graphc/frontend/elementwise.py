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
    elementwise,
    is_weak,
    promoted,
    stretch,
    weak_kind,
)
from graphc.frontend.recording import current, describe, roles
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import bool_, f32, i32
from graphc.sites import user_site


def numeric(x: TensorLike) -> Tensor:
    """A tensor that arithmetic is defined on: booleans count as i32."""
    return promoted(x, least=i32)[0]


def arithmetic(op: ops.Elementwise, *values: TensorLike) -> Tensor:
    """An op on numbers: booleans count as i32."""
    return elementwise(op, *values, least=i32)


def lattice(op: ops.Elementwise, logic: ops.Elementwise, *values: TensorLike) -> Tensor:
    """An op on numbers, or the logical one where all are booleans."""
    recording = current(op)
    tensors = broadcast(op, *promoted(*values))
    return Tensor(recording.node(logic if tensors[0].dtype == bool_ else op, *[t.node for t in tensors]))


def signed(name: str, help: str, op: ops.Elementwise, *values: TensorLike) -> Tensor:
    """An op on numbers that booleans do not have: `DTypeError`."""
    recording = current(op)
    tensors = broadcast(name, *promoted(*values))
    if tensors[0].dtype == bool_:
        raise DTypeError(
            f"{name}: not defined on bool",
            operands=[describe(role, t.node) for role, t in zip(roles(len(tensors)), tensors, strict=True)],
            site=user_site(),
            help=f"{help}; cast to count: x.astype(gr.i32)",
        )
    return Tensor(recording.node(op, *[t.node for t in tensors]))


def floating(op: ops.Elementwise, *values: TensorLike) -> Tensor:
    """An op on floats: where all are integers they become f32."""
    return elementwise(op, *values, least=f32)


# Arithmetic


def add(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 + x2; of booleans, whether one is true."""
    return lattice(ops.Add(), ops.Or(), x1, x2)


def subtract(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 − x2. Raises `DTypeError` for two booleans."""
    return signed("subtract", "gr.logical_xor tells where two differ", ops.Sub(), x1, x2)


def multiply(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 · x2; of booleans, whether both are true."""
    return lattice(ops.Mul(), ops.And(), x1, x2)


def divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2; integers divide as f32."""
    return floating(ops.Div(), x1, x2)


def floor_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """⌊x1 / x2⌋; an integer over 0 is 0. Floats: the whole number that `remainder` leaves, as Python's `//`."""
    a, b = broadcast("floor_divide", *promoted(x1, x2, least=i32))
    if not a.dtype.is_float:
        return apply(ops.Div(), a, b)
    dtype = a.dtype
    a, b = (cast(stop_gradient(x), dtype.computed) for x in (a, b))
    rest = apply(ops.Rem(), a, b)
    quotient = a / b
    apart = equal(sign(a) * sign(b), -1)
    below = apart & not_equal(rest, 0)  # where the quotient is rounded down, away from 0: rest − b is what is left of a
    multiple = (a - where(below, rest - b, rest)) / b
    whole = floor(multiple)
    near = where(greater(multiple - whole, 0.5), whole + 1.0, whole) - where(below, 1.0, 0.0)
    beyond = where(apart, -1.0, quotient)  # of a finite number and ±∞: −1, or a zero
    exact = where(isinf(b) & isfinite(a), beyond, where(equal(near, 0), 0.0 * quotient, near))
    return cast(where(equal(b, 0), quotient, exact), dtype)


def remainder(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 − ⌊x1 / x2⌋·x2, with the sign of x2."""
    return arithmetic(ops.Rem(), x1, x2)


def negative(x: TensorLike) -> Tensor:
    """−x. Raises `DTypeError` for booleans."""
    return signed("negative", "gr.logical_not turns them around", ops.Neg(), x)


def positive(x: TensorLike) -> Tensor:
    """x."""
    return numeric(x)


def abs(x: TensorLike) -> Tensor:
    """|x|; its derivative at 0 is 0; the least integer stays itself."""
    return arithmetic(ops.Abs(), x)


def sign(x: TensorLike) -> Tensor:
    """−1, 0 or 1; NaN of NaN."""
    return arithmetic(ops.Sign(), x)


def square(x: TensorLike) -> Tensor:
    """x²."""
    tensor = numeric(x)
    return apply(ops.Mul(), tensor, tensor)


def reciprocal(x: TensorLike) -> Tensor:
    """1 / x."""
    return divide(1.0, x)


def pow(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 to the power x2. A whole exponent becomes products, ½ a square root.

    Integers wrap; their negative powers truncate (0 but for ±1), and a negative number as exponent is refused.
    """
    if is_weak(x2) and not isinstance(x2, SymbolicSize) and isinstance(x1, Tensor):
        exponent = float(x2)  # type: ignore[arg-type]
        whole = exponent.is_integer() and math.fabs(exponent) <= 64
        if whole and (x1.dtype.is_float or (exponent >= 0 and weak_kind(x2) != "float")):
            return whole_power(numeric(x1), int(exponent))
        if exponent == 0.5:
            return sqrt(x1)
        if exponent < 0 and weak_kind(x2) == "int" and not x1.dtype.is_float:
            raise UnsupportedError(
                "pow: integers to a negative power",
                operands=[describe("x", x1.node)],
                site=user_site(),
                help="cast to a float: x.astype(gr.f32)",
            )
    return arithmetic(ops.Pow(), x1, x2)


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
    return lattice(ops.Max(), ops.Or(), x1, x2)


def minimum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller; NaN where one is NaN; equal ones share the gradient."""
    return lattice(ops.Min(), ops.And(), x1, x2)


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


# Selection, gradients


def where(condition: TensorLike, x1: TensorLike | None = None, x2: TensorLike | None = None) -> Tensor:
    """x1 where the condition holds, else x2. The condition must be bool: `DTypeError`."""
    test = as_tensor(condition)
    if x1 is None or x2 is None:
        raise UnsupportedError(
            "where: the places where a condition holds are of no fixed number",
            operands=[describe("condition", test.node)],
            site=user_site(),
            help="give the values to choose from: gr.where(condition, x1, x2)",
        )
    if test.dtype != bool_:
        raise DTypeError(
            f"where: the condition is {test.dtype}, not bool",
            operands=[describe("condition", test.node)],
            site=user_site(),
            help="compare it, for example condition != 0",
        )
    return apply(ops.Select(), *broadcast("where", test, *promoted(x1, x2)))


def stop_gradient(x: TensorLike) -> Tensor:
    """x, as a constant to differentiation."""
    tensor = as_tensor(x)
    return apply(ops.StopGradient(), tensor) if tensor.dtype.is_float else tensor
