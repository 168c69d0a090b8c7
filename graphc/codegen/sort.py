"""Sorting a row: keys that compare as unsigned integers, merged bottom-up, without recursion or branches on data.

An element of at most 32 bits and its place make one word, so that words compare as the pairs do; wider elements have
their places in a second column.
"""

from __future__ import annotations

from graphc.codegen.address import MEMORY
from graphc.codegen.emission import Emission
from graphc.codegen.llvm import Builder, Module, Value
from graphc.ir.types import DTYPES, DType
from graphc.schedule.kernel import Sort
from graphc.schedule.sweeps import packs

Columns = tuple[Value, ...]


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
    """Fill the first array with keys, merge back and forth, write the places."""
    source, size, scratch, target = b.arguments
    count = 1 if packs(dtype) else 2
    columns = [b.gep("i64", scratch, b.mul(size, b.i64(i))) for i in range(2 * count)]
    with b.loop(b.i64(0), size) as loop:
        element = b.load(MEMORY[dtype.name], b.gep(MEMORY[dtype.name], source, loop.index))
        words = with_place(b, key(b, dtype, element, descending), loop.index)
        store_words(b, tuple(columns[:count]), loop.index, words)
    with b.loop(b.i64(0), rounds(b, size), carried=columns) as loop:
        width = b.binary("shl", b.i64(1), loop.index)
        merge_runs(b, tuple(loop.carried[:count]), tuple(loop.carried[count:]), size, width)
        loop.next = [*loop.carried[count:], *loop.carried[:count]]
    places = loop.results[count - 1]
    with b.loop(b.i64(0), size) as last:
        word = b.load("i64", b.gep("i64", places, last.index))
        place = b.binary("and", word, b.i64(2**32 - 1)) if count == 1 else word
        b.store(place, b.gep("i64", target, last.index))


def key(b: Builder, dtype: DType, x: Value, descending: bool) -> Value:
    """An integer that compares, unsigned, as the element does: ±0 are equal, a NaN is above all."""
    bits = 32 if packs(dtype) else 64
    type_, lowest = f"i{bits}", str(-(2 ** (bits - 1)))
    if dtype.is_float:
        whole = b.cast("bitcast", b.binary("fadd", x, b.constant(x.type, 0.0)), type_)
        sign = b.binary("ashr", whole, Value(type_, str(bits - 1)))
        ordered = b.binary("xor", whole, b.binary("or", sign, Value(type_, lowest)))
        found = b.select(b.fcmp("uno", x, x), Value(type_, "-1"), ordered)
    elif dtype.kind == "int":
        found = b.binary("xor", x, Value(type_, lowest))
    else:
        found = b.cast("zext", x, type_)
    return b.binary("xor", found, Value(type_, "-1")) if descending else found


def with_place(b: Builder, key: Value, place: Value) -> Columns:
    """What is sorted: a word of key and place, or both."""
    if key.type == "i64":
        return key, place
    return (b.binary("or", b.binary("shl", b.cast("zext", key, "i64"), b.i64(32)), place),)


def rounds(b: Builder, size: Value) -> Value:
    """How often runs must double: ⌈log₂ size⌉."""
    last = b.sub(b.maximum(size, b.i64(1)), b.i64(1))
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
