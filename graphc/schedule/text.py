"""The printed schedule of an entry: its buffers, its kernels in the order they run, its arena.

    entry predict(N)
      input in.x: f32[N,64]
      output out.0: f32[N,10]
    kernel exp_sum
      for i0 in N:
        reduce i1 in 10, by lanes:
          %1 = load in.x[i0, i1] : f32
          %2 = exp %1 : f32
        %3 = reduce_sum %2 : f32
        store out.0[i0] = %3
    arena
      t4.0: 64*((4*N + 63) // 64) bytes at 0

`by lanes` goes a vector at a time, `at once` takes the whole axis in vectors. A matmul's body runs on each vector of
its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields

import numpy as np

from graphc.ir.node import Op
from graphc.ir.text import attribute, number
from graphc.schedule.kernel import (
    Access,
    Axis,
    Buffer,
    Compute,
    Contract,
    Kernel,
    Literal,
    Load,
    Loop,
    Matrix,
    Position,
    Range,
    Reduce,
    Stmt,
    Store,
)
from graphc.schedule.memory import Placement
from graphc.schedule.program import EntrySchedule

WALK = {"serial": "", "lanes": ", by lanes", "block": ", at once"}


def print_schedule(schedule: EntrySchedule) -> str:
    """The whole schedule of an entry."""
    lines = [f"entry {schedule.name}({', '.join(s.name for s in schedule.symbols)})"]
    lines += [f"  {b.place} {declaration(b)}" for b in buffers_of(schedule)]
    text = "\n".join(lines) + "\n" + "".join(map(print_kernel, schedule.kernels))
    return text + (f"arena\n{''.join(map(placement, schedule.arena))}" if schedule.arena else "")


def print_kernel(kernel: Kernel) -> str:
    """A kernel: its label and its statements."""
    return "\n".join([f"kernel {kernel.label}", *indented(kernel.body)]) + "\n"


def buffers_of(schedule: EntrySchedule) -> list[Buffer]:
    """Arguments first, then the Variables and data that kernels touch; the arena has a list of its own."""
    touched = [b for k in schedule.kernels for b in k.buffers() if b.place in ("state", "data")]
    return list(dict.fromkeys([*schedule.inputs, *schedule.outputs, *touched]))


def declaration(buffer: Buffer) -> str:
    """A buffer's name, type and layout."""
    return f"{buffer.name}: {buffer.type}" + (f" in panels of {buffer.panel}" if buffer.panel else "")


def placement(place: Placement) -> str:
    """Where a buffer of the arena lies."""
    start = f"after {', '.join(b.name for b in place.above)}" if place.above else "at 0"
    return f"  {place.buffer.name}: {place.size} bytes {start}\n"


def indented(body: Iterable[Stmt]) -> Iterator[str]:
    """The lines of statements, one step further in."""
    for statement in body:
        for line in lines_of(statement):
            yield f"  {line}"


def lines_of(statement: Stmt) -> Iterator[str]:
    """The lines of one statement."""
    match statement:
        case Loop(axis=axis, kind=kind, body=body):
            yield f"for {extent(axis)}{WALK[kind]}:"
            yield from indented(body)
        case Reduce(axes=axes, lanes=lanes, folds=folds, body=body):
            if axes:
                yield f"reduce {' '.join(map(extent, axes))}{WALK['lanes'] if lanes else ''}:"
                yield from indented(body)
            over = "" if axes else " over lanes"
            for fold in folds:
                yield f"%{fold.result} = {fold.op.mnemonic()} %{fold.value}{over} : {fold.dtype}"
        case Contract(result=result, dtype=dtype, m=m, n=n, k=k, lhs=lhs, rhs=rhs, body=body):
            yield f"%{result} = matmul {matrix(lhs)}, {matrix(rhs)} : {dtype}, for {extent(m)} {extent(n)}, k = {k}:"
            yield f"  ; {tiling(statement)}"
            yield from indented(body)
        case _:
            yield simple(statement)


def simple(statement: Stmt) -> str:
    """A statement of one line."""
    match statement:
        case Literal(result=result, dtype=dtype, data=data):
            return f"%{result} = {number(np.frombuffer(data, dtype.numpy)[0])} : {dtype}"
        case Range(result=result, dtype=dtype, index=index):
            return f"%{result} = index {index} : {dtype}"
        case Position(result=result, value=value, size=size):
            return f"%{result} = clamp %{value} to 0 .. {size} - 1"
        case Load(result=result, access=access):
            return f"%{result} = load {place(access)} : {access.buffer.type.dtype}"
        case Compute(result=result, dtype=dtype, op=op, operands=operands):
            return f"%{result} = {op_text(op)} {', '.join(f'%{o}' for o in operands)} : {dtype}"
        case Store(access=access, value=value):
            return f"store {place(access)} = %{value}"
    raise AssertionError(statement)


def extent(axis: Axis) -> str:
    """An axis and how far it runs."""
    return f"{axis.name} in {axis.extent}"


def place(access: Access) -> str:
    """An element, and the shape that its buffer is seen in where that is another."""
    seen = "" if access.shape == access.buffer.type.shape else f" as [{', '.join(map(str, access.shape))}]"
    return f"{access}{seen}"


def matrix(operand: Matrix) -> str:
    """A matmul's operand."""
    start = f" at {operand.offset}" if operand.offset.terms or operand.offset.offset != 0 else ""
    shape = f"[{operand.rows}, {operand.columns}]"
    return f"{operand.buffer.name}{shape}{start}{' transposed' if operand.transposed else ''}"


def tiling(contract: Contract) -> str:
    """How a matmul is cut up."""
    plan = contract.plan
    facts = [f"tiles of {plan.height} x {plan.width}·{plan.lanes}"]
    facts += ["rows and columns swapped"] if plan.swapped else []
    facts += ["packs columns"] if plan.pack else []
    facts += [f"blocks of {plan.block_rows} rows"] if plan.block_rows else []
    return ", ".join(facts)


def op_text(op: Op) -> str:
    """An op with its attributes."""
    shown = ", ".join(f"{f.name}={attribute(getattr(op, f.name))}" for f in fields(op))
    return op.mnemonic() + (f"{{{shown}}}" if shown else "")
