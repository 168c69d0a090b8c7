"""`<entry>_epoch`: minibatches of an epoch in compiled code: shuffle, gather, step, and the means of the results.

The order of rows is a keyed permutation that is computed, not stored: a balanced Feistel network on the smallest even
number of bits that holds every row number, repeated while its result is too large (cycle walking; Black and Rogaway,
"Ciphers with Arbitrary Finite Domains", 2002). Its round function is the finaliser of SplitMix64 (Steele, Lea and
Flood, 2014) on the half, the round and the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from graphc.codegen.abi import HEAD, EntryEmitter
from graphc.codegen.address import MEMORY, Sizes
from graphc.codegen.copy import COPY_BYTES
from graphc.codegen.guards import INVALID, NULL, Checks, check_state, check_workspace, is_null, status
from graphc.codegen.lanes import Lanes
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import align_up
from graphc.order import FACTORS, INCREMENT, LAST_SHIFT, ROUNDS
from graphc.runtime.signature import ALIGN
from graphc.runtime.status import Status
from graphc.schedule.access import Buffer

PERMUTE = "permute"
#: `KEEP_ORDER` of the runtime as a signed number.
KEPT = -1
#: The most rows an epoch takes.
MOST_ROWS = 1 << 48
TAIL = [("i64", "rows"), ("i64", "batch"), ("i64", "seed"), ("i64", "first"), ("i64", "count")]


def emit_permute(module: Module) -> None:
    """`i64 permute(i64 index, i64 rows, i64 seed)`: where the index goes, for 0 <= index < rows."""
    b = Builder(module, PERMUTE, [("i64", "index"), ("i64", "rows"), ("i64", "seed")], "i64")
    index, rows, seed = b.arguments
    last = b.binary("or", b.binary("sub", rows, b.i64(1)), b.i64(1))
    leading = b.emit("i64", f"call i64 @llvm.ctlz.i64({last}, i1 true)")
    module.declare("llvm.ctlz.i64", "i64", ["i64", "i1 immarg"])
    bits = b.binary("sub", b.i64(64), leading)
    half = b.binary("lshr", b.binary("add", bits, b.i64(1)), b.i64(1))
    mask = b.binary("sub", b.binary("shl", b.i64(1), half), b.i64(1))
    b.branch("walk")
    b.label("walk")
    b.line(f"%at = phi i64 [ {index.name}, %entry ], [ %joined, %walk ]")
    at = Value("i64", "%at")
    left, right = b.binary("lshr", at, half), b.binary("and", at, mask)
    for number in range(ROUNDS):
        mixed = b.binary("and", mix(b, b.binary("add", right, seed), number), mask)
        left, right = right, b.binary("xor", left, mixed)
    b.line(f"%high = shl i64 {left.name}, {half.name}")
    b.line(f"%joined = or i64 %high, {right.name}")
    joined = Value("i64", "%joined")
    b.branch_if(b.icmp("ult", joined, rows), "done", "walk")
    b.label("done")
    b.ret(joined)


def mix(b: Builder, x: Value, number: int) -> Value:
    """SplitMix64's finaliser of x advanced by a multiple of its increment."""
    x = b.binary("add", x, signed((number + 1) * INCREMENT & (1 << 64) - 1))
    for shift, factor in FACTORS:
        x = b.binary("mul", b.binary("xor", x, b.binary("lshr", x, b.i64(shift))), signed(factor))
    return b.binary("xor", x, b.binary("lshr", x, b.i64(LAST_SHIFT)))


def signed(word: int) -> Value:
    """A 64-bit pattern as LLVM writes it."""
    return Value("i64", str(word - (1 << 64) if word >> 63 else word))


@dataclass
class EpochEmitter:
    """Emits the epoch of one entry that has one."""

    entry: EntryEmitter

    def emit(self) -> list[str]:
        """The functions; returns their names."""
        name = f"{self.entry.abi.symbol}_epoch"
        return [self.workspace_bytes(f"{name}_workspace_bytes"), self.epoch(name)]

    @property
    def others(self) -> list[tuple[str, str]]:
        """The dimensions besides the batch, as arguments."""
        symbols = self.entry.entry.symbols
        return self.entry.symbol_parameters([s for s in symbols if s.name != self.entry.abi.batch])

    def gathered(self) -> list[Buffer]:
        """The inputs that are cut into minibatches."""
        return [b for b, batched in zip(self.entry.entry.inputs, self.entry.abi.batched, strict=True) if batched]

    def places(self, b: Builder, sizes: Sizes) -> tuple[dict[Buffer, Value], dict[Buffer, Value], Value]:
        """Before the entry's own arena: room for a batch of each input, and twice each output (value, f64 sum)."""
        end = b.i64(0)
        inputs: dict[Buffer, Value] = {}
        for buffer in self.gathered():
            inputs[buffer] = end
            end = b.add(end, sizes(align_up(prod(buffer.type.shape) * buffer.type.dtype.itemsize, ALIGN)))
        outputs: dict[Buffer, Value] = {}
        for buffer in self.entry.abi.results:
            outputs[buffer] = end
            end = b.add(end, sizes(align_up(prod(buffer.type.shape) * 8, ALIGN) * 2))
        return inputs, outputs, end

    def symbols_at(self, b: Builder, batch: Value) -> dict[str, Value]:
        """The dimensions of one step."""
        known = {v.name.removeprefix("%s."): v for v in b.arguments if v.name.startswith("%s.")}
        return {**known, str(self.entry.abi.batch): batch}

    def workspace_bytes(self, name: str) -> str:
        """(dimensions besides the batch, rows, batch) -> bytes; SIZE_MAX where any batch would be refused."""
        b = Builder(self.entry.module, name, [*self.others, ("i64", "rows"), ("i64", "batch")], "i64", linkage="")
        rows, batch = b.arguments[-2:]
        one = b.i64(1)
        full = b.maximum(b.minimum(rows, batch), one)
        last = b.add(b.urem(b.sub(b.maximum(rows, one), one), full), one)
        invalid = b.icmp("slt", b.minimum(rows, batch), one)
        invalid = b.binary("or", invalid, b.icmp("sgt", rows, b.i64(MOST_ROWS)))
        for n in (last, full):
            symbols = self.symbols_at(b, n)
            step = b.call(
                f"{self.entry.abi.symbol}_workspace_bytes", "i64", *(symbols[s.name] for s in self.entry.entry.symbols)
            )
            invalid = b.binary("or", invalid, b.icmp("eq", step, b.i64(INVALID)))
        _, _, own = self.places(b, Sizes(b, symbols))
        b.ret(b.select(invalid, b.i64(INVALID), b.add(step, own)))
        return name

    def epoch(self, name: str) -> str:
        """The batches first … first + count − 1 of an epoch over `rows` rows."""
        entry = self.entry
        b = Builder(entry.module, name, [*HEAD, *self.others, *entry.array_parameters(), *TAIL], "i32", linkage="")
        state, workspace = b.arguments[:2]
        rows, batch, seed, first, count = b.arguments[-5:]
        arrays = b.arguments[3 + len(self.others) : -5]
        self.check(b, arrays, rows, batch, first, count)
        full = b.minimum(batch, rows)
        inputs, outputs, own = self.places(b, Sizes(b, self.symbols_at(b, full)))
        sizes = Sizes(b, self.symbols_at(b, full))
        for buffer, start in outputs.items():
            total = b.gep("i8", workspace, b.add(start, sizes(align_up(prod(buffer.type.shape) * 8, ALIGN))))
            with b.loop(b.i64(0), sizes(prod(buffer.type.shape))) as loop:
                b.store(b.constant("double", 0.0), b.gep("double", total, loop.index))
        with b.loop(first, b.add(first, count)) as loop:
            start = b.mul(loop.index, batch)
            n = b.minimum(batch, b.sub(rows, start))
            pointers = self.batch_pointers(b, workspace, arrays, inputs, start, n, rows, seed)
            results = [b.gep("i8", workspace, place) for place in outputs.values()]
            results += [NULL] * (len(entry.entry.outputs) - len(results))
            symbols = self.symbols_at(b, n)
            values = [symbols[s.name] for s in entry.entry.symbols]
            arena = b.gep("i8", workspace, own)
            entry.run(b, state, arena, *values, *pointers, *results)
            self.accumulate(b, sizes, workspace, outputs, n)
        last = b.minimum(b.mul(b.add(first, count), batch), rows)
        targets = arrays[len(entry.entry.inputs) :]
        self.deliver(b, sizes, workspace, outputs, targets, b.sub(last, b.mul(first, batch)))
        b.ret(status(Status.OK))
        return name

    def check(
        self, b: Builder, arrays: tuple[Value, ...], rows: Value, batch: Value, first: Value, count: Value
    ) -> None:
        """Everything that any of the batches would check, before the first one runs."""
        entry, checks = self.entry, Checks(b)
        for value, least in ((rows, 1), (batch, 1), (first, 0), (count, 0)):
            checks.refuse(b.icmp("slt", value, b.i64(least)), Status.SIZE)
        check_state(checks, b.arguments[0], entry.layout)
        full = b.minimum(batch, rows)
        batches = b.udiv(b.add(rows, b.sub(full, b.i64(1))), full)
        checks.refuse(b.icmp("sgt", first, batches), Status.SIZE)
        checks.refuse(b.icmp("sgt", count, b.sub(batches, first)), Status.SIZE)
        others = [v for v in b.arguments if v.name.startswith("%s.")]
        need = b.call(f"{entry.abi.symbol}_epoch_workspace_bytes", "i64", *others, rows, batch)
        check_workspace(checks, b.arguments[1], b.arguments[2], need)
        checks.settle()
        entry.check_arrays(checks, Sizes(b, self.symbols_at(b, rows)), arrays)
        checks.settle()

    def batch_pointers(
        self, b: Builder, workspace: Value, arrays: tuple[Value, ...], places: dict[Buffer, Value],
        start: Value, n: Value, rows: Value, seed: Value,
    ) -> list[Value]:  # fmt: skip
        """Where the batch's inputs are: in place where the order is kept, else gathered."""
        sizes = Sizes(b, self.symbols_at(b, n))
        keep = b.icmp("eq", seed, b.i64(KEPT))
        row_bytes = {
            buffer: sizes(prod(buffer.type.shape[1:]) * buffer.type.dtype.itemsize) for buffer in places
        }
        with b.loop(b.i64(0), b.select(keep, b.i64(0), n)) as loop:
            source = b.call(PERMUTE, "i64", b.add(start, loop.index), rows, seed)
            for buffer, array in zip(self.entry.entry.inputs, arrays, strict=False):
                if buffer in places:
                    size = row_bytes[buffer]
                    target = b.gep("i8", b.gep("i8", workspace, places[buffer]), b.mul(loop.index, size))
                    b.call(COPY_BYTES, "void", target, b.gep("i8", array, b.mul(source, size)), size)
        pointers = []
        for buffer, array in zip(self.entry.entry.inputs, arrays, strict=False):
            if buffer in places:
                here = b.gep("i8", array, b.mul(start, row_bytes[buffer]))
                array = b.select(keep, here, b.gep("i8", workspace, places[buffer]))
            pointers.append(array)
        return pointers

    def accumulate(
        self, b: Builder, sizes: Sizes, workspace: Value, places: dict[Buffer, Value], n: Value
    ) -> None:
        """Add the batch's results, weighted by its rows, to the sums."""
        weight = b.cast("sitofp", n, "double")
        for buffer, place in places.items():
            value, total, element = self.pair(b, sizes, workspace, buffer, place)
            with b.loop(b.i64(0), sizes(prod(buffer.type.shape))) as loop:
                x = b.load(element, b.gep(element, value, loop.index))
                at = b.gep("double", total, loop.index)
                wide = self.scalars(b, buffer.type.dtype.name).cast(x, "f64")
                b.store(b.binary("fadd", b.load("double", at), b.binary("fmul", wide, weight)), at)

    def deliver(
        self, b: Builder, sizes: Sizes, workspace: Value, places: dict[Buffer, Value], arrays: tuple[Value, ...],
        rows: Value,
    ) -> None:  # fmt: skip
        """The means, into the outputs that were asked for."""
        weight = b.cast("sitofp", rows, "double")
        for (buffer, place), array in zip(places.items(), arrays, strict=False):
            _, total, element = self.pair(b, sizes, workspace, buffer, place)
            wanted = b.select(is_null(b, array), b.i64(0), sizes(prod(buffer.type.shape)))
            with b.loop(b.i64(0), wanted) as loop:
                mean = b.binary("fdiv", b.load("double", b.gep("double", total, loop.index)), weight)
                narrow = self.scalars(b, "f64").cast(mean, buffer.type.dtype.name)
                b.store(narrow, b.gep(element, array, loop.index))

    def scalars(self, b: Builder, dtype: str) -> Lanes:
        """Arithmetic on single numbers of a dtype."""
        return Lanes(b, dtype, 1, self.entry.library.target)

    def pair(
        self, b: Builder, sizes: Sizes, workspace: Value, buffer: Buffer, place: Value
    ) -> tuple[Value, Value, str]:
        """A batch's result, the sum over batches, and the result's element type."""
        value = b.gep("i8", workspace, place)
        total = b.gep("i8", value, sizes(align_up(prod(buffer.type.shape) * 8, ALIGN)))
        return value, total, MEMORY[buffer.type.dtype.name]

