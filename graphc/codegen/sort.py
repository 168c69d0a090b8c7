"""Sorting a row: keys that compare as unsigned integers, merged bottom-up, without recursion or branches on data.

An element of at most 32 bits and its place make one word, so that words compare as the pairs do; wider elements have
their places in a second column. Runs of eight are sorted in registers: an element's place in its run is how many of the
run come before it, counted against each rotation of the run.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.codegen.address import MEMORY
from graphc.codegen.emission import Emission
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value, lane_count, suffix, vector_type
from graphc.ir.types import DTYPES, DType
from graphc.schedule.kernel import Sort
from graphc.schedule.sweeps import packs

Columns = tuple[Value, ...]

#: Elements of a run that is sorted in registers.
RUN = 8


def emit_sort(k: Emission, statement: Sort) -> None:
    """Call the function that sorts rows of this dtype in this direction."""
    source, _ = k.addresses.partial(statement.source.buffer, statement.source.offset)
    target, _ = k.addresses.partial(statement.target.buffer, statement.target.offset)
    scratch = k.addresses.pointers[statement.scratch]
    name = order_function(k.b.module, statement.source.buffer.type.dtype.name, statement.descending)
    k.b.call(name, "void", source, k.sizes(statement.size), scratch, target)


def order_function(module: Module, dtype: str, descending: bool) -> str:
    """The name of `(source, size, scratch, target)`, which writes a row's order; it is emitted at the first use."""
    name = f"order.{dtype}.{'descending' if descending else 'ascending'}"
    if all(f.name != name for f in module.functions):
        pointers = [("ptr noalias", p) for p in ("source", "scratch", "target")]
        b = Builder(module, name, [*pointers[:1], ("i64", "size"), *pointers[1:]])
        emit_order(b, DTYPES[dtype], descending)
        b.ret()
    return name


def emit_order(b: Builder, dtype: DType, descending: bool) -> None:
    """Fill the first array with sorted runs, merge back and forth, write the places."""
    source, size, scratch, target = b.arguments
    count = 1 if packs(dtype) else 2
    columns = [b.gep("i64", scratch, b.mul(size, b.i64(i))) for i in range(2 * count)]
    with b.loop(b.i64(0), size, RUN) as loop:
        start = loop.index
        live = b.lane_mask(b.minimum(b.sub(size, start), b.i64(RUN)), RUN)
        memory = MEMORY[dtype.name]
        elements = b.masked_load(vector_type(memory, RUN), b.gep(memory, source, start), live)
        store_run(b, tuple(columns[:count]), start, run_of(b, dtype, elements, descending, start, live), live)
    runs = b.udiv(b.add(size, b.i64(RUN - 1)), b.i64(RUN))
    with b.loop(b.i64(0), rounds(b, runs), carried=columns) as loop:
        width = b.binary("shl", b.i64(RUN), loop.index)
        merge_runs(b, tuple(loop.carried[:count]), tuple(loop.carried[count:]), size, width)
        loop.next = [*loop.carried[count:], *loop.carried[:count]]
    places = loop.results[count - 1]
    with b.loop(b.i64(0), size) as last:
        word = b.load("i64", b.gep("i64", places, last.index))
        place = b.binary("and", word, b.i64(2**32 - 1)) if count == 1 else word
        b.store(place, b.gep("i64", target, last.index))


def run_of(b: Builder, dtype: DType, x: Value, descending: bool, start: Value, live: Value) -> Columns:
    """A run's words; what lies beyond the row is above all."""
    keys = key(b, dtype, x, descending)
    keys = b.select(live, keys, b.constant(keys.type, -1))
    places = b.binary("add", b.splat(start, RUN), b.iota("i64", RUN))
    if keys.type == places.type:
        return keys, places
    high = b.binary("shl", b.cast("zext", keys, places.type), b.constant(places.type, 32))
    return (b.binary("or", high, places),)


def key(b: Builder, dtype: DType, x: Value, descending: bool) -> Value:
    """Integers that compare, unsigned, as the elements do: ±0 are equal, a NaN is above all."""
    bits = 32 if packs(dtype) else 64
    type_ = vector_type(f"i{bits}", lane_count(x.type))
    lowest = b.constant(type_, -(2 ** (bits - 1)))
    if dtype.is_float:
        whole = b.cast("bitcast", b.binary("fadd", x, b.constant(x.type, 0.0)), type_)
        sign = b.binary("ashr", whole, b.constant(type_, bits - 1))
        ordered = b.binary("xor", whole, b.binary("or", sign, lowest))
        found = b.select(b.fcmp("uno", x, x), b.constant(type_, -1), ordered)
    elif dtype.kind == "int":
        found = b.binary("xor", x, lowest)
    else:
        found = b.cast("zext", x, type_)
    return b.binary("xor", found, b.constant(type_, -1)) if descending else found


def store_run(b: Builder, columns: Columns, start: Value, words: Columns, live: Value) -> None:
    """Each word to its place in the run: after those that are smaller, or as large and before it."""
    keys = words[0]
    rank = b.constant(keys.type, 0)
    for turn in range(1, RUN):
        other = b.shuffle(keys, keys, [(lane + turn) % RUN for lane in range(RUN)])
        earlier = flags(lane + turn >= RUN for lane in range(RUN))
        before = b.select(earlier, b.icmp("ule", other, keys), b.icmp("ult", other, keys))
        rank = b.binary("add", rank, b.cast("zext", before, keys.type))
    places = b.binary("add", rank, b.splat(start, RUN))
    for column, word in zip(columns, words, strict=True):
        pointers = b.emit(vector_type("ptr", RUN), f"getelementptr i64, {column}, {places}")
        name = f"llvm.masked.scatter.{suffix(word.type)}.{suffix(pointers.type)}"
        b.intrinsic(name, "void", word, pointers, Value("i32", "8"), live)


def flags(bits: Iterable[bool]) -> Value:
    """A constant mask."""
    lanes = ", ".join(f"i1 {'true' if bit else 'false'}" for bit in bits)
    return Value(vector_type("i1", RUN), f"<{lanes}>")


def rounds(b: Builder, runs: Value) -> Value:
    """How often runs must double to be one: ⌈log₂ runs⌉."""
    last = b.sub(b.maximum(runs, b.i64(1)), b.i64(1))
    return b.sub(b.i64(64), b.intrinsic("llvm.ctlz.i64", "i64", last, Value("i1 immarg", "false")))


def merge_runs(b: Builder, old: Columns, new: Columns, size: Value, width: Value) -> None:
    """Merge each two neighbouring runs of a width; of equal keys the left one comes first."""
    twice = b.binary("shl", width, b.i64(1))
    with b.loop(b.i64(0), size, twice) as pair:
        middle = b.minimum(b.add(pair.index, width), size)
        end = b.minimum(b.add(pair.index, twice), size)
        with b.loop(pair.index, end, carried=[pair.index, middle]) as loop:
            left, right = loop.carried
            ours, theirs = load_words(b, old, left), load_words(b, old, right)  # one beyond the end is never used
            smaller = b.binary("or", b.icmp("ult", theirs[0], ours[0]), b.icmp("sge", left, middle))
            take = b.binary("and", smaller, b.icmp("slt", right, end))
            chosen = tuple(b.select(take, t, o) for t, o in zip(theirs, ours, strict=True))
            store_words(b, new, loop.index, chosen)
            step = b.cast("zext", take, "i64")
            loop.next = [b.add(left, b.sub(b.i64(1), step)), b.add(right, step)]


def load_words(b: Builder, columns: Columns, place: Value) -> Columns:
    """A row of the columns."""
    return tuple(b.load("i64", b.gep("i64", c, place)) for c in columns)


def store_words(b: Builder, columns: Columns, place: Value, words: Columns) -> None:
    """Write a row of the columns."""
    for column, word in zip(columns, words, strict=True):
        b.store(word, b.gep("i64", column, place))
