"""Conversions between f32 and 16-bit floats, which registers hold as bits.

float16 by the CPU where it converts (F16C, AVX-512, aarch64), else by integer arithmetic; bfloat16, the upper half of
an f32, by integer arithmetic everywhere: AVX512-BF16 flushes subnormals. All round to nearest, ties to even, keep
infinities, and keep NaNs and their signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.codegen.llvm_types import Value, vector_type

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

NARROW = ("f16", "bf16")


def widen(e: Lanes, x: Value) -> Value:
    """f32 lanes of 16-bit ones, exactly."""
    if e.dtype == "bf16":
        return from_upper_half(e, x)
    if converts(e):
        return e.builder.cast("fpext", e.builder.cast("bitcast", x, vector_type("half", e.lanes)), e.of("f32").type)
    return expand_f16(e, x)


def narrow(e: Lanes, x: Value, dtype: str) -> Value:
    """16-bit lanes of f32 ones, rounded."""
    if dtype == "bf16":
        return round_bf16(e, x)
    if converts(e):
        half = e.builder.cast("fptrunc", x, vector_type("half", e.lanes))
        return e.builder.cast("bitcast", half, e.of("f16").type)
    return round_f16(e, x)


def to_odd(e: Lanes, x: Value) -> Value:
    """f32 lanes of f64 ones: truncated, the last bit set where that is inexact, so that narrowing them rounds but once.

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008.
    """
    single, word = e.of("f32"), e.of("u32")
    rounded = e.builder.cast("fptrunc", x, single.type)
    back = e.builder.cast("fpext", rounded, e.type)
    bits = single.bitcast(rounded, "u32")
    truncated = e.select(e.gt(e.abs(back), e.abs(x)), word.sub(bits, word.constant(1)), bits)
    inexact = e.logical_or(e.lt(back, x), e.gt(back, x))
    return word.bitcast(e.select(inexact, word.bit_or(truncated, word.constant(1)), bits), "f32")


def converts(e: Lanes) -> bool:
    """Whether the target has instructions for float16."""
    return not e.target.triple.startswith("x86_64") or "f16c" in e.target.features


def from_upper_half(e: Lanes, x: Value) -> Value:
    """f32 lanes of bfloat16 ones."""
    word = e.of("u32")
    return word.bitcast(shift(word, "shl", e.builder.cast("zext", x, word.type), 16), "f32")


def round_bf16(e: Lanes, x: Value) -> Value:
    """The upper half of the bits, plus one where the lower half is more than a half, or is one and the upper is odd."""
    word = e.of("u32")
    bits = e.bitcast(x, "u32")
    upper = shift(word, "lshr", bits, 16)
    odd = word.bit_and(upper, word.constant(1))
    rounded = shift(word, "lshr", word.add(word.add(bits, word.constant(0x7FFF)), odd), 16)
    quiet = word.bit_or(upper, word.constant(0x40))
    return e.builder.cast("trunc", e.select(e.is_nan(x), quiet, rounded), e.of("bf16").type)


def expand_f16(e: Lanes, x: Value) -> Value:
    """f32 lanes of float16 ones: the exponent rebiased; subnormals as integers times 2⁻²⁴."""
    word, single = e.of("u32"), e.of("f32")
    bits = e.builder.cast("zext", x, word.type)
    size = word.bit_and(bits, word.constant(0x7FFF))
    sign = shift(word, "shl", word.bit_and(bits, word.constant(0x8000)), 16)
    placed = shift(word, "shl", size, 13)
    normal = word.add(placed, word.constant(112 << 23))
    subnormal = single.bitcast(single.mul(word.cast(size, "f32"), single.constant(2.0**-24)), "u32")
    finite = word.select(word.lt(size, word.constant(0x400)), subnormal, normal)
    special = word.bit_or(placed, word.constant(0x7F800000))
    quiet = word.select(word.gt(size, word.constant(0x7C00)), word.bit_or(special, word.constant(0x400000)), special)
    return word.bitcast(word.bit_or(word.select(word.lt(size, word.constant(0x7C00)), finite, quiet), sign), "f32")


def round_f16(e: Lanes, x: Value) -> Value:
    """float16 lanes of f32 ones: exponents rebiased and 13 bits rounded off; subnormals by adding ½, whose last bit is
    theirs."""
    word = e.of("u32")
    bits = e.bitcast(x, "u32")
    sign = shift(word, "lshr", word.bit_and(bits, word.constant(0x80000000)), 16)
    size = word.bit_and(bits, word.constant(0x7FFFFFFF))
    odd = word.bit_and(shift(word, "lshr", size, 13), word.constant(1))
    normal = shift(word, "lshr", word.add(word.sub(size, word.constant((112 << 23) - 0xFFF)), odd), 13)
    half = e.add(word.bitcast(size, "f32"), e.constant(0.5))
    subnormal = word.sub(e.bitcast(half, "u32"), word.constant(0x3F000000))
    finite = word.select(word.lt(size, word.constant(113 << 23)), subnormal, normal)
    infinite = word.select(word.ge(size, word.constant(0x477FF000)), word.constant(0x7C00), finite)
    quiet = word.bit_or(word.bit_and(shift(word, "lshr", size, 13), word.constant(0x3FF)), word.constant(0x7E00))
    rounded = word.select(word.gt(size, word.constant(0x7F800000)), quiet, infinite)
    return e.builder.cast("trunc", word.bit_or(rounded, sign), e.of("f16").type)


def shift(word: Lanes, opcode: str, x: Value, count: int) -> Value:
    """u32 lanes shifted by a constant."""
    return word.builder.binary(opcode, x, word.constant(count))
