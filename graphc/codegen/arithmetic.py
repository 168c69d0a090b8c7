"""Arithmetic that no single instruction does: division that never traps, exact remainders, rounding, saturation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.codegen.llvm_types import Value, suffix

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes


def integer_divide(e: Lanes, x: Value, y: Value) -> tuple[Value, Value]:
    """floor(x/y) and x − y·floor(x/y) of integers; both 0 where y is 0, and −x (wrapping) and 0 where y is −1."""
    zero, one = e.constant(0), e.constant(1)
    by_zero = e.eq(y, zero)
    if not e.signed:
        safe = e.select(by_zero, one, y)
        quotient, remainder = e.builder.binary("udiv", x, safe), e.builder.binary("urem", x, safe)
        return e.select(by_zero, zero, quotient), e.select(by_zero, zero, remainder)
    by_minus_one = e.eq(y, e.constant(-1))
    special = e.logical_or(by_zero, by_minus_one)
    safe = e.select(special, one, y)
    quotient = e.builder.binary("sdiv", x, safe)
    remainder = e.sub(x, e.mul(quotient, safe))
    outside = e.logical_and(e.ne(remainder, zero), e.lt(e.bit_xor(remainder, safe), zero))
    quotient = e.select(outside, e.sub(quotient, one), quotient)
    remainder = e.select(outside, e.add(remainder, safe), remainder)
    quotient = e.select(by_minus_one, e.neg(x), quotient)
    return e.select(by_zero, zero, quotient), e.select(special, zero, remainder)


def integer_power(e: Lanes, x: Value, y: Value) -> Value:
    """x^y of integers by squaring, wrapping; for negative y the integer part: 0 unless x is 1 or −1, and 0 of 0."""
    b = e.builder
    zero, one = e.constant(0), e.constant(1)
    carried = (one, x, e.abs(y))
    with b.loop(b.i64(0), b.i64(e.bits), carried=carried) as loop:
        power, square, rest = loop.carried
        odd = e.ne(e.bit_and(rest, one), zero)
        power = e.select(odd, e.mul(power, square), power)
        loop.next = [power, e.mul(square, square), b.binary("lshr", rest, one)]
    power = loop.results[0]
    if not e.signed:
        return power
    unit = e.logical_or(e.eq(x, one), e.eq(x, e.constant(-1)))
    return e.select(e.logical_or(e.ge(y, zero), unit), power, zero)


def modulo(e: Lanes, x: Value, y: Value) -> Value:
    """x − y·floor(x/y) of floats, exact, with the sign of y; NaN where y is 0 or x infinite.

    Long division in f64: while a remainder r is not below |y|, the largest 2^k·|y| ≤ r is taken off, which is exact
    (Sterbenz). A step takes one set bit off the quotient; lanes that are done are left alone.
    """
    if e.dtype == "f32":
        wide = e.of("f64")
        return wide.cast(modulo(wide, e.cast(x, "f64"), e.cast(y, "f64")), "f32")
    zero = e.constant(0.0)
    size, divisor = e.abs(x), e.abs(y)
    valid = e.logical_and(e.lt(size, e.constant(float("inf"))), e.gt(divisor, zero))
    remainder = _long_division(e, e.select(valid, size, zero), divisor)
    opposite = e.logical_and(e.logical_xor(e.lt(x, zero), e.lt(y, zero)), e.gt(remainder, zero))
    remainder = e.select(opposite, e.sub(divisor, remainder), remainder)
    return e.select(valid, e.copysign(remainder, y), e.constant(float("nan")))


def _long_division(e: Lanes, size: Value, divisor: Value) -> Value:
    """The remainder of two non-negative values, by a loop that runs until every lane is below its divisor."""
    b = e.builder
    before, body, after = b.block, b.fresh("reduce"), b.fresh("reduced")
    remainder, reduced = Value(e.type, f"%{body}.remainder"), Value(e.type, f"%{body}.next")
    b.branch_if(any_lane(e, e.ge(size, divisor)), body, after)
    b.label(body)
    b.line(f"{remainder.name} = phi {e.type} [ {size.name}, %{before} ], [ {reduced.name}, %{body} ]")
    multiple = e.select(e.ge(remainder, divisor), _largest_multiple(e, remainder, divisor), e.constant(0.0))
    b.line(f"{reduced.name} = fsub {remainder}, {multiple.name}")
    b.branch_if(any_lane(e, e.ge(reduced, divisor)), body, after)
    b.label(after)
    return b.phi(e.type, [(size, before), (reduced, body)])


def _largest_multiple(e: Lanes, remainder: Value, divisor: Value) -> Value:
    """The largest 2^k·divisor ≤ remainder, k ≥ 0 (f64)."""
    for _ in range(2):  # a quotient may exceed the range of floats: up to 2^2098
        far = e.mul(divisor, e.constant(2.0**1000))
        divisor = e.select(e.le(far, remainder), far, divisor)
    exponent = e.of("i64").constant(0x7FF << 52)
    power = e.of("i64").bitcast(e.bit_and(e.bitcast(e.div(remainder, divisor), "i64"), exponent), "f64")
    multiple = e.mul(power, divisor)
    return e.select(e.gt(multiple, remainder), e.mul(multiple, e.constant(0.5)), multiple)


def any_lane(e: Lanes, condition: Value) -> Value:
    """Whether a condition (i1 lanes) holds anywhere: one i1."""
    if e.lanes == 1:
        return condition
    return e.builder.intrinsic(f"llvm.vector.reduce.or.{suffix(condition.type)}", "i1", condition)


def nearest(e: Lanes, direction: str, x: Value) -> Value:
    """x to an integer in a `direction`: floor, ceil, trunc or roundeven; the sign of zero is kept."""
    if not e.floating:
        return x
    if not e.target.triple.startswith("x86") or "sse4.1" in e.target.features:
        return e.intrinsic(direction, x)
    integral = e.constant(2.0 ** (23 if e.dtype == "f32" else 52))  # from here on every float is an integer
    size = e.abs(x)
    rounded = e.copysign(e.sub(e.add(size, integral), integral), x)
    too_high, too_low = e.gt(rounded, x), e.lt(rounded, x)
    negative = e.lt(x, e.constant(0.0))
    if direction == "trunc":
        too_high = e.logical_and(too_high, e.logical_not(negative))
        too_low = e.logical_and(too_low, negative)
    if direction in ("floor", "trunc"):
        rounded = e.select(too_high, e.sub(rounded, e.constant(1.0)), rounded)
    if direction in ("ceil", "trunc"):
        rounded = e.select(too_low, e.add(rounded, e.constant(1.0)), rounded)
    return e.select(e.lt(size, integral), e.copysign(rounded, x), x)


def saturate(e: Lanes, x: Value, to: Lanes) -> Value:
    """A float's integer part in the range of an integer dtype; NaN gives 0 (llvm.fptosi.sat would scalarise)."""
    low, high = (-(2 ** (to.bits - 1)), 2 ** (to.bits - 1)) if to.signed else (0, 2**to.bits)
    precision = 24 if e.dtype == "f32" else 53
    below = high - max(1, high >> precision)
    number = e.select(e.is_nan(x), e.constant(0.0), x)
    clamped = e.min(e.max(number, e.constant(low)), e.constant(below))
    result = e.builder.cast("fptosi" if to.signed else "fptoui", clamped, to.type)
    # LLVM 22 makes min(fptoui x, 0) a saturating conversion to an integer of no bits, and aborts: it must not see both
    result = e.builder.emit(to.type, f"freeze {result}")
    if below == high - 1:
        return result
    return e.select(e.ge(number, e.constant(high)), to.constant(high - 1), result)


def negative_bits(e: Lanes, x: Value) -> Value:
    """Whether the sign bit of floats is set."""
    integers = bits_of(e)
    return integers.lt(e.bitcast(x, integers.dtype), integers.constant(0))


def next_toward(e: Lanes, x: Value, y: Value) -> Value:
    """The next float from x toward y: its bits as an integer move by one, up where the magnitude grows."""
    integers = bits_of(e)
    zero = e.constant(0.0)
    smallest = integers.bitcast(integers.constant(1), e.dtype)
    grows = e.select(e.lt(x, zero), e.lt(y, x), e.gt(y, x))
    step = integers.select(grows, integers.constant(1), integers.constant(-1))
    moved = integers.bitcast(integers.add(e.bitcast(x, integers.dtype), step), e.dtype)
    moved = e.select(e.eq(x, zero), e.copysign(smallest, y), moved)
    moved = e.select(e.eq(x, y), y, moved)
    return e.select(e.logical_or(e.is_nan(x), e.is_nan(y)), e.add(x, y), moved)


def bits_of(e: Lanes) -> Lanes:
    """Integer lanes of the floats' width."""
    return e.of("i32" if e.dtype == "f32" else "i64")
