"""The kinds of primitives: what code generation must know of an op, besides its type rule, meaning and derivative."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import DType, TensorType, bool_, f32, f64, i32, i64, u8, u32, u64
from graphc.records import Record

FLOATS: tuple[DType, ...] = (f32, f64)
INTEGERS: tuple[DType, ...] = (i32, i64, u8, u32, u64)
NUMERIC = FLOATS + INTEGERS
ANY = (*NUMERIC, bool_)


class Emitter(Protocol):
    """One vector of lanes of one dtype, as `emit` sees it; values are opaque.

    Meaning is NumPy's, except that nothing traps: integer division by zero gives 0, shift counts outside the width
    give 0, float to integer saturates.
    """

    @property
    def dtype(self) -> str: ...
    def constant(self, value: float) -> Any: ...
    def add(self, x: Any, y: Any, /) -> Any: ...
    def sub(self, x: Any, y: Any, /) -> Any: ...
    def mul(self, x: Any, y: Any, /) -> Any: ...
    def div(self, x: Any, y: Any, /) -> Any: ...
    def rem(self, x: Any, y: Any, /) -> Any: ...
    def min(self, x: Any, y: Any, /) -> Any: ...
    def max(self, x: Any, y: Any, /) -> Any: ...
    def pow(self, x: Any, y: Any, /) -> Any: ...
    def fma(self, x: Any, y: Any, z: Any, /) -> Any: ...
    def neg(self, x: Any, /) -> Any: ...
    def abs(self, x: Any, /) -> Any: ...
    def sign(self, x: Any, /) -> Any: ...
    def sqrt(self, x: Any, /) -> Any: ...
    def rsqrt(self, x: Any, /) -> Any: ...
    def floor(self, x: Any, /) -> Any: ...
    def ceil(self, x: Any, /) -> Any: ...
    def round(self, x: Any, /) -> Any: ...
    def trunc(self, x: Any, /) -> Any: ...
    def exp(self, x: Any, /) -> Any: ...
    def log(self, x: Any, /) -> Any: ...
    def log1p(self, x: Any, /) -> Any: ...
    def expm1(self, x: Any, /) -> Any: ...
    def tanh(self, x: Any, /) -> Any: ...
    def sigmoid(self, x: Any, /) -> Any: ...
    def erf(self, x: Any, /) -> Any: ...
    def sin(self, x: Any, /) -> Any: ...
    def cos(self, x: Any, /) -> Any: ...
    def atan2(self, y: Any, x: Any, /) -> Any: ...
    def signbit(self, x: Any, /) -> Any: ...
    def nextafter(self, x: Any, y: Any, /) -> Any: ...
    def eq(self, x: Any, y: Any, /) -> Any: ...
    def ne(self, x: Any, y: Any, /) -> Any: ...
    def lt(self, x: Any, y: Any, /) -> Any: ...
    def le(self, x: Any, y: Any, /) -> Any: ...
    def gt(self, x: Any, y: Any, /) -> Any: ...
    def ge(self, x: Any, y: Any, /) -> Any: ...
    def logical_and(self, x: Any, y: Any, /) -> Any: ...
    def logical_or(self, x: Any, y: Any, /) -> Any: ...
    def logical_xor(self, x: Any, y: Any, /) -> Any: ...
    def logical_not(self, x: Any, /) -> Any: ...
    def bit_and(self, x: Any, y: Any, /) -> Any: ...
    def bit_or(self, x: Any, y: Any, /) -> Any: ...
    def bit_xor(self, x: Any, y: Any, /) -> Any: ...
    def shl(self, x: Any, y: Any, /) -> Any: ...
    def shr(self, x: Any, y: Any, /) -> Any: ...
    def select(self, condition: Any, x: Any, y: Any, /) -> Any: ...
    def cast(self, x: Any, dtype: str, /) -> Any: ...
    def threefry(self, k0: Any, k1: Any, c0: Any, c1: Any, word: int, /) -> Any: ...


class Sample(Protocol):
    """Where tests draw an operand from."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array: ...


class Uniform(Record):
    """Floats between `lo` and `hi`; integers in the same range (from 0 where unsigned); for bool, coin flips."""

    lo: float
    hi: float

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
        if dtype.is_float:
            return rng.uniform(self.lo, self.hi, shape).astype(dtype.numpy)
        if dtype.is_integer:
            lo = max(int(self.lo), limits(dtype)[0])
            return rng.integers(lo, int(self.hi) + 1, shape).astype(dtype.numpy)
        return rng.integers(0, 2, shape).astype(bool)


class Nonzero(Record):
    """Floats or integers of either sign with magnitude between `lo` > 0 and `hi`."""

    lo: float
    hi: float

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
        magnitude = Uniform(self.lo, self.hi).draw(rng, shape, dtype)
        sign = 1 if dtype.kind == "uint" else rng.choice([-1, 1], shape)
        return np.asarray(magnitude * sign).astype(dtype.numpy)


class Booleans(Record):
    """Coin flips, whatever the dtype of the other operands."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
        return rng.integers(0, 2, shape).astype(bool)


class Words(Record):
    """Integers over the whole range of the dtype."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
        low, high = limits(dtype)
        return np.asarray(rng.integers(low, high, shape, dtype=dtype.numpy, endpoint=True))


SMALL = Uniform(-4, 4)


class Elementwise(Op):
    """y[i] = f(x0[i], x1[i], …): operands share one `TensorType`, the result has it too, unless the class says else."""

    #: Where tests draw each operand; its length is the op's arity.
    samples: ClassVar[tuple[Sample, ...]] = (SMALL,)
    #: The operands' dtypes it is defined on.
    dtypes: ClassVar[tuple[DType, ...]] = FLOATS
    #: Bound of the error of compiled code, in units in the last place of the exact result (0.5: correctly rounded).
    ulps: ClassVar[float] = 0.5

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, len(self.samples))
        return expect_same(self, operands, self.dtypes)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(self, *all_batched(batched, xs))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return result.size

    def emit(self, e: Emitter, *xs: Any) -> Any:
        """The result's lanes from the operands' lanes."""
        raise NotImplementedError


class Reduction(Op):
    """Combines the elements along `axes` (sorted, not negative), which the result lacks; empty ones give the identity.

    The order of combination is the schedule's, fixed for given sizes and target.
    """

    axes: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        expect_dtype(self, x, NUMERIC)
        expect_axes(self, x, self.axes)
        if list(self.axes) != sorted(self.axes):
            raise ShapeError(f"{self.mnemonic()}: axes {self.axes} are not sorted")
        return x.with_shape(tuple(s for i, s in enumerate(x.shape) if i not in self.axes))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return operands[0].size

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(replace(self, axes=after_first(self.axes)), *xs)

    def identity(self, dtype: DType) -> float | int:
        """The result over no elements."""
        raise NotImplementedError

    def combine(self, e: Emitter, acc: Any, x: Any) -> Any:
        """One step: the accumulator's lanes with one more vector of elements."""
        raise NotImplementedError


class ArgReduction(Op):
    """The i64 index along `axis` of an extreme element: the first of equals; a NaN wins, as in NumPy; 0 over none."""

    axis: int

    differentiable: ClassVar[bool] = False

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        expect_dtype(self, x, NUMERIC)
        expect_axes(self, x, (self.axis,))
        return TensorType(i64, tuple(s for i, s in enumerate(x.shape) if i != self.axis))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return operands[0].size

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(replace(self, axis=self.axis + 1), *xs)


class Movement(Op):
    """Places elements elsewhere, unchanged. Those whose result reads one affine place also define `pull`."""

    narrow: ClassVar[bool] = True

    def pull(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operand's index for a result's index; uses only `+` and `*` between index values and sizes."""
        raise NotImplementedError


class Contraction(Op):
    """Sums of products over pairs of axes."""


class Indexing(Op):
    """Reads or writes at computed places; indices clamp into the axis."""


class Generator(Op):
    """Has no operands: its elements follow from their place."""

    differentiable: ClassVar[bool] = False


def limits(dtype: DType) -> tuple[int, int]:
    """The least and the greatest value of an integer dtype."""
    bits = 8 * dtype.itemsize
    return (0, 2**bits - 1) if dtype.kind == "uint" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def numbers(sizes: Sequence[Size]) -> tuple[int, ...]:
    """The sizes of a bound attribute, all of them numbers."""
    return tuple(operator.index(s) for s in sizes)  # type: ignore[arg-type]


def batch_size(batched: Sequence[bool], xs: Sequence[Node]) -> Size:
    """The size of the axis that batched operands have in front."""
    return next(x.type.shape[0] for one, x in zip(batched, xs, strict=True) if one)


def all_batched(batched: Sequence[bool], xs: Sequence[Node]) -> list[Node]:
    """The operands with the axis in front, those without it repeated along it."""
    size = batch_size(batched, xs)
    return [x if one else build.repeat(x, size) for one, x in zip(batched, xs, strict=True)]


def after_first(axes: Sequence[int]) -> tuple[int, ...]:
    """Axes where there is one more in front of them."""
    return tuple(a + 1 for a in axes)


def expect_arity(op: Op, operands: Sequence[TensorType], count: int) -> None:
    """Raise `ShapeError` unless an op got as many operands as it takes."""
    if len(operands) != count:
        raise ShapeError(f"{op.mnemonic()}: takes {count} operand{'s' * (count != 1)}, got {len(operands)}")


def expect_dtype(op: Op, operand: TensorType, dtypes: Sequence[DType]) -> None:
    """Raise `DTypeError` unless an operand's dtype is one the op is defined on; 16-bit floats are computed in f32."""
    if operand.dtype not in dtypes and not (operand.dtype.is_narrow and f32 in dtypes):
        names = ", ".join(t.name for t in dtypes)
        raise DTypeError(f"{op.mnemonic()}: not defined on {operand.dtype}", help=f"it takes {names}")


def expect_same(op: Op, operands: Sequence[TensorType], dtypes: Sequence[DType]) -> TensorType:
    """The one type that all operands share; raises where they differ or the op is not defined on it."""
    first = operands[0]
    for other in operands[1:]:
        if other.dtype != first.dtype:
            raise DTypeError(f"{op.mnemonic()}: dtypes differ ({first.dtype} and {other.dtype})")
        if other.shape != first.shape:
            raise ShapeError(f"{op.mnemonic()}: shapes differ ({first} and {other})")
    expect_dtype(op, first, dtypes)
    return first


def expect_axes(op: Op, operand: TensorType, axes: Sequence[int]) -> None:
    """Raise `ShapeError` unless axes are distinct and exist."""
    rank = len(operand.shape)
    if len(set(axes)) != len(axes) or (axes and not 0 <= min(axes) <= max(axes) < rank):
        raise ShapeError(f"{op.mnemonic()}: axes {tuple(axes)} do not fit {operand}")


def expect_rank(op: Op, operand: TensorType, attribute: str, values: Sequence[object]) -> None:
    """Raise `ShapeError` unless an attribute has one value an axis."""
    if len(values) != operand.rank:
        raise ShapeError(f"{op.mnemonic()}: {len(values)} {attribute} for the {operand.rank} axes of {operand}")
