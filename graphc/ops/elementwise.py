"""Elementwise arithmetic: y[i] = f(x0[i], x1[i])."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from graphc.errors import DTypeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node
from graphc.ir.types import TensorType, bool_
from graphc.ops.base import NUMERIC, SMALL, Elementwise, Emitter, Nonzero, Uniform


class Add(Elementwise):
    """Sum, z = x + y; integers wrap."""

    samples: ClassVar = (SMALL, SMALL)
    dtypes: ClassVar = NUMERIC

    def eval(self, *operands: Array) -> Array:
        return np.add(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, ct

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.add(*xs)


class Sub(Elementwise):
    """Difference, z = x − y; integers wrap."""

    samples: ClassVar = (SMALL, SMALL)
    dtypes: ClassVar = NUMERIC

    def eval(self, *operands: Array) -> Array:
        return np.subtract(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, -ct

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.sub(*xs)


class Mul(Elementwise):
    """Product, z = x·y; integers wrap."""

    samples: ClassVar = (SMALL, SMALL)
    dtypes: ClassVar = NUMERIC

    def eval(self, *operands: Array) -> Array:
        return np.multiply(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct * xs[1], ct * xs[0]

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.mul(*xs)


class Div(Elementwise):
    """Quotient, z = x / y; on integers ⌊x / y⌋, and 0 where y = 0."""

    samples: ClassVar = (SMALL, Nonzero(0.5, 4))
    dtypes: ClassVar = NUMERIC

    def eval(self, *operands: Array) -> Array:
        x, y = operands
        return np.divide(x, y) if x.dtype.kind == "f" else np.floor_divide(x, y)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        share = ct / xs[1]
        return share, -(share * y)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.div(*xs)


class Rem(Elementwise):
    """Remainder of floored division, with y's sign: z = x − y·⌊x / y⌋; on integers 0 where y = 0."""

    samples: ClassVar = (SMALL, Nonzero(0.5, 4))
    dtypes: ClassVar = NUMERIC

    def eval(self, *operands: Array) -> Array:
        return np.remainder(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, -(ct * build.floor(xs[0] / xs[1]))

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.rem(*xs)


class Neg(Elementwise):
    """Negation, y = −x; integers wrap."""

    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0

    def eval(self, *operands: Array) -> Array:
        return np.negative(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (-ct,)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.neg(*xs)


class Abs(Elementwise):
    """Magnitude, y = |x|; its derivative at 0 is 0."""

    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0

    def eval(self, *operands: Array) -> Array:
        return np.absolute(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * build.sign(xs[0]),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.abs(*xs)


class Sign(Elementwise):
    """−1, 0 or 1 after x's sign; NaN stays."""

    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def eval(self, *operands: Array) -> Array:
        return np.sign(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.sign(*xs)


class Max(Elementwise):
    """The larger, z = max(x, y); a NaN wins; equals share the cotangent evenly."""

    samples: ClassVar = (SMALL, SMALL)
    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0

    def eval(self, *operands: Array) -> Array:
        return np.maximum(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return share(ct, *xs), share(ct, *reversed(xs))

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.max(*xs)


class Min(Elementwise):
    """The smaller, z = min(x, y); a NaN wins; equals share the cotangent evenly."""

    samples: ClassVar = (SMALL, SMALL)
    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0

    def eval(self, *operands: Array) -> Array:
        return np.minimum(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return share(ct, *reversed(xs)), share(ct, *xs)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.min(*xs)


def share(ct: Node, x: Node, y: Node) -> Node:
    """The cotangent of x in max(x, y): all of it where x > y, half where they are equal."""
    return build.select(build.gt(x, y), ct, build.select(build.eq(x, y), ct * 0.5, build.zeros_like(ct)))


class Pow(Elementwise):
    """Power, z = x^y; floats give NaN for x < 0 unless y is whole, integers wrap, their negative powers truncate.

    ∂z/∂x = y·x^(y−1), 0 where y = 0; ∂z/∂y = z·log x, 0 where x = 0 and y ≥ 0.
    """

    samples: ClassVar = (Uniform(0.25, 4), Uniform(-3, 3))
    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 4.0

    def eval(self, *operands: Array) -> Array:
        x, y = operands
        if x.dtype.kind != "i":
            return np.power(x, y)
        whole = np.power(x, np.where(y < 0, y & 1, y).astype(y.dtype))  # ±1 to a negative power: odd or even decides
        return np.where((y < 0) & (x != 1) & (x != -1), 0, whole).astype(x.dtype)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, exponent = xs
        base = build.select(build.eq(exponent, 0.0), build.ones_like(x), x)
        flat = build.and_(build.eq(x, 0.0), build.ge(exponent, 0.0))
        logarithm = build.log(build.select(flat, build.ones_like(x), x))
        return ct * (exponent * build.pow_(base, exponent - 1.0)), ct * (y * logarithm)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.pow(*xs)


class Floor(Elementwise):
    """The largest whole number not above x."""

    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def eval(self, *operands: Array) -> Array:
        return np.floor(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.floor(*xs)


class Ceil(Elementwise):
    """The smallest whole number not below x."""

    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def eval(self, *operands: Array) -> Array:
        return np.ceil(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.ceil(*xs)


class Round(Elementwise):
    """The nearest whole number, the even one of two."""

    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def eval(self, *operands: Array) -> Array:
        return np.rint(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.round(*xs)


class SignBit(Elementwise):
    """Whether the sign bit is set: of negative numbers, of −0, of some NaNs."""

    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def infer(self, *operands: TensorType) -> TensorType:
        return super().infer(*operands).with_dtype(bool_)

    def eval(self, *operands: Array) -> Array:
        return np.signbit(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.signbit(*xs)


class NextAfter(Elementwise):
    """The next float from x toward y; y where they are equal, NaN where one is. Not of 16-bit floats."""

    samples: ClassVar = (SMALL, SMALL)
    ulps: ClassVar = 0.0

    def infer(self, *operands: TensorType) -> TensorType:
        result = super().infer(*operands)
        if result.dtype.is_narrow:
            raise DTypeError(f"next_after: not defined on {result.dtype}", help="it takes f32, f64")
        return result

    def eval(self, *operands: Array) -> Array:
        return np.nextafter(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, None

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.nextafter(*xs)


class StopGradient(Elementwise):
    """The operand itself, as a constant to differentiation."""

    narrow: ClassVar = True
    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return 0

    def eval(self, *operands: Array) -> Array:
        return operands[0]

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return xs[0]


ALL = (Add, Sub, Mul, Div, Rem, Neg, Abs, Sign, Max, Min, Pow, Floor, Ceil, Round, SignBit, NextAfter, StopGradient)
