"""Reading Python's objects and C structures from emitted code, and calling CPython through a table of addresses."""

from __future__ import annotations

import ctypes

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.runtime import fast

NULL = Value("ptr", "null")


class ObjectBuilder:
    """A function under construction that works on Python's objects; its way out in trouble is the block `slow`."""

    descriptor: Value

    def __init__(self, builder: Builder):
        self.b = builder

    def find_descriptor(self, entry: Value) -> None:
        """The first slot of a bound entry holds bytes, which are the descriptor's address."""
        slot = self.b.load("ptr", self.at(entry, fast.FIRST_SLOT))
        self.descriptor = self.b.load("ptr", self.at(slot, fast.BYTES_DATA))

    def stack(self, words: int) -> Value:
        """Stack memory of so many 64-bit words."""
        return self.b.emit("ptr", f"alloca [{words} x i64], align 8")

    def at(self, pointer: Value, offset: int) -> Value:
        """The address some bytes further."""
        return self.b.gep("i8", pointer, self.b.i64(offset))

    def pointer(self, word: Value) -> Value:
        """A 64-bit word as an address."""
        return self.b.cast("inttoptr", word, "ptr")

    def word(self, pointer: Value) -> Value:
        """An address as a 64-bit word."""
        return self.b.cast("ptrtoint", pointer, "i64")

    def field(self, pointer: Value, structure: type[ctypes.Structure], name: str) -> Value:
        """A field of a structure."""
        return self.b.load("i64", self.at(pointer, getattr(structure, name).offset))

    def of(self, name: str) -> Value:
        """A field of the descriptor."""
        return self.field(self.descriptor, fast.Descriptor, name)

    def element(self, array: Value, index: Value) -> Value:
        """The address of an element of an array of words."""
        return self.b.gep("i64", array, index)

    def item(self, array: Value, structure: type[ctypes.Structure], index: Value) -> Value:
        """The address of an element of an array of structures."""
        return self.b.gep("i8", array, self.b.mul(index, self.b.i64(ctypes.sizeof(structure))))

    def table(self, name: str) -> Value:
        """An entry of the table of functions and objects."""
        table = self.pointer(self.of("table"))
        return self.b.load("ptr", self.element(table, self.b.i64(fast.TABLE.index(name))))

    def call(self, name: str, returns: str, *arguments: Value) -> Value:
        """Call a function of the table."""
        text = f"call {returns} {self.table(name).name}({', '.join(map(str, arguments))})"
        if returns == "void":
            self.b.line(text)
            return Value("void", "")
        return self.b.emit(returns, text)

    def unless(self, condition: Value, target: str) -> None:
        """Go on where the condition holds, to the target where it does not."""
        following = self.b.fresh("so")
        self.b.branch_if(condition, following, target)
        self.b.label(following)

    def same(self, x: Value, y: Value) -> Value:
        """x = y."""
        return self.b.icmp("eq", x, y)

    def load_type(self, type_: str, obj: Value, offset: int) -> Value:
        """A narrow field of an object, widened."""
        return self.b.cast("zext", self.b.load(type_, self.at(obj, offset)), "i64")
