"""The functions that handle a state: `init`, `export`, `import`; and what a file says of itself."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod

from graphc.codegen.copy import COPY_BYTES, COPY_ROWS
from graphc.codegen.cpu import BASELINE, lacks_features
from graphc.codegen.entry import emit_body
from graphc.codegen.guards import NULL, Checks, check_state, header, is_misaligned, is_null, status
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.runtime.signature import ALIGN, Signature
from graphc.runtime.status import Status
from graphc.runtime.targets import Target
from graphc.schedule.layout import Slot, StateLayout
from graphc.schedule.memory import most_bytes
from graphc.schedule.program import EntrySchedule

FIND = "find"

TEXTS = {
    Status.OK: "no error",
    Status.NULL: "a pointer is null",
    Status.SIZE: "a dimension is not one that the entry takes, or the workspace or buffer has the wrong size",
    Status.ALIGN: "a pointer is not aligned",
    Status.STATE: "the state is not one of this program, or it has no variable of that name",
    Status.INDEX: "an index is out of range",
    Status.CPU: "the processor lacks a feature that the code was compiled for",
}
#: What the checks of a program's own numbers say, by kind.
NUMERICS = {
    "nan": "a number became NaN on the way; the state is as it was before this step",
    "finite": "a number became NaN or infinite on the way; the state is as it was before this step",
}


def emit_init(module: Module, prefix: str, layout: StateLayout, target: Target, fill: str) -> str:
    """`int32_t P_init(state, seed)`: check pointer and CPU, then `fill`; runs on any x86-64 until it has checked."""
    name = f"{prefix}_init"
    b = Builder(
        module, name, [("ptr", "state"), ("i64", "seed")], "i32", linkage="",
        features=BASELINE if target.triple.startswith("x86_64") else None,
    )  # fmt: skip
    state, _ = b.arguments
    checks = Checks(b)
    checks.refuse(is_null(b, state), Status.NULL)
    checks.refuse(is_misaligned(b, state, ALIGN), Status.ALIGN)
    lacking = lacks_features(b, target)
    if lacking is not None:
        checks.refuse(lacking, Status.CPU)
    checks.settle()
    b.call(fill, "void", *b.arguments)
    for offset, word in header(layout):
        b.store(b.i64(word), b.gep("i8", state, b.i64(offset)))
    b.ret(status(Status.OK))
    return name


def emit_drawn_state(
    module: Module, library: KernelLibrary, name: str, entry: EntrySchedule, layout: StateLayout
) -> None:
    """`void name(state, seed)`: zeros, then each Variable's initial value, drawn under the seed.

    The workspace is on the stack, or the end of the state, which is zeros again afterwards.
    """
    body = f"{name}.body"
    emit_body(module, library, body, entry, layout)
    b = Builder(module, name, [("ptr", "state"), ("i64", "seed")])
    state, seed = b.arguments
    emit_zeros(b, state, 0, layout.bytes)
    if layout.scratch:
        workspace = b.gep("i8", state, b.i64(layout.end))
    else:
        workspace = b.emit("ptr", f"alloca [{most_bytes(entry.arena) or 1} x i8], align {ALIGN}")
    place = b.emit("ptr", "alloca i64, align 8")
    b.store(seed, place)
    b.call(body, "void", state, workspace, place)
    emit_zeros(b, state, layout.end, layout.bytes)
    b.ret()


def emit_zeros(b: Builder, state: Value, start: int, stop: int) -> None:
    """Zeros from one place of the state, and a multiple of the alignment, to another."""
    if start < stop:
        with b.loop(b.i64(start), b.i64(stop), ALIGN) as loop:
            b.store(Value(f"<{ALIGN} x i8>", "zeroinitializer"), b.gep("i8", state, loop.index))


def emit_image_state(module: Module, name: str, image: bytes) -> None:
    """`void name(state, seed)`: a given image, whatever the seed."""
    b = Builder(module, name, [("ptr", "state"), ("i64", "seed")])
    source = module.constant_bytes(f"{name}.image", image)
    b.call(COPY_BYTES, "void", b.arguments[0], source, b.i64(len(image)))
    b.ret()


def emit_find(module: Module, layout: StateLayout) -> None:
    """`ptr find(ptr name)`: a Variable's row (i64: name, place, rows, row bytes, panel bytes) of the table, or null."""
    names, rows = b"", []
    for slot in layout.slots:
        rows.append((len(names), slot.offset, *extents(slot)))
        names += slot.name.encode() + b"\0"
    width = 8 * 5
    table = module.constant_bytes("variables", b"".join(struct.pack("<5q", *row) for row in rows) or bytes(width))
    texts = module.constant_bytes("names", names or b"\0", align=1)
    b = Builder(module, FIND, [("ptr", "name")], "ptr")
    with b.loop(b.i64(0), b.i64(len(rows) * width), width, carried=[NULL]) as loop:
        row = b.gep("i8", table, loop.index)
        same = b.call("same_text", "i1", b.arguments[0], b.gep("i8", texts, b.load("i64", row)))
        loop.next = [b.select(same, row, loop.carried[0])]
    b.ret(loop.results[0])


def extents(slot: Slot) -> tuple[int, int, int]:
    """(rows, row bytes, panel bytes) of a Variable as `copy_rows` takes them: row-major, it is one row."""
    shape, itemsize = slot.shape, slot.type.dtype.itemsize
    if slot.panel:
        return shape[0], shape[1] * itemsize, slot.panel * itemsize
    size = prod(shape) * itemsize
    return 1, size, max(size, 1)


def emit_transfer(module: Module, prefix: str, layout: StateLayout, out: bool) -> str:
    """`P_export` and `P_import`: one Variable by name, between the state and its logical form, whose size is exact."""
    name = f"{prefix}_{'export' if out else 'import'}"
    parameters = [("ptr", "state"), ("ptr", "name"), ("ptr", "image"), ("i64", "bytes")]
    b = Builder(module, name, parameters, "i32", linkage="")
    state, asked, image, size = b.arguments
    checks = Checks(b)
    for pointer in (asked, image):
        checks.refuse(is_null(b, pointer), Status.NULL)
    check_state(checks, state, layout)
    checks.settle()
    row = b.call(FIND, "ptr", asked)
    checks.refuse(is_null(b, row), Status.STATE)
    checks.settle()
    place, rows, row_bytes, panel = (b.load("i64", b.gep("i64", row, b.i64(i))) for i in range(1, 5))
    checks.refuse(b.icmp("ne", size, b.mul(rows, row_bytes)), Status.SIZE)
    checks.settle()
    pack = Value("i1", "false" if out else "true")
    b.call(COPY_ROWS, "void", b.gep("i8", state, place), image, rows, row_bytes, panel, pack)
    b.ret(status(Status.OK))
    return name


def emit_same_text(module: Module) -> None:
    """`i1 same_text(ptr a, ptr b)`: whether two C strings are equal."""
    b = Builder(module, "same_text", [("ptr", "a"), ("ptr", "b")], "i1")
    first, second = b.arguments
    b.branch("next")
    b.label("next")
    b.line("%at = phi i64 [ 0, %entry ], [ %following, %more ]")
    at = Value("i64", "%at")
    x, y = (b.load("i8", b.gep("i8", text, at)) for text in (first, second))
    b.branch_if(b.icmp("eq", x, y), "equal", "differ")
    b.label("differ")
    b.ret(Value("i1", "false"))
    b.label("equal")
    b.branch_if(b.icmp("eq", x, Value("i8", "0")), "end", "more")
    b.label("more")
    b.line("%following = add i64 %at, 1")
    b.branch("next")
    b.label("end")
    b.ret(Value("i1", "true"))


def emit_texts(module: Module, prefix: str, signature: Signature) -> list[str]:
    """`P_signature()` and `P_error(code)`."""
    b = Builder(module, f"{prefix}_signature", [], "ptr", linkage="")
    b.ret(module.constant_bytes("signature", signature.to_json().encode() + b"\0", align=1))
    b = Builder(module, f"{prefix}_error", [("i32", "code")], "ptr", linkage="")
    text = module.constant_bytes("error.unknown", b"unknown error code\0", align=1)
    own = {} if signature.check is None else {Status.NUMERICS: NUMERICS[signature.check]}
    for code, message in (TEXTS | own).items():
        known = module.constant_bytes(f"error.{int(code)}", message.encode() + b"\0", align=1)
        text = b.select(b.icmp("eq", b.arguments[0], status(code)), known, text)
    b.ret(text)
    return [f"{prefix}_signature", f"{prefix}_error"]


def emit_workspace(
    module: Module, prefix: str, symbols: Sequence[str], entries: Sequence[tuple[str, Sequence[str]]]
) -> str:
    """`P_workspace_bytes(all dimensions)`: the most that any entry takes; SIZE_MAX if any refuses."""
    name = f"{prefix}_workspace_bytes"
    b = Builder(module, name, [("i64", f"s.{s}") for s in symbols], "i64", linkage="")
    values = dict(zip(symbols, b.arguments, strict=True))
    total = b.i64(0)
    for symbol, dims in entries:
        need = b.call(f"{symbol}_workspace_bytes", "i64", *(values[d] for d in dims))
        total = b.intrinsic("llvm.umax.i64", "i64", total, need)
    b.ret(total)
    return name
