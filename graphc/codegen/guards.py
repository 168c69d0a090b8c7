"""Checks at the start of exported functions: each returns an error code before anything has changed."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.address import MEMORY, Sizes
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import Atom, Size, Symbol, lower_bound
from graphc.runtime.signature import ABI, ALIGN, STATE_MAGIC
from graphc.runtime.status import Status
from graphc.schedule.layout import StateLayout

NULL = Value("ptr", "null")

#: Sizes in bytes from which on a call is refused: sums of them must fit 64 bits.
LIMIT_BYTES = float(1 << 60)

#: The workspace size that says that dimensions are not ones an entry takes: SIZE_MAX.
INVALID = -1


def status(code: int) -> Value:
    """A status as the functions return it."""
    return Value("i32", str(int(code)))


class Checks:
    """Conditions under which a function returns an error code. They are tested together, the first one wins."""

    def __init__(self, b: Builder):
        self.b = b
        self._pending: list[tuple[Value, Value]] = []

    def refuse(self, condition: Value, code: int) -> None:
        """Return the code where the condition holds."""
        self._pending.append((condition, status(code)))

    def settle(self) -> None:
        """Test what was asked so far; what follows may rely on it."""
        b, result = self.b, status(Status.OK)
        for condition, code in reversed(self._pending):
            result = b.select(condition, code, result)
        self._pending.clear()
        self.forward(result)

    def forward(self, code: Value) -> None:
        """Return a status that is not OK."""
        b = self.b
        bad, good = b.fresh("bad"), b.fresh("good")
        b.branch_if(b.icmp("ne", code, status(Status.OK)), bad, good)
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


def check_state(checks: Checks, state: Value, layout: StateLayout) -> None:
    """The state is there, aligned, and of this program's layout. Settles."""
    b = checks.b
    checks.refuse(is_null(b, state), Status.NULL)
    checks.refuse(is_misaligned(b, state, ALIGN), Status.ALIGN)
    checks.settle()
    for offset, expected in header(layout):
        found = b.load("i64", b.gep("i8", state, b.i64(offset)))
        checks.refuse(b.icmp("ne", found, b.i64(expected)), Status.STATE)


def header(layout: StateLayout) -> list[tuple[int, int]]:
    """(offset, signed 64-bit word) of the header: magic, ABI version, layout hash."""
    words = [(0, STATE_MAGIC), (8, ABI), (16, int(layout.hash, 16))]
    return [(offset, word - (1 << 64) if word >> 63 else word) for offset, word in words]


def check_workspace(checks: Checks, workspace: Value, given: Value, need: Value) -> None:
    """The dimensions are valid; there is enough workspace, and it is aligned."""
    b = checks.b
    checks.refuse(b.icmp("ult", given, need), Status.SIZE)
    checks.refuse(b.icmp("eq", need, b.i64(INVALID)), Status.SIZE)
    checks.refuse(b.binary("and", is_null(b, workspace), b.icmp("ne", need, b.i64(0))), Status.NULL)
    checks.refuse(is_misaligned(b, workspace, ALIGN), Status.ALIGN)


def is_outside(b: Builder, symbol: Symbol, value: Value) -> Value:
    """Whether the value is out of the symbol's range, or no multiple where it must be one."""
    outside = b.icmp("slt", value, b.i64(symbol.min))
    if symbol.max is not None:
        outside = b.binary("or", outside, b.icmp("sgt", value, b.i64(symbol.max)))
    if symbol.multiple_of > 1:
        rest = b.binary("urem", value, b.i64(symbol.multiple_of))
        outside = b.binary("or", outside, b.icmp("ne", rest, b.i64(0)))
    return outside


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


def is_below(b: Builder, sizes: Sizes, size: Size, minimum: int) -> Value:
    """Whether a size is smaller than it must be."""
    bound = lower_bound(size)
    if bound is not None and bound >= minimum:
        return Value("i1", "false")
    return b.icmp("slt", sizes(size), b.i64(minimum))


def check_pointer(checks: Checks, pointer: Value, itemsize: int, count: Value | None) -> None:
    """Naturally aligned; where `count` is given, not null unless it is zero."""
    b = checks.b
    if count is not None and count.literal != 0:
        missing = is_null(b, pointer)
        if count.literal is None:
            missing = b.binary("and", missing, b.icmp("sgt", count, b.i64(0)))
        checks.refuse(missing, Status.NULL)
    if itemsize > 1:
        checks.refuse(is_misaligned(b, pointer, itemsize), Status.ALIGN)


def check_range(checks: Checks, pointer: Value, dtype: str, count: Value, low: int, high: int) -> None:
    """Every integer of an array lies in low … high. Settles before it reads the array."""
    checks.settle()
    b, element = checks.b, MEMORY[dtype]
    with b.loop(b.i64(0), count, carried=[Value("i1", "false")]) as loop:
        value = b.load(element, b.gep(element, pointer, loop.index))
        signed = dtype[0] == "i"
        below = b.icmp("slt" if signed else "ult", value, Value(element, str(low)))
        above = b.icmp("sgt" if signed else "ugt", value, Value(element, str(high)))
        loop.next = [b.binary("or", loop.carried[0], b.binary("or", below, above))]
    checks.refuse(loop.results[0], Status.INDEX)
