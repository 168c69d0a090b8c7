"""LLVM IR as text: a module of functions, each written by a `Builder` one typed value at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from graphc.codegen.llvm_types import (
    Value,
    element_type,
    float_text,
    lane_count,
    natural_alignment,
    suffix,
    vector_type,
)

#: How LLVM writes each byte of a string.
CHARACTERS = tuple(chr(c) if 32 <= c < 127 and c not in (34, 92) else f"\\{c:02X}" for c in range(256))


@dataclass
class Module:
    """Functions, declarations and read-only data of one object file."""

    triple: str
    features: str = ""
    functions: list[Builder] = field(default_factory=list)
    declarations: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def declare(self, name: str, returns: str, arguments: Sequence[str]) -> None:
        """Declare an outside function (an intrinsic) once."""
        self.declarations.setdefault(name, f"declare {returns} @{name}({', '.join(arguments)})")

    def constant_bytes(self, name: str, content: bytes, align: int = 64, linkage: str = "internal") -> Value:
        """A read-only data segment; returns its address."""
        if name not in self.data:
            text = "".join([CHARACTERS[c] for c in content])
            self.data[name] = f'@{name} = {linkage} constant [{len(content)} x i8] c"{text}", align {align}'
        return Value("ptr", f"@{name}")

    def text(self) -> str:
        """The whole module, ready for LLVM's parser."""
        parts = [f'target triple = "{self.triple}"', *self.data.values(), *self.declarations.values()]
        parts += [f.text() for f in self.functions]
        return "\n".join(parts) + "\n"


class Loop:
    """A counted loop being written: its index, the values it carries round, and, once it has ended, what came out.

    The body sets `next`, the values for the following round; `results` are set when the loop is closed.
    """

    results: list[Value]

    def __init__(self, index: Value, carried: Sequence[Value]):
        self.index, self.carried, self.next = index, list(carried), list(carried)


class Builder:
    """One function under construction. Every method appends an instruction and returns its value.

    Integer arithmetic on literals folds at once, and a block computes nothing twice, so that address computations stay
    short.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[tuple[str, str]],
        returns: str = "void",
        linkage: str = "internal",
        attributes: str = "nounwind",
        features: str | None = None,
    ):
        """`parameters` are (type with attributes, name) pairs: `("ptr noalias", "a")`.

        `features` restricts the function to other CPU features than the module's.
        """
        self.module, self.name, self.returns = module, name, returns
        self.linkage, self.attributes = linkage, attributes
        self.features = module.features if features is None else features
        self._parameters = tuple(parameters)
        self._lines: list[str] = []
        self._counter = 0
        self._block = "entry"
        self._known: dict[str, Value] = {}
        self.arguments = tuple(Value(t.split(" ", 1)[0], f"%{n}") for t, n in parameters)
        module.functions.append(self)

    def text(self) -> str:
        """The finished function."""
        parameters = ", ".join(f"{t} %{n}" for t, n in self._parameters)
        features = f' "target-features"="{self.features}"' if self.features else ""
        linkage = f"{self.linkage} " if self.linkage else ""
        head = f"define {linkage}{self.returns} @{self.name}({parameters}) {self.attributes}{features} {{"
        return "\n".join([head, "entry:", *self._lines, "}"])

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def fresh(self, hint: str = "v") -> str:
        """A name nobody has in this function."""
        self._counter += 1
        return f"{hint}{self._counter}"

    def emit(self, type_: str, text: str) -> Value:
        """Append `%fresh = text`."""
        self._counter += 1
        name = f"%v{self._counter}"
        self._lines.append(f"  {name} = {text}")
        return Value(type_, name)

    def compute(self, type_: str, text: str) -> Value:
        """The result of an instruction that depends on its operands only: in a block, one for the same text."""
        if text not in self._known:
            self._known[text] = self.emit(type_, text)
        return self._known[text]

    def line(self, text: str) -> None:
        """Append an instruction without a result."""
        self._lines.append(f"  {text}")

    def intrinsic(self, name: str, returns: str, *arguments: Value) -> Value:
        """Call an LLVM intrinsic by its full name."""
        self.module.declare(name, returns, [a.type for a in arguments])
        text = f"call {returns} @{name}({', '.join(map(str, arguments))})"
        if returns == "void":
            self.line(text)
            return Value("void", "")
        return self.emit(returns, text)

    def call(self, name: str, returns: str, *arguments: Value) -> Value:
        """Call a function of this module."""
        text = f"call {returns} @{name}({', '.join(map(str, arguments))})"
        if returns == "void":
            self.line(text)
            return Value("void", "")
        return self.emit(returns, text)

    def ret(self, value: Value | None = None) -> None:
        """Return from the function."""
        self.line("ret void" if value is None else f"ret {value}")

    # -- literals ---------------------------------------------------------------------------------------------------

    @staticmethod
    def i64(value: int) -> Value:
        """A 64-bit integer literal."""
        return Value("i64", str(value))

    @staticmethod
    def constant(type_: str, value: float | int | bool) -> Value:
        """A literal of any scalar or vector type, splatted over its lanes."""
        element = element_type(type_)
        if element in ("float", "double"):
            text = float_text(element, float(value))
        else:
            text = ("true" if value else "false") if element == "i1" else str(int(value))
        return Value(type_, text if lane_count(type_) == 1 else f"splat ({element} {text})")

    @staticmethod
    def iota(element: str, lanes: int) -> Value:
        """<0, 1, 2, …> of an integer element type."""
        return Value(vector_type(element, lanes), "<" + ", ".join(f"{element} {i}" for i in range(lanes)) + ">")

    # -- arithmetic -------------------------------------------------------------------------------------------------

    def binary(self, opcode: str, x: Value, y: Value) -> Value:
        """`opcode x, y`, both of x's type: `fadd`, `shl`, `add nuw nsw` …"""
        return self.compute(x.type, f"{opcode} {x}, {y.name}")

    def add(self, x: Value, y: Value) -> Value:
        """Index addition, folded when both are literals."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(a + b))
        if a == 0:
            return y
        return x if b == 0 else self.binary("add nsw", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        """Index subtraction."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(a - b))
        return x if b == 0 else self.binary("sub nsw", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        """Index multiplication."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(a * b))
        if a == 0 or b == 0:
            return Value(x.type, "0")
        if a == 1:
            return y
        return x if b == 1 else self.binary("mul nsw", x, y)

    def udiv(self, x: Value, y: Value) -> Value:
        """Division of non-negative indices, y > 0."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(a // b))
        return x if b == 1 else self.binary("udiv", x, y)

    def urem(self, x: Value, y: Value) -> Value:
        """Remainder of non-negative indices, y > 0."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(a % b))
        return Value(x.type, "0") if b == 1 else self.binary("urem", x, y)

    def minimum(self, x: Value, y: Value) -> Value:
        """The smaller of two signed indices."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(min(a, b)))
        return self.intrinsic(f"llvm.smin.{suffix(x.type)}", x.type, x, y)

    def maximum(self, x: Value, y: Value) -> Value:
        """The larger of two signed indices."""
        a, b = x.literal, y.literal
        if a is not None and b is not None:
            return Value(x.type, str(max(a, b)))
        return self.intrinsic(f"llvm.smax.{suffix(x.type)}", x.type, x, y)

    def icmp(self, predicate: str, x: Value, y: Value) -> Value:
        """Integer comparison: `slt`, `eq`, `ult` …"""
        return self.compute(vector_type("i1", lane_count(x.type)), f"icmp {predicate} {x}, {y.name}")

    def fcmp(self, predicate: str, x: Value, y: Value) -> Value:
        """Float comparison: `olt`, `oeq`, `uno` …"""
        return self.compute(vector_type("i1", lane_count(x.type)), f"fcmp {predicate} {x}, {y.name}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """Lane by lane, x where the condition holds and y elsewhere."""
        return self.compute(x.type, f"select {condition}, {x}, {y}")

    def cast(self, opcode: str, x: Value, type_: str) -> Value:
        """A conversion instruction: `sitofp`, `zext`, `bitcast` …"""
        return x if x.type == type_ else self.compute(type_, f"{opcode} {x} to {type_}")

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x·y + z, rounded once."""
        return self.intrinsic(f"llvm.fma.{suffix(x.type)}", x.type, x, y, z)

    # -- vectors ----------------------------------------------------------------------------------------------------

    def splat(self, x: Value, lanes: int) -> Value:
        """The scalar in every lane."""
        if lanes == 1:
            return x
        type_ = vector_type(x.type, lanes)
        if x.name[0] not in "%@":
            return Value(type_, f"splat ({x})")
        first = self.compute(type_, f"insertelement {type_} poison, {x}, i64 0")
        return self.shuffle(first, first, [0] * lanes)

    def shuffle(self, x: Value, y: Value, lanes: Sequence[int]) -> Value:
        """Lanes of x (0 …) and y (after x's), in the order given; −1 is any."""
        mask = ", ".join("i32 poison" if i < 0 else f"i32 {i}" for i in lanes)
        type_ = vector_type(element_type(x.type), len(lanes))
        return self.compute(type_, f"shufflevector {x}, {y}, <{len(lanes)} x i32> <{mask}>")

    def extract(self, x: Value, lane: Value | int) -> Value:
        """One lane."""
        index = self.i64(lane) if isinstance(lane, int) else lane
        return x if lane_count(x.type) == 1 else self.compute(element_type(x.type), f"extractelement {x}, {index}")

    def insert(self, x: Value, scalar: Value, lane: int) -> Value:
        """x with one lane replaced."""
        return self.compute(x.type, f"insertelement {x}, {scalar}, i64 {lane}")

    def lane_mask(self, count: Value, lanes: int) -> Value:
        """True in the first `count` (i64) lanes."""
        if count.literal is not None:
            bits = ", ".join(f"i1 {'true' if i < count.literal else 'false'}" for i in range(lanes))
            return Value(vector_type("i1", lanes), f"<{bits}>")
        narrow = self.compute("i32", f"trunc {count} to i32")
        return self.icmp("ult", self.iota("i32", lanes), self.splat(narrow, lanes))

    # -- memory -----------------------------------------------------------------------------------------------------

    def gep(self, element: str, pointer: Value, index: Value) -> Value:
        """The address of pointer[index] for elements of the given type."""
        if index.literal == 0:
            return pointer
        return self.compute("ptr", f"getelementptr inbounds {element}, {pointer}, {index}")

    def load(self, type_: str, pointer: Value, align: int | None = None) -> Value:
        """Load a scalar or a vector; by default aligned as its element only."""
        return self.emit(type_, f"load {type_}, {pointer}, align {align or natural_alignment(type_)}")

    def store(self, value: Value, pointer: Value, align: int | None = None) -> None:
        """Store a scalar or a vector; by default aligned as its element only."""
        self.line(f"store {value}, {pointer}, align {align or natural_alignment(value.type)}")

    def masked_load(self, type_: str, pointer: Value, mask: Value, other: Value | None = None) -> Value:
        """Load the lanes the mask holds, the others from `other` (default zero); dead lanes are not touched."""
        fill = other or Value(type_, "zeroinitializer")
        name = f"llvm.masked.load.{suffix(type_)}.p0"
        self.module.declare(name, type_, ["ptr", "i32 immarg", mask.type, type_])
        align = natural_alignment(type_)
        return self.emit(type_, f"call {type_} @{name}({pointer}, i32 {align}, {mask}, {fill})")

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        """Store the lanes the mask holds.

        One known lane is stored as a scalar: of a truncated vector, LLVM 22 would write 32 bits there (AVX-512).
        """
        live = ["true" in lane for lane in mask.name.split(",")]
        if sum(live) == 1:
            lane = live.index(True)
            self.store(self.extract(value, lane), self.gep(element_type(value.type), pointer, self.i64(lane)))
            return
        name = f"llvm.masked.store.{suffix(value.type)}.p0"
        self.module.declare(name, "void", [value.type, "ptr", "i32 immarg", mask.type])
        self.line(f"call void @{name}({value}, {pointer}, i32 {natural_alignment(value.type)}, {mask})")

    # -- control ----------------------------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        """Start a block; the block before it must have ended."""
        self._lines.append(f"{name}:")
        self._block = name
        self._known = {}

    @property
    def block(self) -> str:
        """The label of the block being written (for phis)."""
        return self._block

    def branch(self, target: str) -> None:
        """Jump."""
        self.line(f"br label %{target}")

    def branch_if(self, condition: Value, then: str, otherwise: str) -> None:
        """Jump to one of two blocks."""
        self.line(f"br {condition}, label %{then}, label %{otherwise}")

    def phi(self, type_: str, incoming: Sequence[tuple[Value, str]]) -> Value:
        """The value that came with the block we came from."""
        pairs = ", ".join(f"[ {v.name}, %{label} ]" for v, label in incoming)
        return self.emit(type_, f"phi {type_} {pairs}")

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run the body only where the i1 condition holds."""
        then, end = self.fresh("then"), self.fresh("end")
        self.branch_if(condition, then, end)
        self.label(then)
        yield
        self.branch(end)
        self.label(end)

    @contextmanager
    def loop(
        self, start: Value, stop: Value, step: int | Value = 1, carried: Sequence[Value] = (), nonempty: bool = False
    ) -> Iterator[Loop]:
        """`for index in range(start, stop, step)`, carrying values round.

        The body sets `loop.next`; after the block `loop.results` holds what was carried out. `nonempty` says that
        start < stop is known, and saves the first test.
        """
        head, body, end = self.fresh("head"), self.fresh("loop"), self.fresh("done")
        a, b = start.literal, stop.literal
        known = nonempty or (a is not None and b is not None and a < b)
        before = self._block
        if known:
            self.branch(body)
        else:
            self.branch_if(self.icmp("slt", start, stop), body, end)
            before = self._block
        self.label(body)
        mark = len(self._lines)
        index = Value("i64", f"%{head}.i")
        phis = [Value(v.type, f"%{head}.c{i}") for i, v in enumerate(carried)]
        loop = Loop(index, phis)
        yield loop
        following = self.emit("i64", f"add nsw {index}, {step if isinstance(step, int) else step.name}")
        latch = self._block
        heads = [f"  {index.name} = phi i64 [ {start.name}, %{before} ], [ {following.name}, %{latch} ]"]
        heads += [
            f"  {p.name} = phi {p.type} [ {v.name}, %{before} ], [ {n.name}, %{latch} ]"
            for p, v, n in zip(phis, carried, loop.next, strict=True)
        ]
        self._lines[mark:mark] = heads
        self.branch_if(self.icmp("slt", following, stop), body, end)
        self.label(end)
        loop.results = list(loop.next)
        if not known:
            pairs = zip(carried, loop.next, strict=True)
            loop.results = [self.phi(n.type, [(v, before), (n, latch)]) for v, n in pairs]
