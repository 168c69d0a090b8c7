"""Comparisons, logic, shifts, selection and casts: elementwise, exact."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from graphc.errors import DTypeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.narrow import narrowed, wide
from graphc.ir.node import Array, Node
from graphc.ir.types import DType, TensorType, bool_
from graphc.ops.base import (
    ANY,
    INTEGERS,
    NUMERIC,
    SMALL,
    Booleans,
    Elementwise,
    Emitter,
    Sample,
    Uniform,
    Words,
    expect_arity,
    expect_same,
    limits,
)


class Comparison(Elementwise):
    """A truth value from two operands of one type; comparisons with NaN are false, `ne` true."""

    samples: ClassVar = (Uniform(-3, 3), Uniform(-3, 3))
    dtypes: ClassVar = NUMERIC
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def infer(self, *operands: TensorType) -> TensorType:
        return super().infer(*operands).with_dtype(bool_)


class Eq(Comparison):
    """z = (x = y)."""

    dtypes: ClassVar = ANY

    def eval(self, *operands: Array) -> Array:
        return np.equal(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.eq(*xs)


class Ne(Comparison):
    """z = (x ≠ y)."""

    dtypes: ClassVar = ANY

    def eval(self, *operands: Array) -> Array:
        return np.not_equal(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.ne(*xs)


class Lt(Comparison):
    """z = (x < y)."""

    def eval(self, *operands: Array) -> Array:
        return np.less(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.lt(*xs)


class Le(Comparison):
    """z = (x ≤ y)."""

    def eval(self, *operands: Array) -> Array:
        return np.less_equal(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.le(*xs)


class Gt(Comparison):
    """z = (x > y)."""

    def eval(self, *operands: Array) -> Array:
        return np.greater(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.gt(*xs)


class Ge(Comparison):
    """z = (x ≥ y)."""

    def eval(self, *operands: Array) -> Array:
        return np.greater_equal(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.ge(*xs)


class Bitwise(Elementwise):
    """An operation on truth values, and on integers bit by bit."""

    samples: ClassVar[tuple[Sample, ...]] = (Uniform(0, 100), Uniform(0, 100))
    dtypes: ClassVar = (bool_, *INTEGERS)
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False


class And(Bitwise):
    """z = x ∧ y."""

    def eval(self, *operands: Array) -> Array:
        return np.bitwise_and(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.logical_and(*xs) if e.dtype == "bool" else e.bit_and(*xs)


class Or(Bitwise):
    """z = x ∨ y."""

    def eval(self, *operands: Array) -> Array:
        return np.bitwise_or(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.logical_or(*xs) if e.dtype == "bool" else e.bit_or(*xs)


class Xor(Bitwise):
    """z = x ⊕ y."""

    def eval(self, *operands: Array) -> Array:
        return np.bitwise_xor(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.logical_xor(*xs) if e.dtype == "bool" else e.bit_xor(*xs)


class Not(Bitwise):
    """y = ¬x."""

    samples: ClassVar = (Uniform(0, 100),)

    def eval(self, *operands: Array) -> Array:
        return np.invert(*operands)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        # Without a literal of all ones, which unsigned dtypes write differently: ¬x = (0 − x) − 1.
        return e.logical_not(*xs) if e.dtype == "bool" else e.sub(e.neg(*xs), e.constant(1))


class Shl(Elementwise):
    """z = x·2^y on integers, wrapping; 0 where y is outside the width."""

    samples: ClassVar = (Words(), Uniform(0, 70))
    dtypes: ClassVar = INTEGERS
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def eval(self, *operands: Array) -> Array:
        x, count = operands
        inside = (count >= 0) & (count < 8 * x.itemsize)
        return np.where(inside, np.left_shift(x, np.where(inside, count, 0)), 0).astype(x.dtype)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.shl(*xs)


class Shr(Elementwise):
    """z = ⌊x / 2^y⌋ on integers (so the sign stays, where there is one); 0 where y is outside the width."""

    samples: ClassVar = (Words(), Uniform(0, 70))
    dtypes: ClassVar = INTEGERS
    ulps: ClassVar = 0.0
    differentiable: ClassVar = False

    def eval(self, *operands: Array) -> Array:
        x, count = operands
        inside = (count >= 0) & (count < 8 * x.itemsize)
        return np.where(inside, np.right_shift(x, np.where(inside, count, 0)), 0).astype(x.dtype)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.shr(*xs)


class Select(Elementwise):
    """z = x where the condition holds, else y: `select(condition bool, x, y)`."""

    samples: ClassVar = (Booleans(), SMALL, SMALL)
    narrow: ClassVar = True
    dtypes: ClassVar = ANY
    ulps: ClassVar = 0.0

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 3)
        condition, *branches = operands
        if condition.dtype != bool_:
            raise DTypeError(f"select: the condition is {condition}, not bool")
        result = expect_same(self, branches, self.dtypes)
        expect_same(self, (condition, result.with_dtype(bool_)), self.dtypes)
        return result

    def eval(self, *operands: Array) -> Array:
        return np.where(*operands)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        zero = build.zeros_like(ct)
        return None, build.select(xs[0], ct, zero), build.select(xs[0], zero, ct)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.select(*xs)


class Cast(Elementwise):
    """The operand as another dtype: float to integer truncates and saturates (NaN gives 0), integers wrap,
    to bool is ≠ 0, to 16-bit floats rounds to nearest even."""

    dtype: DType

    narrow: ClassVar = True
    dtypes: ClassVar = ANY
    ulps: ClassVar = 0.5

    def infer(self, *operands: TensorType) -> TensorType:
        return super().infer(*operands).with_dtype(self.dtype)

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return 0

    def eval(self, *operands: Array) -> Array:
        x = wide(operands[0])
        if self.dtype.is_narrow:
            return narrowed(x, self.dtype)
        if x.dtype.kind != "f" or not self.dtype.is_integer:
            return x.astype(self.dtype.numpy)
        low, high = np.array(limits(self.dtype), self.dtype.numpy)
        number = x.astype(np.float64)
        inside = (number > float(low) - 1.0) & (number < float(high) + 1.0)
        truncated = np.where(inside, number, 0.0).astype(self.dtype.numpy)
        return np.where(inside | np.isnan(number), truncated, np.where(number > 0, high, low))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        source = xs[0].type.dtype
        return (build.cast(ct, source) if source.is_float and self.dtype.is_float else None,)

    def emit(self, e: Emitter, *xs: Any) -> Any:
        return e.cast(xs[0], self.dtype.name)


ALL = (Eq, Ne, Lt, Le, Gt, Ge, And, Or, Xor, Not, Shl, Shr, Select, Cast)
