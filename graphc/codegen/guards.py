"""Checks at the start of exported functions: each returns an error code before anything has changed."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.address import MEMORY, Sizes
from graphc.codegen.llvm import Builder, Value
from graphc.ir.dim import Atom, Size, Symbol, lower_bound
from graphc.runtime.signature import ABI, ALIGN, STATE_MAGIC
from graphc.runtime.status import Status
from graphc.schedule.layout import StateLayout

NULL = Value("ptr", "null")

#: Sizes in bytes from which on a call is refused: sums of them must fit 64 bits.
LIMIT_BYTES = float(1 << 60)


def status(code: int) -> Value:
    """A status as the functions return it."""
    return Value("i32", str(int(code)))


def refuse(b: Builder, condition: Value, code: int) -> None:
    """Return the code where the condition holds."""
    bad, good = b.fresh("bad"), b.fresh("good")
    b.branch_if(condition, bad, good)
    b.label(bad)
    b.ret(status(code))
    b.label(good)


def refuse_failed(b: Builder, code: Value) -> None:
    """Return a status that is not OK."""
    bad, good = b.fresh("bad"), b.fresh("good")
    b.branch_if(b.icmp("ne", code, status(0)), bad, good)
    b.label(bad)
    b.ret(code)
    b.label(good)


def is_null(b: Builder, pointer: Value) -> Value:
    """Whether a pointer is null."""
    return b.icmp("eq", pointer, NULL)


def is_misaligned(b: Builder, pointer: Value, alignment: int) -> Value:
    """Whether a pointer is no multiple of a power of two."""
    bits = b.emit("i64", f"ptrtoint {pointer} to i64")
    return b.icmp("ne", b.binary("and", bits, b.i64(alignment - 1)), b.i64(0))


def check_state(b: Builder, state: Value, layout: StateLayout) -> None:
    """The state is there, aligned, and of this program's layout."""
    refuse(b, is_null(b, state), Status.NULL)
    refuse(b, is_misaligned(b, state, ALIGN), Status.ALIGN)
    for offset, expected in header(layout):
        found = b.load("i64", b.gep("i8", state, b.i64(offset)))
        refuse(b, b.icmp("ne", found, b.i64(expected)), Status.STATE)


def header(layout: StateLayout) -> list[tuple[int, int]]:
    """(offset, signed 64-bit word) of the header: magic, ABI version, layout hash."""
    words = [(0, STATE_MAGIC), (8, ABI), (16, int(layout.hash, 16))]
    return [(offset, word - (1 << 64) if word >> 63 else word) for offset, word in words]


def check_symbol(b: Builder, symbol: Symbol, value: Value) -> None:
    """The value is in the symbol's range, and a multiple where it must be."""
    refuse(b, b.icmp("slt", value, b.i64(symbol.min)), Status.SIZE)
    if symbol.max is not None:
        refuse(b, b.icmp("sgt", value, b.i64(symbol.max)), Status.SIZE)
    if symbol.multiple_of > 1:
        rest = b.binary("urem", value, b.i64(symbol.multiple_of))
        refuse(b, b.icmp("ne", rest, b.i64(0)), Status.SIZE)


def too_large(b: Builder, sizes: Sizes, bytes_: Sequence[Size]) -> Value:
    """Whether a sum of sizes in bytes comes near the limits of 64 bits; computed in doubles, so that nothing wraps."""
    total = b.constant("double", 0.0)
    for size in bytes_:
        total = b.binary("fadd", total, upper_bound(b, sizes, size))
    return b.fcmp("oge", total, b.constant("double", LIMIT_BYTES))


def upper_bound(b: Builder, sizes: Sizes, size: Size) -> Value:
    """A double at least as large as the size can be."""
    if isinstance(size, int):
        return b.constant("double", float(abs(size)))
    total = b.constant("double", 0.0)
    for monomial, coefficient in size.terms:
        product = b.constant("double", float(abs(coefficient)))
        for factor in monomial:
            product = b.binary("fmul", product, factor_bound(b, sizes, factor))
        total = b.binary("fadd", total, product)
    return total


def factor_bound(b: Builder, sizes: Sizes, factor: Symbol | Atom) -> Value:
    """A double at least as large as a factor: quotients and remainders are below their dividend."""
    if isinstance(factor, Symbol):
        return b.cast("sitofp", sizes.symbols[factor.name], "double")
    first, second = (upper_bound(b, sizes, a) for a in factor.arguments)
    return b.binary("fadd", first, second) if factor.function == "max" else first


def check_at_least(b: Builder, sizes: Sizes, size: Size, minimum: int) -> None:
    """A size that must not be smaller than something."""
    bound = lower_bound(size)
    if bound is None or bound < minimum:
        refuse(b, b.icmp("slt", sizes(size), b.i64(minimum)), Status.SIZE)


def check_pointer(b: Builder, pointer: Value, itemsize: int, count: Value | None) -> None:
    """Naturally aligned; where `count` is given, not null unless it is zero."""
    if count is not None:
        missing = is_null(b, pointer)
        if count.literal is None:
            missing = b.binary("and", missing, b.icmp("sgt", count, b.i64(0)))
        if count.literal != 0:
            refuse(b, missing, Status.NULL)
    if itemsize > 1:
        refuse(b, is_misaligned(b, pointer, itemsize), Status.ALIGN)


def check_range(b: Builder, pointer: Value, dtype: str, count: Value, low: int, high: int, code: int) -> None:
    """Every integer of an array lies in low … high."""
    element = MEMORY[dtype]
    with b.loop(b.i64(0), count, carried=[Value("i1", "false")]) as loop:
        value = b.load(element, b.gep(element, pointer, loop.index))
        signed = dtype[0] == "i"
        below = b.icmp("slt" if signed else "ult", value, Value(element, str(low)))
        above = b.icmp("sgt" if signed else "ugt", value, Value(element, str(high)))
        loop.next = [b.binary("or", loop.carried[0], b.binary("or", below, above))]
    refuse(b, loop.results[0], code)

