"""Powers of floats.

Polynomial: a Remez minimax fit by tests/recipes/minimax.py. Bounds: as for vecmath_exp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphc.codegen.llvm_types import Value
from graphc.codegen.vecmath import (
    FORMATS,
    Pair,
    clamp_above,
    clamp_below,
    division_residual,
    fast_two_sum,
    pair_product,
    pair_sum,
    polynomial,
    scale,
    two_product,
)
from graphc.codegen.vecmath_exp import EXP_RANGE, exp, exp_tail, reduce, reduction_error
from graphc.codegen.vecmath_log import decompose, log

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: (2·atanh(s) − 2s − 2s³/3) / s⁵ in s², s ≤ 0.1716.
ATANH = (0.4, 0.28571428571428376, 0.22222222222290572, 0.18181818169252525, 0.15384616753375083, 0.13333240421089396,
         0.11768674443390921, 0.10422890044665033, 0.11013433544495535)  # fmt: skip
TWO_THIRDS = (0.6666666666666666, 3.700743415417189e-17)
LARGEST_EXPONENT = 2.0**70  # beyond, every power is 0, 1 or infinite in f64


def power(e: Lanes, x: Value, y: Value) -> Value:
    """x^y with the special values of C99, section F.9.4.4; f32 0.6 ulp, f64 1.1."""
    zero, one, infinity = e.constant(0.0), e.constant(1.0), e.constant(math.inf)
    size = e.abs(x)
    magnitude = _through_f64(e, size, y) if e.dtype == "f32" else _in_pairs(e, size, y)
    magnitude = e.select(e.logical_and(e.eq(size, one), e.eq(y, y)), one, magnitude)
    half = e.mul(y, e.constant(0.5))
    integer = e.eq(e.floor(y), y)
    odd = e.logical_and(integer, e.ne(e.floor(half), half))
    undefined = e.logical_and(e.logical_not(integer), e.logical_and(e.lt(x, zero), e.lt(size, infinity)))
    result = e.select(odd, e.copysign(magnitude, x), magnitude)
    result = e.select(undefined, e.constant(math.nan), result)
    return e.select(e.logical_or(e.eq(x, one), e.eq(y, zero)), one, result)


def _through_f64(e: Lanes, x: Value, y: Value) -> Value:
    """e^(y·log x) of f32 lanes, computed in f64, x ≥ 0."""
    wide = e.of("f64")
    logarithm = log(wide, e.cast(x, "f64"))
    return wide.cast(exp(wide, wide.mul(e.cast(y, "f64"), logarithm)), "f32")


def _in_pairs(e: Lanes, x: Value, y: Value) -> Value:
    """e^(y·log x) of f64 lanes, the logarithm to about 2^-66, x ≥ 0."""
    bounded = clamp_above(e, clamp_below(e, y, -LARGEST_EXPONENT), LARGEST_EXPONENT)
    logarithm = _log_pair(e, x)
    product = two_product(e, bounded, logarithm.high)
    high, low = fast_two_sum(e, product.high, e.fma(bounded, logarithm.low, product.low))
    least, greatest = EXP_RANGE["f64"]
    result = _exp_pair(e, Pair(clamp_above(e, clamp_below(e, high, least), greatest), low))
    zero, infinity = e.constant(0.0), e.constant(math.inf)
    at_zero, at_infinity = e.eq(x, zero), e.eq(x, infinity)
    infinite = e.logical_xor(e.lt(y, zero), at_infinity)
    ends = e.logical_and(e.logical_or(at_zero, at_infinity), e.eq(y, y))
    result = e.select(ends, e.select(infinite, infinity, zero), result)
    return e.select(e.is_nan(x), x, result)


def _log_pair(e: Lanes, x: Value) -> Pair:
    """log x as a pair: k·ln 2 + 2·atanh(s), s = f/(2 + f), its first two terms in pairs."""
    form = FORMATS["f64"]
    k, f = decompose(e, x)
    divisor = fast_two_sum(e, e.constant(2.0), f)
    quotient = e.div(f, divisor.high)
    rest = division_residual(e, f, divisor.high, quotient)
    s = Pair(quotient, e.div(e.sub(rest, e.mul(quotient, divisor.low)), divisor.high))
    square = pair_product(e, s, s)
    cube = pair_product(e, square, s)
    third = pair_product(e, cube, Pair(e.constant(TWO_THIRDS[0]), e.constant(TWO_THIRDS[1])))
    tail = e.mul(e.mul(cube.high, square.high), polynomial(e, square.high, ATANH))
    mantissa = pair_sum(e, Pair(e.add(s.high, s.high), e.add(s.low, s.low)), Pair(third.high, e.add(third.low, tail)))
    exponent = Pair(e.mul(k, e.constant(form.ln2_high)), e.mul(k, e.constant(form.ln2_low)))
    return pair_sum(e, exponent, mantissa)


def _exp_pair(e: Lanes, x: Pair) -> Value:
    """e^(high + low), high within `EXP_RANGE`; a low part of half a unit or more belongs to a clamped high one."""
    reduced = reduce(e, x.high)
    low = e.select(e.lt(e.abs(x.low), e.constant(2.0**-40)), x.low, e.constant(0.0))
    r = e.add(reduced.r, e.add(reduction_error(e, reduced), low))
    return scale(e, e.add(exp_tail(e, r, r), e.constant(1.0)), reduced.number, reduced.k)
