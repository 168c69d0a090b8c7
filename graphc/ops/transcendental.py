"""Elementwise functions of one real number; bounds are in units in the last place, for f32 and f64."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from graphc.ir import build
from graphc.ir.node import Array, Node
from graphc.ops.base import Elementwise, Emitter, Uniform


class Exp(Elementwise):
    """Exponential, y = e^x."""

    ulps: ClassVar = 2.0

    def eval(self, *operands: Array) -> Array:
        return np.exp(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * y,)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.exp(*xs)


class Log(Elementwise):
    """Natural logarithm, y = log x; −∞ at 0, NaN below."""

    samples: ClassVar = (Uniform(0.1, 8),)
    ulps: ClassVar = 2.0

    def eval(self, *operands: Array) -> Array:
        return np.log(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct / xs[0],)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.log(*xs)


class Log1p(Elementwise):
    """y = log(1 + x), exact near 0."""

    samples: ClassVar = (Uniform(-0.8, 4),)
    ulps: ClassVar = 4.0

    def eval(self, *operands: Array) -> Array:
        return np.log1p(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct / (xs[0] + 1.0),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.log1p(*xs)


class Expm1(Elementwise):
    """y = e^x − 1, exact near 0."""

    ulps: ClassVar = 4.0

    def eval(self, *operands: Array) -> Array:
        return np.expm1(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * (y + 1.0),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.expm1(*xs)


class Tanh(Elementwise):
    """Hyperbolic tangent, y = tanh x."""

    ulps: ClassVar = 2.0

    def eval(self, *operands: Array) -> Array:
        return np.tanh(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * (1.0 - y * y),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.tanh(*xs)


class Sigmoid(Elementwise):
    """Logistic function, y = 1 / (1 + e^−x), without overflow on either side."""

    ulps: ClassVar = 2.0

    def eval(self, *operands: Array) -> Array:
        (x,) = operands
        e = np.exp(-np.abs(x))
        return np.asarray(np.where(x >= 0, 1, e) / (1 + e))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * (y * (1.0 - y)),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.sigmoid(*xs)


class Sqrt(Elementwise):
    """Square root, y = √x; its derivative at 0 is ∞."""

    samples: ClassVar = (Uniform(0.1, 8),)

    def eval(self, *operands: Array) -> Array:
        return np.sqrt(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * 0.5 / y,)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.sqrt(*xs)


class Rsqrt(Elementwise):
    """Reciprocal square root, y = 1 / √x: a root and a division, each correctly rounded."""

    samples: ClassVar = (Uniform(0.1, 8),)
    ulps: ClassVar = 1.5

    def eval(self, *operands: Array) -> Array:
        return np.reciprocal(np.sqrt(*operands))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * -0.5 * (y / xs[0]),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.rsqrt(*xs)


class Erf(Elementwise):
    """Error function, y = 2/√π · ∫₀ˣ e^(−t²) dt."""

    samples: ClassVar = (Uniform(-3, 3),)
    ulps: ClassVar = 2.0

    def eval(self, *operands: Array) -> Array:
        (x,) = operands
        return np.asarray(ERF(x), x.dtype)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * (build.exp(-(xs[0] * xs[0])) * (2 / math.sqrt(math.pi))),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.erf(*xs)


ERF = np.frompyfunc(math.erf, 1, 1)


class Sin(Elementwise):
    """Sine of an angle in radians."""

    ulps: ClassVar = 4.0

    def eval(self, *operands: Array) -> Array:
        return np.sin(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * build.cos(xs[0]),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.sin(*xs)


class Cos(Elementwise):
    """Cosine of an angle in radians."""

    ulps: ClassVar = 4.0

    def eval(self, *operands: Array) -> Array:
        return np.cos(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (-(ct * build.sin(xs[0])),)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.cos(*xs)


class Atan2(Elementwise):
    """The angle of the point (x, y), z = atan2(y, x) between −π and π; its derivative at (0, 0) is 0."""

    samples: ClassVar = (Uniform(-4, 4), Uniform(-4, 4))
    ulps: ClassVar = 4.0

    def eval(self, *operands: Array) -> Array:
        return np.arctan2(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        height, width = xs
        square = width * width + height * height
        share = ct / build.select(build.eq(square, 0.0), build.ones_like(square), square)
        return share * width, -(share * height)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.atan2(*xs)


ALL = (Exp, Log, Log1p, Expm1, Tanh, Sigmoid, Sqrt, Rsqrt, Erf, Sin, Cos, Atan2)
