"""Natural logarithms.

Polynomial: a Remez minimax fit by tests/recipes/minimax.py. Bounds: as for vecmath_exp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphc.codegen.llvm_types import Value
from graphc.codegen.vecmath import FORMATS, Table, polynomial

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: (log(1 + f) − f + f²/2) / f³ on √½ − 1 ≤ f ≤ √2 − 1.
LOG: Table = {
    "f32": (0.3333331346511841, -0.25000008940696716, 0.2000211924314499, -0.1666799634695053, 0.14219552278518677,
            -0.12405591458082199, 0.11888159066438675, -0.11675634235143661, 0.06746626645326614),
    "f64": (0.3333333333333335, -0.25000000000000366, 0.19999999999993948, -0.1666666666654789, 0.1428571428657377,
            -0.12500000014549922, 0.11111111058664874, -0.09999999075854628, 0.0909091047925267,
            -0.08333367528559212, 0.07692305023654697, -0.07142088434294515, 0.06665898946222058,
            -0.06260368497445307, 0.059025024757046594, -0.054794639922374384, 0.05027940426522546,
            -0.051892347314938955, 0.06052878655472499, -0.05409610026453668, 0.022483264324125847),
}  # fmt: skip

SQRT_HALF = math.sqrt(0.5)


def exponent_bits(e: Lanes, x: Value) -> Value:
    """k·2^fraction as integer lanes, where x = m·2^k, √½ ≤ m < √2, x positive and normal."""
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    offset = integers.sub(e.bitcast(x, form.integer), integers.constant(form.pattern(SQRT_HALF)))
    return integers.bit_and(offset, integers.constant(-(1 << form.fraction)))


def exponent_value(e: Lanes, exponent: Value) -> Value:
    """k as a float, of k·2^fraction."""
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    k = e.builder.binary("ashr", exponent, integers.constant(form.fraction))
    shifted = integers.add(k, integers.constant(form.pattern(form.magic)))
    return e.sub(integers.bitcast(shifted, e.dtype), e.constant(form.magic))


def decompose(e: Lanes, x: Value) -> tuple[Value, Value]:
    """k as a float and m − 1, where x = m·2^k, √½ ≤ m < √2, for positive x, subnormal ones included."""
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    subnormal = e.lt(x, e.constant(2.0 ** (1 - form.bias)))
    normal = e.select(subnormal, e.mul(x, e.constant(2.0**form.fraction)), x)
    exponent = exponent_bits(e, normal)
    mantissa = integers.bitcast(integers.sub(e.bitcast(normal, form.integer), exponent), e.dtype)
    shift = e.select(subnormal, e.constant(-float(form.fraction)), e.constant(0.0))
    return e.add(exponent_value(e, exponent), shift), e.sub(mantissa, e.constant(1.0))


def log_sum(e: Lanes, k: Value, f: Value) -> Value:
    """k·ln 2 + log(1 + f)."""
    form = FORMATS[e.dtype]
    inner = e.fma(f, polynomial(e, f, LOG[e.dtype]), e.constant(-0.5))
    tail = e.fma(k, e.constant(form.ln2_low), e.mul(e.mul(f, f), inner))
    return e.fma(k, e.constant(form.ln2_high), e.add(f, tail))


def log(e: Lanes, x: Value) -> Value:
    """log x, NaN below 0 and −∞ at 0; f32 0.9 ulp, f64 0.8."""
    return at_the_ends(e, x, x, log_sum(e, *decompose(e, x)))


def log1p(e: Lanes, x: Value) -> Value:
    """log(1 + x), NaN below −1 and −∞ at −1; f32 1.6 ulp, f64 1.5.

    With 1 + x = m·2^k: log(1 + f) + k·ln 2 for f = x·2^−k + (2^−k − 1), which needs no 1 + x of full precision.
    """
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    exponent = exponent_bits(e, e.add(x, e.constant(1.0)))
    scaled = integers.bitcast(integers.sub(e.bitcast(x, form.integer), exponent), e.dtype)
    four = integers.bitcast(integers.sub(integers.constant(form.pattern(4.0)), exponent), e.dtype)  # 4·2^−k is normal
    f = e.add(scaled, e.fma(four, e.constant(0.25), e.constant(-1.0)))
    result = at_the_ends(e, x, e.add(x, e.constant(1.0)), log_sum(e, exponent_value(e, exponent), f))
    tiny = e.lt(e.abs(x), e.constant(2.0**-60))  # keeps −0 and subnormal numbers
    return e.select(tiny, x, result)


def at_the_ends(e: Lanes, x: Value, argument: Value, result: Value) -> Value:
    """A logarithm's result, but x itself if that is +∞ or NaN, −∞ where the argument is 0 and NaN where below."""
    zero, infinity = e.constant(0.0), e.constant(math.inf)
    result = e.select(e.lt(x, infinity), result, x)
    result = e.select(e.eq(argument, zero), e.constant(-math.inf), result)
    return e.select(e.lt(argument, zero), e.constant(math.nan), result)
