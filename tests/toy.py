"""A program written by hand that follows graphc's C ABI: what the runtime's tests link, load and call.

State: `w` f32[3] = 1, 2, 3; `panels/kernel` f32[3, 20] in panels of 16 columns; `graphc/epoch` i64.
`predict(x: f32[N, 3])` is x·w. `train_step(x: f32[N, 3], y: i32[N] in 0..9)` returns {"loss": w[0]·mean(x[:, 0])},
then takes 0.125 from w[0]; its epoch runs batches in order, or in reverse order for any seed.
`stats(x: f32[2*N + 1])` returns ((), [sum, count i64, first f32[1]]) to exercise trees and solved dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.runtime.signature import (
    STATE_MAGIC,
    Entry,
    Input,
    Layout,
    Output,
    Signature,
    StateVariable,
    Symbol,
)
from graphc.runtime.targets import Target
from graphc.runtime.tree import Tree

NULL, SIZE, ALIGN, STATE, INDEX = 1, 2, 3, 4, 5
W, KERNEL, EPOCH, STATE_BYTES, HASH = 64, 128, 512, 576, 0x0123456789ABCDEF
KEEP_ORDER = (1 << 64) - 1

ENTRIES = (
    Entry(
        "predict", "toy_predict", True, ("N",), (Input("x", "f32", ("N", 3)),), (Output("y", "f32", ("N", 3)),), 0,
        batch="N",
    ),
    Entry(
        "train_step", "toy_train_step", False, ("N",),
        (Input("x", "f32", ("N", 3)), Input("y", "i32", ("N",), low=0, high=9)), (Output("loss", "f32", ()),),
        {"dict": [["loss", 0]]}, batch="N", repeat=True, epoch=True,
    ),
    Entry(
        "stats", "toy_stats", True, ("N",), (Input("x", "f32", ("2*N + 1",)),),
        (Output("sum", "f32", ()), Output("count", "i64", ()), Output("first", "f32", (1,))),
        {"tuple": [{"none": True}, {"list": [0, 1, 2]}]}, batch="N",
    ),
)  # fmt: skip

#: More entries, which are stats under other structures.
TREES: list[tuple[str, Tree]] = [
    ("nested", {"tuple": [{"none": True}, {"list": [2, 0, 1]}]}),
    ("listed", {"list": [2, 0, 1]}),
    ("tupled", {"tuple": [1, 2, 0]}),
    ("mapped", {"dict": [["b", 2], ["a", 0], ["n", 1]]}),
]

SIGNATURE = Signature(
    prefix="toy",
    state_bytes=STATE_BYTES,
    layout_hash=f"{HASH:016x}",
    symbols=(Symbol("N", max=1 << 20),),
    state=(
        StateVariable("w", "f32", (3,), W, 12, trainable=True),
        StateVariable("panels/kernel", "f32", (3, 20), KERNEL, 384, Layout("panel", 16), trainable=True),
        StateVariable("graphc/epoch", "i64", (), EPOCH, 8),
    ),
    entries=(
        *ENTRIES,
        *(replace(ENTRIES[-1], name=name, inputs=(Input("x", "f32", ("N", 3)),), tree=tree) for name, tree in TREES),
    ),
)

EXPORTS = [
    "toy_init", "toy_workspace_bytes", "toy_predict", "toy_predict_workspace_bytes", "toy_train_step",
    "toy_train_step_workspace_bytes", "toy_train_step_repeat", "toy_train_step_epoch",
    "toy_train_step_epoch_workspace_bytes", "toy_stats", "toy_stats_workspace_bytes", "toy_export", "toy_import",
    "toy_signature", "toy_error",
]  # fmt: skip


def toy_text(target: Target) -> str:
    """The LLVM text of the program."""
    module = Module(target.triple, target.feature_text)
    for name in EXPORTS:
        if name.endswith("workspace_bytes"):
            workspace_bytes(module, name)
    init(module)
    predict(module)
    train_step(module)
    repeat(module)
    epoch(module)
    stats(module)
    transfer(module, "toy_export", out=True)
    transfer(module, "toy_import", out=False)
    texts(module)
    return module.text()


def exported(module: Module, name: str, parameters: list[tuple[str, str]], returns: str = "i32") -> Builder:
    return Builder(module, name, parameters, returns, linkage="")


def code(number: int) -> Value:
    return Value("i32", str(number))


@contextmanager
def refusing(b: Builder, condition: Value, number: int) -> Iterator[None]:
    """Return an error code where the condition holds."""
    bad, good = b.fresh("bad"), b.fresh("good")
    b.branch_if(condition, bad, good)
    b.label(bad)
    yield
    b.ret(code(number))
    b.label(good)


def refuse(b: Builder, condition: Value, number: int) -> None:
    with refusing(b, condition, number):
        pass


def is_null(b: Builder, pointer: Value) -> Value:
    return b.icmp("eq", pointer, Value("ptr", "null"))


def at(b: Builder, pointer: Value, offset: int) -> Value:
    return b.gep("i8", pointer, b.i64(offset))


def check(b: Builder, state: Value, workspace: Value, size: Value, n: Value) -> None:
    """The prologue that every entry has."""
    refuse(b, is_null(b, state), NULL)
    refuse(b, is_null(b, workspace), NULL)
    refuse(b, b.icmp("slt", n, b.i64(0)), SIZE)
    refuse(b, b.icmp("sgt", n, b.i64(1 << 20)), SIZE)
    refuse(b, b.icmp("ult", size, workspace_need(b, n)), SIZE)
    for pointer in (state, workspace):
        low = b.binary("and", b.cast("ptrtoint", pointer, "i64"), b.i64(63))
        refuse(b, b.icmp("ne", low, b.i64(0)), ALIGN)
    refuse(b, b.icmp("ne", b.load("i64", state), b.i64(STATE_MAGIC)), STATE)
    refuse(b, b.icmp("ne", b.load("i64", at(b, state, 16)), b.i64(HASH)), STATE)


def workspace_need(b: Builder, n: Value) -> Value:
    return b.mul(b.add(n, b.i64(1)), b.i64(64))


def workspace_bytes(module: Module, name: str) -> None:
    epoch_form = name == "toy_train_step_epoch_workspace_bytes"
    b = exported(module, name, [("i64", "n")] + ([("i64", "batch")] if epoch_form else []), "i64")
    b.ret(workspace_need(b, b.arguments[-1]))


def init(module: Module) -> None:
    b = exported(module, "toy_init", [("ptr", "state"), ("i64", "seed")])
    state, seed = b.arguments
    refuse(b, is_null(b, state), NULL)
    with b.loop(b.i64(0), b.i64(STATE_BYTES // 8)) as loop:
        b.store(b.i64(0), b.gep("i64", state, loop.index))
    b.store(b.i64(STATE_MAGIC), state)
    b.store(code(1), at(b, state, 8))
    b.store(b.i64(HASH), at(b, state, 16))
    first = b.cast("uitofp", b.binary("and", seed, b.i64(0xFFFF)), "float")
    b.store(b.binary("fadd", first, b.constant("float", 1.0)), at(b, state, W))
    b.store(b.constant("float", 2.0), at(b, state, W + 4))
    b.store(b.constant("float", 3.0), at(b, state, W + 8))
    b.ret(code(0))


HEAD = [("ptr", "state"), ("ptr", "workspace"), ("i64", "size")]


def predict(module: Module) -> None:
    b = exported(module, "toy_predict", [*HEAD, ("i64", "n"), ("ptr", "x"), ("ptr", "y")])
    state, workspace, size, n, x, y = b.arguments
    check(b, state, workspace, size, n)
    with b.loop(b.i64(0), b.mul(n, b.i64(3))) as loop:
        w = b.load("float", b.gep("float", at(b, state, W), b.urem(loop.index, b.i64(3))))
        b.store(b.binary("fmul", b.load("float", b.gep("float", x, loop.index)), w), b.gep("float", y, loop.index))
    b.ret(code(0))


def train_step(module: Module) -> None:
    b = exported(module, "toy_train_step", [*HEAD, ("i64", "n"), ("ptr", "x"), ("ptr", "y"), ("ptr", "loss")])
    state, workspace, size, n, x, y, loss = b.arguments
    check(b, state, workspace, size, n)
    with b.loop(b.i64(0), n) as loop:
        label = b.load("i32", b.gep("i32", y, loop.index))
        refuse(b, b.icmp("ugt", label, code(9)), INDEX)
    with b.loop(b.i64(0), n, carried=[b.constant("float", 0.0)]) as loop:
        value = b.load("float", b.gep("float", x, b.mul(loop.index, b.i64(3))))
        loop.next = [b.binary("fadd", loop.carried[0], value)]
    w = b.load("float", at(b, state, W))
    mean = b.binary("fdiv", b.binary("fmul", w, loop.results[0]), b.cast("sitofp", n, "float"))
    with b.when(b.icmp("ne", loss, Value("ptr", "null"))):
        b.store(mean, loss)
    b.store(b.binary("fsub", w, b.constant("float", 0.125)), at(b, state, W))
    b.ret(code(0))


def repeat(module: Module) -> None:
    parameters = [*HEAD, ("i64", "n"), ("ptr", "x"), ("ptr", "y"), ("ptr", "loss"), ("i64", "count")]
    b = exported(module, "toy_train_step_repeat", parameters)
    count = b.arguments[-1]
    refuse(b, b.icmp("slt", count, b.i64(1)), SIZE)
    with b.loop(b.i64(0), count):
        status = b.call("toy_train_step", "i32", *b.arguments[:-1])
        with b.when(b.icmp("ne", status, code(0))):
            bad, good = b.fresh("bad"), b.fresh("good")
            b.branch_if(b.icmp("ne", status, code(0)), bad, good)
            b.label(bad)
            b.ret(status)
            b.label(good)
    b.ret(code(0))


def epoch(module: Module) -> None:
    tail = [("i64", n) for n in ("rows", "batch", "seed", "first", "count")]
    b = exported(module, "toy_train_step_epoch", [*HEAD, ("ptr", "x"), ("ptr", "y"), ("ptr", "loss"), *tail])
    state, workspace, size, x, y, loss, rows, batch, seed, first, count = b.arguments
    refuse(b, b.icmp("slt", batch, b.i64(1)), SIZE)
    check(b, state, workspace, size, batch)
    refuse(b, b.icmp("slt", rows, b.i64(0)), SIZE)
    batches = b.udiv(b.add(rows, b.sub(batch, b.i64(1))), batch)
    last = b.sub(batches, b.i64(1))
    forward = b.icmp("eq", seed, b.i64(-1))
    zero = b.constant("float", 0.0)
    with b.loop(first, b.add(first, count), carried=[zero, zero]) as loop:
        number = b.select(forward, loop.index, b.sub(last, loop.index))
        start = b.mul(number, batch)
        n = b.minimum(batch, b.sub(rows, start))
        rows_x, rows_y = b.gep("float", x, b.mul(start, b.i64(3))), b.gep("i32", y, start)
        status = b.call("toy_train_step", "i32", state, workspace, size, n, rows_x, rows_y, workspace)
        bad, good = b.fresh("bad"), b.fresh("good")
        b.branch_if(b.icmp("ne", status, code(0)), bad, good)
        b.label(bad)
        b.ret(status)
        b.label(good)
        weight = b.cast("sitofp", n, "float")
        weighted = b.binary("fmul", weight, b.load("float", workspace))
        loop.next = [b.binary("fadd", loop.carried[0], weighted), b.binary("fadd", loop.carried[1], weight)]
    b.store(b.binary("fdiv", *loop.results), loss)
    b.ret(code(0))


def stats(module: Module) -> None:
    outputs = [("ptr", "sum"), ("ptr", "count"), ("ptr", "first")]
    b = exported(module, "toy_stats", [*HEAD, ("i64", "n"), ("ptr", "x"), *outputs])
    state, workspace, size, n, x, total, count, first = b.arguments
    check(b, state, workspace, size, n)
    length = b.add(b.mul(n, b.i64(2)), b.i64(1))
    with b.loop(b.i64(0), length, carried=[b.constant("float", 0.0)]) as loop:
        loop.next = [b.binary("fadd", loop.carried[0], b.load("float", b.gep("float", x, loop.index)))]
    for pointer, value in ((total, loop.results[0]), (count, length), (first, b.load("float", x))):
        with b.when(b.icmp("ne", pointer, Value("ptr", "null"))):
            b.store(value, pointer)
    b.ret(code(0))


def transfer(module: Module, name: str, out: bool) -> None:
    """Export (`out`) or import of one variable between the state and a logical image."""
    parameters = [("ptr", "state"), ("ptr", "name"), ("ptr", "image"), ("i64", "size")]
    b = exported(module, name, parameters)
    state, asked, image, size = b.arguments
    for pointer in (state, asked, image):
        refuse(b, is_null(b, pointer), NULL)
    for variable in SIGNATURE.state:
        found = same_text(b, asked, variable.name)
        here, other = b.fresh("here"), b.fresh("other")
        b.branch_if(found, here, other)
        b.label(here)
        elements = 60 if variable.name == "panels/kernel" else 3 if variable.name == "w" else 1
        itemsize = 8 if variable.dtype == "i64" else 4
        refuse(b, b.icmp("ne", size, b.i64(elements * itemsize)), SIZE)
        with b.loop(b.i64(0), b.i64(elements)) as loop:
            index = panel_index(b, loop.index) if variable.layout.kind == "panel" else loop.index
            type_ = f"i{8 * itemsize}"
            places = b.gep(type_, at(b, state, variable.offset), index), b.gep(type_, image, loop.index)
            source, target = places if out else places[::-1]
            b.store(b.load(type_, source, 1), target, 1)
        b.ret(code(0))
        b.label(other)
    b.ret(code(STATE))


def panel_index(b: Builder, index: Value) -> Value:
    """Where element `index` of the logical [3, 20] lies in panels of 16 columns."""
    row, column = b.udiv(index, b.i64(20)), b.urem(index, b.i64(20))
    panel, lane = b.udiv(column, b.i64(16)), b.urem(column, b.i64(16))
    return b.add(b.add(b.mul(panel, b.i64(48)), b.mul(row, b.i64(16))), lane)


def same_text(b: Builder, pointer: Value, text: str) -> Value:
    """Whether a C string equals a literal, reading no byte after the first that differs."""
    end = b.fresh("compared")
    sources = []
    for i, c in enumerate(text.encode() + b"\0"):
        same = b.icmp("eq", b.load("i8", at(b, pointer, i)), Value("i8", str(c)))
        sources.append((Value("i1", "false"), b.block))
        following = b.fresh("byte")
        b.branch_if(same, following, end)
        b.label(following)
    sources.append((Value("i1", "true"), b.block))
    b.branch(end)
    b.label(end)
    return b.phi("i1", sources)


def texts(module: Module) -> None:
    b = exported(module, "toy_signature", [], "ptr")
    b.ret(module.constant_bytes("signature_text", SIGNATURE.to_json().encode() + b"\0"))
    b = exported(module, "toy_error", [("i32", "code")], "ptr")
    good = module.constant_bytes("text_ok", b"ok\0")
    bad = module.constant_bytes("text_error", b"error\0")
    b.ret(b.select(b.icmp("eq", b.arguments[0], code(0)), good, bad))
