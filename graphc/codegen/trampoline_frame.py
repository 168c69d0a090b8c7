"""What a call through the trampoline holds: its memory on the stack, and the arrays that it was given, checked."""

from __future__ import annotations

from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.codegen.python_objects import ObjectBuilder
from graphc.runtime import fast

#: Arguments of an entry's C function, at most.
MAX_WORDS = 3 + fast.MAX_SYMBOLS + 2 * fast.MAX_VALUES


class CallFrame(ObjectBuilder):
    """`graphc_call` with its arguments, its stack memory and what the descriptor says.

    Where an array can't be used, its checks go on at a block of the subclass's.
    """

    def __init__(self, module: Module):
        parameters = [("ptr", "self"), ("ptr", "args"), ("i64", "nargs"), ("ptr", "kwnames")]
        super().__init__(Builder(module, "graphc_call", parameters, "ptr", linkage=""))
        b = self.b
        self.self_, self.args, self.nargs, self.kwnames = b.arguments
        self.words = self.stack(MAX_WORDS)
        self.symbols = self.stack(fast.MAX_SYMBOLS)
        self.ends = self.stack(2 * fast.MAX_VALUES)
        self.scratch = self.stack(fast.MAX_VALUES)
        self.objects = self.stack(fast.MAX_VALUES)
        self.axes = self.stack(fast.MAX_RANK)
        self.named = self.stack(fast.MAX_VALUES)
        self.find_descriptor(self.self_)
        self.n_inputs, self.n_outputs = self.of("n_inputs"), self.of("n_outputs")
        self.n_symbols, self.kind = self.of("n_symbols"), self.of("kind")
        self.cell = self.pointer(self.of("cell"))
        self.first_input = b.add(b.i64(3), self.n_symbols)
        self.first_output = b.add(self.first_input, self.n_inputs)

    def clear(self) -> None:
        """No symbol has a value, no result exists, nothing is to be released."""
        b = self.b
        for array, count, start in ((self.symbols, fast.MAX_SYMBOLS, -1), (self.objects, fast.MAX_VALUES, 0)):
            for i in range(count):
                b.store(b.i64(start), self.element(array, b.i64(i)))

    def check_array(self, obj: Value, value: Value, flags: int, target: str) -> Value:
        """The object is an array of the value's type and rank that can be used as it is; returns its data."""
        b = self.b
        self.unless(self.same(b.load("ptr", self.at(obj, fast.OBJECT_TYPE)), self.table("ndarray")), target)
        rank = self.load_type("i32", obj, fast.ARRAY_RANK)
        self.unless(self.same(rank, self.field(value, fast.Value, "rank")), target)
        has = b.binary("and", self.load_type("i32", obj, fast.ARRAY_FLAGS), b.i64(flags))
        self.unless(self.same(has, b.i64(flags)), target)
        descr = b.load("ptr", self.at(obj, fast.ARRAY_DESCR))
        number = self.load_type("i32", descr, fast.DESCR_TYPE_NUM)
        first = self.same(number, self.field(value, fast.Value, "type_num"))
        second = self.same(number, self.field(value, fast.Value, "twin"))
        self.unless(b.binary("or", first, second), target)
        order = self.load_type("i8", descr, fast.DESCR_BYTEORDER)
        self.unless(b.icmp("ne", order, b.i64(ord(">"))), target)
        return b.load("i64", self.at(obj, fast.ARRAY_DATA))

    def keep_place(self, word: Value, place: Value, data: Value, size: Value, target: str) -> None:
        """Remember where an array lies; it does not touch the state."""
        b = self.b
        end = b.add(data, size)
        before = b.icmp("ule", end, self.field(self.cell, fast.Cell, "state"))
        after = b.icmp("uge", data, self.field(self.cell, fast.Cell, "state_end"))
        self.unless(b.binary("or", before, after), target)
        b.store(data, self.element(self.words, word))
        b.store(end, self.element(self.ends, place))
