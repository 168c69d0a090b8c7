"""Where accesses lie: sizes as integers, addresses built up loop by loop so that invariant parts are computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import Atom, Dim, Size, Symbol, lower_bound
from graphc.schedule.access import Axis, Buffer, Index

#: The memory form of each dtype: bool is a byte.
MEMORY = {
    "f32": "float", "f64": "double", "f16": "i16", "bf16": "i16",
    "i32": "i32", "i64": "i64", "u8": "i8", "u32": "i32", "u64": "i64", "bool": "i8",
}  # fmt: skip

Term = tuple[Axis | int, Size]


class Sizes:
    """Emits sizes as i64 values, each once per function."""

    def __init__(self, builder: Builder, symbols: Mapping[str, Value]):
        self.builder, self.symbols = builder, symbols
        self._known: dict[Size, Value] = {}

    def __call__(self, size: Size) -> Value:
        """The size's value. The first use must be where every later one can see it."""
        if isinstance(size, int):
            return Builder.i64(size)
        if size not in self._known:
            self._known[size] = self._compute(size)
        return self._known[size]

    def _compute(self, size: Dim) -> Value:
        b = self.builder
        total = b.i64(0)
        for monomial, coefficient in size.terms:
            product = b.i64(coefficient)
            for factor in monomial:
                product = b.mul(product, self._factor(factor))
            total = b.add(total, product)
        return total

    def _factor(self, factor: Symbol | Atom) -> Value:
        if isinstance(factor, Symbol):
            return self.symbols[factor.name]
        x, y = (self(a) for a in factor.arguments)
        b = self.builder
        least = lower_bound(factor.arguments[0])
        if factor.function in ("floordiv", "mod") and (least is None or least < 0):
            return floored(b, factor.function, x, y)
        return {"floordiv": b.udiv, "mod": b.urem, "min": b.minimum, "max": b.maximum}[factor.function](x, y)


def floored(b: Builder, function: str, x: Value, y: Value) -> Value:
    """⌊x / y⌋ or x mod y of an index that may be negative, y > 0."""
    rest = b.binary("srem", x, y)
    negative = b.icmp("slt", rest, b.i64(0))
    if function == "mod":
        return b.select(negative, b.add(rest, y), rest)
    quotient = b.binary("sdiv", x, y)
    return b.select(negative, b.sub(quotient, b.i64(1)), quotient)


class Addresses:
    """Emits addresses: an index' terms are added outermost first, and partial sums are kept while they are in scope."""

    def __init__(self, builder: Builder, sizes: Sizes, pointers: Mapping[Buffer, Value]):
        self.builder, self.sizes, self.pointers = builder, sizes, pointers
        self.axes: dict[Axis | int, Value] = {}
        self._depth: dict[Axis | int, int] = {}
        self._scopes: list[dict[Hashable, Value]] = [{}]

    @contextmanager
    def scope(self, accesses: Iterable[tuple[Buffer, Index]]) -> Iterator[None]:
        """A loop body. What is known of the accesses' addresses before it is computed before it.

        Positions that the body defines end with it: it may be written again, for the rest of an axis.
        """
        for buffer, index in accesses:
            self.partial(buffer, index)
        before = set(self.axes)
        self._scopes.append({})
        yield
        self._scopes.pop()
        for term in [t for t in self.axes if t not in before]:
            self.forget(term)

    def define(self, term: Axis | int, value: Value) -> None:
        """Give an axis (or a position) its value for the code that follows."""
        self._depth[term] = len(self._depth) if term not in self._depth else self._depth[term]
        self.axes[term] = value

    def forget(self, term: Axis | int) -> None:
        """The loop of the axis (or around the position) has ended."""
        del self.axes[term]

    def partial(self, buffer: Buffer, index: Index) -> tuple[Value, tuple[Term, ...]]:
        """The address of the terms known so far, and the terms left."""
        known = sorted((t for t in index.terms if t[0] in self.axes), key=lambda t: self._depth[t[0]])
        left = tuple(t for t in index.terms if t[0] not in self.axes)
        pointer = self._moved(buffer, self.pointers[buffer], index.offset, ())
        for count in range(1, len(known) + 1):
            pointer = self._moved(buffer, pointer, index.offset, tuple(known[:count]))
        return pointer, left

    def _moved(self, buffer: Buffer, pointer: Value, offset: Size, terms: tuple[Term, ...]) -> Value:
        """The pointer moved by the last of the terms, or by the offset where there are none."""

        def move() -> Value:
            if terms:
                term, coefficient = terms[-1]
                distance = self.builder.mul(self.axes[term], self.sizes(coefficient))
            else:
                distance = self.sizes(offset)
            return self.builder.gep(MEMORY[buffer.type.dtype.name], pointer, distance)

        return self.remembered((buffer, offset, terms), move)

    def remembered(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """A value computed once in the innermost scope that asks for it first."""
        for scope in reversed(self._scopes):
            if key in scope:
                return scope[key]
        found = self._scopes[-1][key] = compute()
        return found
