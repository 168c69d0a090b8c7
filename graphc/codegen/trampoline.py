"""The trampoline: `__call__` of every bound entry as machine code, generic over entries.

`graphc_call(self, args, nargs, kwnames)` follows CPython's METH_FASTCALL | METH_KEYWORDS. The first slot of `self`
holds the address of a `Descriptor` (graphc/runtime/fast.py). The call runs here if every argument is a NumPy array that
can be used as it is; otherwise, before anything has changed, it is handed to the method `_call`.

The GIL is held throughout. Between the check that no thread writes the state and the end of the entry's code nothing
calls into Python, so that no other thread can come in between.
"""

from __future__ import annotations

from graphc.codegen.link import link_shared
from graphc.codegen.llvm import Module
from graphc.codegen.llvm_types import Value
from graphc.codegen.object import emit_object
from graphc.codegen.python_objects import NULL
from graphc.codegen.trampoline_frame import MAX_WORDS, CallFrame
from graphc.runtime import fast
from graphc.runtime.targets import Target, native

FLAGS_IN = fast.C_CONTIGUOUS | fast.ALIGNED
FLAGS_OUT = FLAGS_IN | fast.WRITEABLE


def trampoline_object() -> bytes:
    """The shared object that exports `graphc_call`, for any CPU of this machine's architecture: it has no vectors."""
    host = native()
    target = Target("baseline", host.triple, (), 16, 16, False)
    return link_shared(emit_object(trampoline_text(target), target), ["graphc_call"], "")


def trampoline_text(target: Target) -> str:
    """The LLVM module of the trampoline."""
    module = Module(target.triple, target.feature_text)
    Trampoline(module)
    return module.text()


class Trampoline(CallFrame):
    """The function under construction, its blocks in order."""

    def __init__(self, module: Module):
        super().__init__(module)
        self.clear()
        self.arguments, self.given = self.bind()
        self.read_inputs()
        self.pass_symbols()
        self.make_outputs()
        self.enter()
        self.give_back()
        self.hand_over()

    # -- arguments --------------------------------------------------------------------------------------------------

    def bind(self) -> tuple[Value, Value]:
        """Every argument is there, by position or name; returns them in order, and the value of `out` or null."""
        b = self.b
        positions, keywords, bound = b.fresh("positions"), b.fresh("keywords"), b.fresh("bound")
        b.branch_if(self.same(self.kwnames, NULL), positions, keywords)
        b.label(positions)
        b.branch_if(self.same(self.nargs, self.n_inputs), bound, "slow")
        b.label(keywords)
        out = self.bind_keywords()
        with b.when(b.icmp("ne", out, NULL)):
            self.check_out_structure(out)
        after = b.block
        b.branch(bound)
        b.label(bound)
        arguments = b.phi("ptr", [(self.args, positions), (self.named, after)])
        return arguments, b.phi("ptr", [(NULL, positions), (out, after)])

    def bind_keywords(self) -> Value:
        """Positional and named arguments into `named`; returns the value of `out` or null."""
        b = self.b
        self.unless(b.icmp("sle", self.nargs, self.n_inputs), "slow")
        with b.loop(b.i64(0), self.n_inputs) as loop:
            b.store(NULL, self.element(self.named, loop.index))
        with b.loop(b.i64(0), self.nargs) as loop:
            b.store(b.load("ptr", self.element(self.args, loop.index)), self.element(self.named, loop.index))
        with b.loop(b.i64(0), self.call("PyTuple_Size", "i64", self.kwnames), carried=[NULL]) as loop:
            name = self.call("PyTuple_GetItem", "ptr", self.kwnames, loop.index)
            value = b.load("ptr", self.element(self.args, b.add(self.nargs, loop.index)))
            here, given, following = b.fresh("argument"), b.fresh("out"), b.fresh("following")
            b.branch_if(self.same(name, self.table("name of out")), given, here)
            b.label(here)
            place = self.element(self.named, self.number_of(name))
            self.unless(self.same(b.load("ptr", place), NULL), "slow")
            b.store(value, place)
            last = b.block
            b.branch(following)
            b.label(given)
            b.branch(following)
            b.label(following)
            loop.next = [b.phi("ptr", [(loop.carried[0], last), (value, given)])]
        out = loop.results[0]
        with b.loop(b.i64(0), self.n_inputs) as loop:
            self.unless(b.icmp("ne", b.load("ptr", self.element(self.named, loop.index)), NULL), "slow")
        return out

    def number_of(self, name: Value) -> Value:
        """Which argument a keyword names (both are interned strings)."""
        b = self.b
        names = self.pointer(self.of("names"))
        with b.loop(b.i64(0), self.n_inputs, carried=[b.i64(-1)]) as loop:
            here = self.same(b.load("ptr", self.element(names, loop.index)), name)
            loop.next = [b.select(here, loop.index, loop.carried[0])]
        self.unless(b.icmp("sge", loop.results[0], b.i64(0)), "slow")
        return loop.results[0]

    def check_out_structure(self, out: Value) -> None:
        """`out` is for a leaf, or a dict of as many items as there are results."""
        b = self.b
        leaf, dict_, good = b.fresh("leaf"), b.fresh("dict"), b.fresh("good")
        b.branch_if(self.same(self.kind, b.i64(fast.LEAF)), good, leaf)
        b.label(leaf)
        self.unless(self.same(self.kind, b.i64(fast.DICT)), "slow")
        type_ = b.load("ptr", self.at(out, fast.OBJECT_TYPE))
        b.branch_if(self.same(type_, self.table("dict")), dict_, "slow")
        b.label(dict_)
        self.unless(self.same(self.call("PyDict_Size", "i64", out), self.n_outputs), "slow")
        b.branch(good)
        b.label(good)

    def read_inputs(self) -> None:
        """Every argument's data and end; the symbols from the axes; the call is known to be short."""
        b = self.b
        inputs = self.pointer(self.of("inputs"))
        with b.loop(b.i64(0), self.n_inputs, carried=[b.i64(0)]) as loop:
            obj = b.load("ptr", self.element(self.arguments, loop.index))
            value = self.item(inputs, fast.Value, loop.index)
            data = self.check_array(obj, value, FLAGS_IN, "slow")
            elements = self.read_axes(obj, value)
            size = b.mul(elements, self.field(value, fast.Value, "itemsize"))
            self.keep_place(b.add(self.first_input, loop.index), loop.index, data, size, "slow")
            loop.next = [b.add(loop.carried[0], elements)]
        self.unless(b.icmp("slt", loop.results[0], self.of("limit")), "slow")

    def read_axes(self, obj: Value, value: Value) -> Value:
        """Constant axes are right, symbols agree; returns the number of elements."""
        b = self.b
        axes = self.pointer(self.field(value, fast.Value, "axes"))
        dims = b.load("ptr", self.at(obj, fast.ARRAY_DIMS))
        with b.loop(b.i64(0), self.field(value, fast.Value, "rank"), carried=[b.i64(1)]) as loop:
            axis, size = self.item(axes, fast.Axis, loop.index), b.load("i64", self.element(dims, loop.index))
            symbol = self.field(axis, fast.Axis, "symbol")
            constant, named, done = b.fresh("constant"), b.fresh("named"), b.fresh("axis")
            b.branch_if(b.icmp("slt", symbol, b.i64(0)), constant, named)
            b.label(constant)
            b.branch_if(self.same(size, self.field(axis, fast.Axis, "size")), done, "slow")
            b.label(named)
            place = self.element(self.symbols, symbol)
            known = b.load("i64", place)
            b.store(size, place)
            fits = b.binary("or", self.same(known, b.i64(-1)), self.same(known, size))
            b.branch_if(fits, done, "slow")
            b.label(done)
            loop.next = [b.mul(loop.carried[0], size)]
        return loop.results[0]

    def pass_symbols(self) -> None:
        """Every symbol has a value; they become arguments (the entry itself checks their ranges)."""
        b = self.b
        with b.loop(b.i64(0), self.n_symbols) as loop:
            value = b.load("i64", self.element(self.symbols, loop.index))
            self.unless(b.icmp("sge", value, b.i64(0)), "slow")
            b.store(value, self.element(self.words, b.add(b.i64(3), loop.index)))

    # -- results ----------------------------------------------------------------------------------------------------

    def make_outputs(self) -> None:
        """Somewhere to write every result: the caller's array, a word on the stack for rank 0, a new array."""
        b = self.b
        outputs, has_out = self.pointer(self.of("outputs")), b.icmp("ne", self.given, NULL)
        with b.loop(b.i64(0), self.n_outputs) as loop:
            value = self.item(outputs, fast.Value, loop.index)
            rank, word = self.field(value, fast.Value, "rank"), b.add(self.first_output, loop.index)
            size = self.write_axes(value, rank)
            given, own, scalar, array, done = (b.fresh(n) for n in ("given", "own", "scalar", "array", "output"))
            b.branch_if(has_out, given, own)
            b.label(given)
            self.use_given(loop.index, value, word, size)
            b.branch(done)
            b.label(own)
            b.branch_if(self.same(rank, b.i64(0)), scalar, array)
            b.label(scalar)
            b.store(self.word(self.element(self.scratch, loop.index)), self.element(self.words, word))
            b.branch(done)
            b.label(array)
            descr = self.pointer(self.field(value, fast.Value, "descr"))
            self.call("Py_IncRef", "void", descr)
            narrow = b.cast("trunc", rank, "i32")
            made = self.call("PyArray_Empty", "ptr", narrow, self.axes, descr, Value("i32", "0"))
            self.unless(b.icmp("ne", made, NULL), "fail")
            b.store(made, self.element(self.objects, loop.index))
            b.store(b.load("i64", self.at(made, fast.ARRAY_DATA)), self.element(self.words, word))
            b.branch(done)
            b.label(done)

    def write_axes(self, value: Value, rank: Value) -> Value:
        """A result's shape into `axes`; returns its size in bytes."""
        b = self.b
        axes = self.pointer(self.field(value, fast.Value, "axes"))
        with b.loop(b.i64(0), rank, carried=[self.field(value, fast.Value, "itemsize")]) as loop:
            axis = self.item(axes, fast.Axis, loop.index)
            symbol = self.field(axis, fast.Axis, "symbol")
            constant = b.icmp("slt", symbol, b.i64(0))
            at_symbol = self.element(self.symbols, b.maximum(symbol, b.i64(0)))
            source = b.select(constant, self.at(axis, fast.Axis.size.offset), at_symbol)
            size = b.load("i64", source)
            b.store(size, self.element(self.axes, loop.index))
            loop.next = [b.mul(loop.carried[0], size)]
        return loop.results[0]

    def use_given(self, index: Value, value: Value, word: Value, size: Value) -> None:
        """The caller's array is what the code writes, and lies apart from all other arrays."""
        b = self.b
        obj = self.given_leaf(index)
        data = self.check_array(obj, value, FLAGS_OUT, "undo")
        dims = b.load("ptr", self.at(obj, fast.ARRAY_DIMS))
        with b.loop(b.i64(0), self.field(value, fast.Value, "rank")) as loop:
            wanted = b.load("i64", self.element(self.axes, loop.index))
            self.unless(self.same(b.load("i64", self.element(dims, loop.index)), wanted), "undo")
        place = b.add(self.n_inputs, index)
        self.keep_place(word, place, data, size, "undo")
        end = b.load("i64", self.element(self.ends, place))
        with b.loop(b.i64(0), place) as loop:
            other = b.load("i64", self.element(self.words, b.add(self.first_input, loop.index)))
            before = b.icmp("ule", end, other)
            after = b.icmp("uge", data, b.load("i64", self.element(self.ends, loop.index)))
            self.unless(b.binary("or", before, after), "undo")
        self.call("Py_IncRef", "void", obj)
        b.store(obj, self.element(self.objects, index))

    def given_leaf(self, index: Value) -> Value:
        """The caller's array for a result (borrowed)."""
        b = self.b
        item, leaf = b.fresh("item"), b.fresh("whole")
        before = b.block
        b.branch_if(self.same(self.kind, b.i64(fast.LEAF)), leaf, item)
        b.label(item)
        order = self.pointer(self.of("order"))
        with b.loop(b.i64(0), self.n_outputs, carried=[NULL]) as loop:
            here = self.same(b.load("i64", self.element(order, loop.index)), index)
            key = b.load("ptr", self.element(self.pointer(self.of("keys")), loop.index))
            loop.next = [b.select(here, key, loop.carried[0])]
        found = self.call("PyDict_GetItem", "ptr", self.given, loop.results[0])
        self.unless(b.icmp("ne", found, NULL), "undo")
        after = b.block
        b.branch(leaf)
        b.label(leaf)
        return b.phi("ptr", [(self.given, before), (found, after)])

    # -- the call ---------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """No writer is at work: run the entry's code, which refuses, and changes nothing, where a size is wrong.

        Addresses and integers are passed alike, so one call for each number of arguments serves every entry.
        """
        b, cell = self.b, self.cell
        self.unless(self.same(self.field(cell, fast.Cell, "busy"), b.i64(0)), "undo")
        for i, name in enumerate(("state", "workspace", "workspace_bytes")):
            b.store(self.field(cell, fast.Cell, name), self.element(self.words, b.i64(i)))
        function, end = self.pointer(self.of("function")), b.fresh("returned")
        labels = {count: b.fresh("with") for count in range(3, MAX_WORDS + 1)}
        cases = " ".join(f"i64 {count}, label %{label}" for count, label in labels.items())
        b.line(f"switch {self.of('n_words')}, label %undo [{cases}]")
        results = []
        for count, label in labels.items():
            b.label(label)
            words = [b.load("i64", self.element(self.words, b.i64(i))) for i in range(count)]
            results.append((b.emit("i32", f"call i32 {function.name}({', '.join(map(str, words))})"), label))
            b.branch(end)
        b.label(end)
        self.unless(self.same(b.phi("i32", results), Value("i32", "0")), "undo")

    def give_back(self) -> None:
        """Scalars become NumPy's; the results take their structure."""
        b = self.b
        outputs = self.pointer(self.of("outputs"))
        with b.loop(b.i64(0), self.n_outputs) as loop:
            place = self.element(self.objects, loop.index)
            missing, there = b.fresh("scalar"), b.fresh("there")
            b.branch_if(self.same(b.load("ptr", place), NULL), missing, there)
            b.label(missing)
            descr = self.pointer(self.field(self.item(outputs, fast.Value, loop.index), fast.Value, "descr"))
            made = self.call("PyArray_Scalar", "ptr", self.element(self.scratch, loop.index), descr, NULL)
            b.store(made, place)
            b.branch_if(self.same(made, NULL), "fail", there)
            b.label(there)
        leaf, tuple_, list_, dict_, nested = (b.fresh(n) for n in ("leaf", "tuple", "list", "dict", "nested"))
        kinds = ((fast.TUPLE, tuple_), (fast.LIST, list_), (fast.DICT, dict_), (fast.NESTED, nested))
        b.line(f"switch {self.kind}, label %{leaf} [{' '.join(f'i64 {k}, label %{n}' for k, n in kinds)}]")
        b.label(leaf)
        b.ret(b.load("ptr", self.objects))
        b.label(tuple_)
        b.ret(self.sequence("PyTuple"))
        b.label(list_)
        b.ret(self.sequence("PyList"))
        b.label(dict_)
        self.mapping()
        b.label(nested)
        leaves = self.sequence("PyTuple")
        b.store(leaves, self.scratch)
        made = self.call("PyObject_Vectorcall", "ptr", self.pointer(self.of("keys")), self.scratch, b.i64(1), NULL)
        self.call("Py_DecRef", "void", leaves)
        b.ret(made)

    def ordered(self, index: Value) -> Value:
        """The result that stands at a place of the structure."""
        order = self.pointer(self.of("order"))
        return self.b.load("ptr", self.element(self.objects, self.b.load("i64", self.element(order, index))))

    def sequence(self, kind: str) -> Value:
        """A tuple or a list of the results; it takes over our references."""
        b = self.b
        made = self.call(f"{kind}_New", "ptr", self.n_outputs)
        self.unless(b.icmp("ne", made, NULL), "fail")
        with b.loop(b.i64(0), self.n_outputs) as loop:
            self.call(f"{kind}_SetItem", "i32", made, loop.index, self.ordered(loop.index))
        return made

    def mapping(self) -> None:
        """Return a dict of the results; it has references of its own."""
        b = self.b
        made = self.call("PyDict_New", "ptr")
        self.unless(b.icmp("ne", made, NULL), "fail")
        keys = self.pointer(self.of("keys"))
        with b.loop(b.i64(0), self.n_outputs, carried=[Value("i32", "0")]) as loop:
            key = b.load("ptr", self.element(keys, loop.index))
            status = self.call("PyDict_SetItem", "i32", made, key, self.ordered(loop.index))
            loop.next = [b.binary("or", loop.carried[0], status)]
        self.release()
        good, bad = b.fresh("good"), b.fresh("bad")
        b.branch_if(self.same(loop.results[0], Value("i32", "0")), good, bad)
        b.label(bad)
        self.call("Py_DecRef", "void", made)
        b.ret(NULL)
        b.label(good)
        b.ret(made)

    def release(self) -> None:
        """Drop our references to the results (Py_DecRef takes null)."""
        with self.b.loop(self.b.i64(0), self.n_outputs) as loop:
            self.call("Py_DecRef", "void", self.b.load("ptr", self.element(self.objects, loop.index)))

    def hand_over(self) -> None:
        """The ways out: an exception is set; nothing has changed and `_call` does it all."""
        b = self.b
        b.label("fail")
        self.release()
        b.ret(NULL)
        b.label("undo")
        self.release()
        b.branch("slow")
        b.label("slow")
        method = self.call("PyObject_GetAttr", "ptr", self.self_, self.table("name of _call"))
        found, missing = b.fresh("found"), b.fresh("missing")
        b.branch_if(self.same(method, NULL), missing, found)
        b.label(missing)
        b.ret(NULL)
        b.label(found)
        result = self.call("PyObject_Vectorcall", "ptr", method, self.args, self.nargs, self.kwnames)
        self.call("Py_DecRef", "void", method)
        b.ret(result)
