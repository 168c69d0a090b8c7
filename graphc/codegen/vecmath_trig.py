"""Sine and cosine over the whole range of floats.

Polynomials: Remez minimax fits by tests/recipes/minimax.py. Bounds: as for vecmath_exp.
The argument becomes quadrant·π/2 + t, |t| ≤ π/4. f32 does that in f64 with 1/2π in windows of 32 bits. f64 does it
after Cody and Waite below 2^20, and after M. Payne and R. Hanek (ACM SIGNUM Newsletter 18, 1983) above.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from graphc.codegen.llvm_types import Value, suffix, vector_type
from graphc.codegen.vecmath import (
    FORMATS,
    Pair,
    Table,
    fast_two_sum,
    nearest_integer,
    pair_product,
    polynomial,
    two_sum,
)

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: (sin(t)/t − 1) / t² and (cos(t) − 1 + t²/2) / t⁴ in t², |t| ≤ π/4.
SIN: Table = {
    "f32": (-0.1666666716337204, 0.008333329111337662, -0.0001983930415008217, 2.718046516747563e-06),
    "f64": (-0.16666666666666666, 0.008333333333333323, -0.0001984126984125465, 2.7557319213985466e-06,
            -2.5052104860853592e-08, 1.605836044974003e-10, -7.578403753638731e-13),
}  # fmt: skip
COS: Table = {
    "f32": (0.04166664555668831, -0.0013887309469282627, 2.4432414647890255e-05),
    "f64": (0.041666666666666664, -0.0013888888888888872, 2.480158730157038e-05, -2.755731921492703e-07,
            2.0876754270714126e-09, -1.1470282986107536e-11, 4.73766694103035e-14),
}  # fmt: skip

#: frac(2^32j / 2π) for j = 0 … 3, as 29 bits, 29 bits and the rest: a product with a 24-bit float is exact.
TURNS = (
    (float.fromhex("0x1.45f306cp-3"), float.fromhex("0x1.c9c882ap-31"), float.fromhex("0x1.4fe13abe8fa9ap-61")),
    (float.fromhex("0x1.27220a9p-1"), float.fromhex("0x1.3f84eaep-31"), float.fromhex("0x1.a3ea69bb81b6cp-59")),
    (float.fromhex("0x1.fc2757cp-2"), float.fromhex("0x1.1f534ddp-30"), float.fromhex("0x1.81b6c52b32788p-59")),
    (float.fromhex("0x1.f534ddcp-2"), float.fromhex("0x1.b6c52a0p-35"), float.fromhex("0x1.3278872083fcap-59")),
)
#: |x| up to which each row serves.
TURN_BOUNDS = (2.0**56, 2.0**88, 2.0**120)

#: π/2 in parts of 33 bits, their products with integers below 2^20 exact.
HALF_PI = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32)
TWO_PI = (6.283185307179586, 2.4492935982947064e-16)
CODY_WAITE_BOUND = 2.0**20

#: The first 42 words of 2/π, after two of zeros, for the window of an exponent.
TWO_OVER_PI = (
    0, 0,
    0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB, 0xDEBBC561, 0xB7246E3A,
    0x424DD2E0, 0x06492EEA, 0x09D1921C, 0xFE1DEB1C, 0xB129A73E, 0xE88235F5, 0x2EBB4484, 0xE99C7026, 0xB45F7E41,
    0x3991D639, 0x835339F4, 0x9C845F8B, 0xBDF9283B, 0x1FF897FF, 0xDE05980F, 0xEF2F118B, 0x5A0A6D1F, 0x6D367ECF,
    0x27CB09B7, 0x4F463F66, 0x9E5FEA2D, 0x7527BAC7, 0xEBE5F17B, 0x3D0739F7, 0x8A5292EA, 0x6BFB5FB1, 0x1F8D5D08,
    0x56033046, 0xFC7B6BAB, 0xF0CFBC20, 0x9AF4361D, 0xA9E39161, 0x5EE61B08,
)  # fmt: skip


def sin(e: Lanes, x: Value) -> Value:
    """sin x, NaN of infinities; f32 1.6 ulp, f64 0.8."""
    result = e.mul(_on_quadrant(e, *_reduced(e, e.abs(x))), e.copysign(e.constant(1.0), x))
    return e.select(e.eq(x, e.constant(0.0)), x, result)


def cos(e: Lanes, x: Value) -> Value:
    """cos x, NaN of infinities; f32 1.6 ulp, f64 0.8."""
    quadrant, t, low = _reduced(e, e.abs(x))
    integers = e.of(FORMATS[e.dtype].integer)
    return _on_quadrant(e, integers.add(quadrant, integers.constant(1)), t, low)


def _on_quadrant(e: Lanes, quadrant: Value, t: Value, low: Value | None) -> Value:
    """sin(quadrant·π/2 + t + low), low below an ulp of t, or nothing."""
    integers = e.of(FORMATS[e.dtype].integer)
    one = integers.constant(1)
    square = e.mul(t, t)
    half = e.mul(square, e.constant(0.5))
    lead = e.sub(e.constant(1.0), half)
    of_sine = e.mul(e.mul(t, square), polynomial(e, square, SIN[e.dtype]))
    of_cosine = e.fma(e.mul(square, square), polynomial(e, square, COS[e.dtype]),
                      e.sub(e.sub(e.constant(1.0), lead), half))  # fmt: skip
    if low is not None:  # sin(t + l) = sin t + l·(1 − t²/2) and cos(t + l) = cos t − l·t, up to l·t³
        of_sine, of_cosine = e.fma(low, lead, of_sine), e.sub(of_cosine, e.mul(t, low))
    sine, cosine = e.add(t, of_sine), e.add(lead, of_cosine)
    chosen = e.select(integers.eq(integers.bit_and(quadrant, one), one), cosine, sine)
    half_turn = e.builder.binary("shl", e.builder.binary("lshr", quadrant, one), integers.constant(integers.bits - 1))
    return integers.bitcast(integers.bit_xor(e.bitcast(chosen, integers.dtype), half_turn), e.dtype)


def _reduced(e: Lanes, size: Value) -> tuple[Value, Value, Value | None]:
    """Quadrant (integer lanes, modulo 4) and remainder of |x|, for f64 with a low part."""
    if e.dtype == "f32":
        return _reduced_f32(e, size)
    near, far = _cody_waite(e, size), _payne_hanek(e, size)
    small = e.lt(size, e.constant(CODY_WAITE_BOUND))
    high, low = (e.select(small, a, b) for a, b in zip(near[1], far[1], strict=True))
    return e.select(small, near[0], far[0]), high, low


def _reduced_f32(e: Lanes, size: Value) -> tuple[Value, Value, None]:
    """x/2π modulo 1 in f64: x times each part of a row of `TURNS`, whole turns dropped; infinity gives NaN."""
    wide = e.of("f64")
    x = e.cast(size, "f64")
    beyond = [wide.gt(x, wide.constant(bound)) for bound in TURN_BOUNDS]

    def row(values: tuple[float, ...]) -> Value:
        chosen = wide.constant(values[0])
        for condition, value in zip(beyond, values[1:], strict=True):
            chosen = wide.select(condition, wide.constant(value), chosen)
        return chosen

    x = wide.mul(x, row(tuple(2.0 ** (-32 * j) for j in range(4))))
    first, second, third = (row(column) for column in zip(*TURNS, strict=True))
    high, middle = wide.mul(x, first), wide.mul(x, second)
    turns = wide.add(wide.sub(high, wide.round(high)), wide.sub(middle, wide.round(middle)))
    low = wide.mul(x, third)
    number, quadrant = nearest_integer(wide, wide.add(turns, low), 4.0)
    four = wide.constant(4.0)
    quarters = wide.fma(low, four, wide.sub(wide.mul(turns, four), number))
    t = wide.cast(wide.mul(quarters, wide.constant(math.pi / 2)), "f32")
    return e.of("i64").cast(quadrant, "i32"), t, None


def _cody_waite(e: Lanes, size: Value) -> tuple[Value, Pair]:
    """|x| less the nearest multiple of π/2, below 2^20."""
    bounded = e.select(e.lt(size, e.constant(CODY_WAITE_BOUND)), size, e.constant(0.0))
    number, quadrant = nearest_integer(e, bounded, 2 / math.pi)
    parts = [e.mul(number, e.constant(part)) for part in HALF_PI]
    t = two_sum(e, e.sub(bounded, parts[0]), e.neg(parts[1]))
    rest = two_sum(e, t.high, e.neg(parts[2]))
    low = e.sub(e.add(t.low, rest.low), parts[3])
    return quadrant, fast_two_sum(e, rest.high, low)


def _payne_hanek(e: Lanes, size: Value) -> tuple[Value, Pair]:
    """|x| ≥ 2^20 modulo π/2: its 53 bits times 192 bits of 2/π, whole turns left out, in words of 32 bits."""
    i = e.of("i64")
    bits = e.bitcast(size, "i64")
    mantissa = i.bit_or(i.bit_and(bits, i.constant((1 << 52) - 1)), i.constant(1 << 52))
    exponent = i.sub(e.builder.binary("lshr", bits, i.constant(52)), i.constant(1023 + 52))
    offset = i.add(exponent, i.constant(62))  # of the first bit that is no whole turn, two words of zeros included
    offset = i.min(i.max(offset, i.constant(0)), i.constant(32 * (len(TWO_OVER_PI) - 6) - 1))
    index, shift = e.builder.binary("lshr", offset, i.constant(5)), i.bit_and(offset, i.constant(31))
    window = []
    for word in range(6):
        both = _gather(i, i.add(index, i.constant(word)))
        window.append(e.builder.binary("lshr", e.builder.binary("shl", both, shift), i.constant(32)))
    fraction = _fraction(i, mantissa, window)
    eighth, quadrant_bit = i.constant(1 << 29), i.constant(30)
    quadrant = e.builder.binary("lshr", i.add(fraction[0], eighth), quadrant_bit)
    top = i.sub(fraction[0], e.builder.binary("shl", quadrant, quadrant_bit))
    words = [e.mul(i.cast(w, "f64"), e.constant(2.0 ** (-32 * (j + 1)))) for j, w in enumerate((top, *fraction[1:]))]
    turn = fast_two_sum(e, words[0], words[1])
    turn = fast_two_sum(e, turn.high, e.add(turn.low, e.add(words[2], words[3])))
    t = pair_product(e, turn, Pair(e.constant(TWO_PI[0]), e.constant(TWO_PI[1])))
    finite = e.lt(size, e.constant(math.inf))
    return quadrant, Pair(e.select(finite, t.high, e.constant(math.nan)), t.low)


def _fraction(i: Lanes, mantissa: Value, window: list[Value]) -> list[Value]:
    """The first four words after the point of mantissa · 0.window, by columns with carries (i64 lanes)."""
    mask, word = i.constant(0xFFFFFFFF), i.constant(32)

    def upper(value: Value) -> Value:
        return i.builder.binary("lshr", value, word)

    low, high = i.bit_and(mantissa, mask), upper(mantissa)
    carry = i.constant(0)
    words: list[Value] = []
    for column in (5, 4, 3, 2, 1):
        a, b = i.mul(low, window[column - 1]), i.mul(high, window[column])
        total = i.add(carry, i.add(i.bit_and(a, mask), i.bit_and(b, mask)))
        carry = i.add(upper(total), i.add(upper(a), upper(b)))
        words.insert(0, i.bit_and(total, mask))
    return words[:4]


def _gather(i: Lanes, index: Value) -> Value:
    """Two neighbouring words of `TWO_OVER_PI` as one integer, from a table in read-only data."""
    words = TWO_OVER_PI
    pairs = np.array([words[j] << 32 | words[j + 1] for j in range(len(words) - 1)], "<u8")
    table = i.builder.module.constant_bytes("two_over_pi", pairs.tobytes())
    address = i.builder.emit(vector_type("ptr", i.lanes), f"getelementptr inbounds i64, {table}, {index}")
    if i.lanes == 1:
        return i.builder.load(i.type, address)
    everywhere = i.builder.constant(vector_type("i1", i.lanes), True)
    name = f"llvm.masked.gather.{suffix(i.type)}.v{i.lanes}p0"
    return i.builder.intrinsic(name, i.type, address, Value("i32", "8"), everywhere, i.constant(0))
