"""What the vector functions share: the formats of floats, polynomials, powers of two, double-word arithmetic.

A function is written once for f32 and f64, which differ in their tables only. All code is free of branches and calls.
Double-word ("double-double") arithmetic after T. J. Dekker, Numerische Mathematik 18 (1971), and Muller et al.,
Handbook of Floating-Point Arithmetic, 2nd ed., chapters 4 and 14.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from graphc.codegen.llvm_types import Value

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: A table of coefficients, lowest degree first, for each dtype.
Table = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Format:
    """An IEEE binary format. Adding `magic` = 1.5·2^fraction rounds to an integer, found in the low bits of the sum."""

    integer: str
    fraction: int
    bias: int
    ln2_high: float  # so few bits that its product with any exponent is exact
    ln2_low: float

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.fraction

    def pattern(self, value: float) -> int:
        """The bits of a float of this format."""
        pack, unpack = ("<f", "<i") if self.integer == "i32" else ("<d", "<q")
        return int(struct.unpack(unpack, struct.pack(pack, value))[0])


#: ln 2 in two parts: for f32 after Cephes (S. L. Moshier), for f64 after fdlibm (Sun Microsystems, 1993).
FORMATS = {
    "f32": Format("i32", 23, 127, 0.693359375, -2.12194440e-4),
    "f64": Format("i64", 52, 1023, 6.93147180369123816490e-01, 1.90821492927058770002e-10),
}


def polynomial(e: Lanes, x: Value, coefficients: Sequence[float]) -> Value:
    """Σ cⱼ·xʲ as even(x²) + x·odd(x²): Horner's rule, in two chains where one would be slow (latency)."""
    if len(coefficients) < 10:
        return horner(e, x, coefficients)
    square = e.mul(x, x)
    return e.fma(horner(e, square, coefficients[1::2]), x, horner(e, square, coefficients[::2]))


def horner(e: Lanes, x: Value, coefficients: Sequence[float]) -> Value:
    """Σ cⱼ·xʲ, innermost first."""
    result = e.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = e.fma(result, x, e.constant(c))
    return result


def clamp_above(e: Lanes, x: Value, bound: float) -> Value:
    """The smaller of x and a bound; NaN stays."""
    limit = e.constant(bound)
    return e.select(e.gt(x, limit), limit, x)


def clamp_below(e: Lanes, x: Value, bound: float) -> Value:
    """The larger of x and a bound; NaN stays."""
    limit = e.constant(bound)
    return e.select(e.lt(x, limit), limit, x)


def nearest_integer(e: Lanes, x: Value, factor: float) -> tuple[Value, Value]:
    """An integer nearest to x·factor, |x·factor| < 2^(fraction − 1), as a float and as integers; for NaN any."""
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    shifted = e.fma(x, e.constant(factor), e.constant(form.magic))
    number = integers.sub(e.bitcast(shifted, form.integer), integers.constant(form.pattern(form.magic)))
    return e.sub(shifted, e.constant(form.magic)), number


def power_of_two(e: Lanes, k: Value) -> Value:
    """2^k of integer lanes within the range of normal numbers."""
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    exponent = integers.add(k, integers.constant(form.bias))
    return integers.bitcast(e.builder.binary("shl", exponent, integers.constant(form.fraction)), e.dtype)


def scale(e: Lanes, x: Value, number: Value, k: Value) -> Value:
    """x·2^k rounded once, for |k| up to twice the range of exponents: overflows to infinity, underflows gradually.

    `number` is k as a float. Whole AVX-512 registers take an instruction of their own (20% off exp), of equal bits.
    """
    if "avx512f" in e.target.features and e.lanes * e.bits == 512:
        every, rounding, none = Value(f"i{e.lanes}", "-1"), Value("i32", "4"), e.constant(0.0)
        name = "llvm.x86.avx512.mask.scalef.p" + ("s.512" if e.dtype == "f32" else "d.512")
        return e.builder.intrinsic(name, e.type, x, number, none, every, rounding)
    integers = e.of(FORMATS[e.dtype].integer)
    half = e.builder.binary("ashr", k, integers.constant(1))
    return e.mul(e.mul(x, power_of_two(e, half)), power_of_two(e, integers.sub(k, half)))


class Pair(NamedTuple):
    """An unevaluated sum of two floats, the second below half an ulp of the first."""

    high: Value
    low: Value


def fast_two_sum(e: Lanes, x: Value, y: Value) -> Pair:
    """x + y exactly, |x| ≥ |y| or x = 0."""
    total = e.add(x, y)
    return Pair(total, e.sub(y, e.sub(total, x)))


def two_sum(e: Lanes, x: Value, y: Value) -> Pair:
    """x + y exactly (D. E. Knuth)."""
    total = e.add(x, y)
    of_y = e.sub(total, x)
    return Pair(total, e.add(e.sub(x, e.sub(total, of_y)), e.sub(y, of_y)))


def two_product(e: Lanes, x: Value, y: Value) -> Pair:
    """x·y exactly, by an FMA or Dekker's splitting, for which both stay 2^30 below the largest float."""
    product = e.mul(x, y)
    if e.target.fma:
        return Pair(product, e.fma(x, y, e.neg(product)))
    (a, b), (c, d) = _split(e, x), _split(e, y)
    error = e.sub(e.mul(a, c), product)
    error = e.add(e.add(error, e.mul(a, d)), e.mul(b, c))
    return Pair(product, e.add(error, e.mul(b, d)))


def division_residual(e: Lanes, x: Value, y: Value, quotient: Value) -> Value:
    """x − y·quotient exactly, the quotient being x/y rounded."""
    if e.target.fma:
        return e.fma(e.neg(quotient), y, x)
    product = two_product(e, quotient, y)
    return e.sub(e.sub(x, product.high), product.low)


def _split(e: Lanes, x: Value) -> Pair:
    """x as two parts of half its bits (G. W. Veltkamp)."""
    spread = e.mul(x, e.constant(2.0**12 + 1 if e.dtype == "f32" else 2.0**27 + 1))
    high = e.sub(spread, e.sub(spread, x))
    return Pair(high, e.sub(x, high))


def pair_product(e: Lanes, x: Pair, y: Pair) -> Pair:
    """x·y to about 2^-102."""
    product = two_product(e, x.high, y.high)
    cross = e.fma(x.high, y.low, e.mul(x.low, y.high))
    return fast_two_sum(e, product.high, e.add(product.low, cross))


def pair_sum(e: Lanes, x: Pair, y: Pair) -> Pair:
    """x + y to about 2^-102 where the high parts do not cancel."""
    total = two_sum(e, x.high, y.high)
    return fast_two_sum(e, total.high, e.add(total.low, e.add(x.low, y.low)))
