"""The printed schedule of an entry: its buffers, then its kernels in the order they run.

    dim N: typical=64
    entry predict(N; in.x) -> out.0
      input in.x: f32[N,10]
      output out.0: f32[N]
      arena out.0: f32[N], 64*((4*N + 63) // (64)) bytes at 0, kernels 0 .. 0
    kernel 0 exp_reduce_sum   ; model.py:14
      for i0 in N:
        reduce i1 in 10, by lanes:
          %1 = load in.x[i0, i1] : f32
          %2 = exp %1 : f32
          %3 = fold reduce_sum{axes=[1]} %2 : f32
        store out.0[i0] = %3

`by lanes` goes a vector at a time, `at once` takes the whole axis in vectors. A matmul's body runs on each vector of
its result. An access names the shape its buffer is seen in where that is not the buffer's: `t3.0:[8*N][i0]`.

Control flow stands around the steps of its bodies. A loop names what it carries, and what a round sees a slice of:

    scan 2 cell T times, backwards:
      carry t9.0
      each scan9.x0 of in.x
      kernel 3 …

The text is exact: schedules and kernels that differ print differently, ill-formed ones too. What follows `;` is a
comment: it is no part of what is compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

import numpy as np

from graphc.ir.dim import Dim, Size, Symbol
from graphc.ir.text import number, operation, symbol_line
from graphc.ir.types import DType
from graphc.schedule.access import Access, Axis, Buffer, Index, Row
from graphc.schedule.kernel import (
    Carry,
    Compute,
    Contract,
    Convolve,
    Fold,
    Guard,
    Kernel,
    Literal,
    Load,
    Loop,
    Matrix,
    Position,
    Range,
    Reduce,
    Sort,
    Stmt,
    Store,
    Sweep,
)
from graphc.schedule.memory import Lifetime, Placement, lifetimes
from graphc.schedule.steps import CondStep, ScanStep, Step, WhileStep
from graphc.schedule.tiles import TilePlan

if TYPE_CHECKING:
    from graphc.schedule.program import EntrySchedule

WALK = {"serial": "", "lanes": ", by lanes", "block": ", at once"}
PLAIN = re.compile(r"[A-Za-z_][\w./]*")


def print_schedule(entry: EntrySchedule, sites: bool = True) -> str:
    """The whole schedule of an entry; with `sites`, each kernel's first line ends with the user's lines behind it."""
    names = Names(entry)
    spans = lifetimes(entry.steps, entry.results)
    lines = [*dimensions(entry), f"entry {word(entry.name)}{interface(entry, names)}"]
    for buffer in names.declared:
        segment = entry.data.get(buffer)
        lines.append(f"  {names.declaration(buffer)}" + (f", {contents(segment)}" if segment is not None else ""))
    lines += [f"  arena {placement(place, names, spans.get(place.buffer))}" for place in entry.arena]
    lines += [f"  update {json.dumps(name)}" for name in sorted(entry.written)]
    return "\n".join([*lines, *StepPrinter(names, sites).lines(entry.steps)]) + "\n"


def interface(entry: EntrySchedule, names: Names) -> str:
    """What a call of the entry takes and gives: `(N; in.x, in.y) -> out.0`."""
    symbols = ", ".join(s.name for s in entry.symbols)
    inputs, outputs = (", ".join(names.of[b] for b in side) for side in (entry.inputs, entry.results))
    return f"({symbols}; {inputs}) -> {outputs}"


def print_kernel(kernel: Kernel, sites: bool = True) -> str:
    """A kernel on its own: the dimensions and buffers it uses, its statements."""
    names = Names(kernel)
    declared = [f"  {names.declaration(b)}" for b in names.declared]
    head = [*dimensions(kernel), f"kernel {heading(kernel, sites)}"]
    return "\n".join([*head, *declared, *Printer(names).indented(kernel.body)]) + "\n"


def heading(kernel: Kernel, sites: bool) -> str:
    """A kernel's label and where its nodes come from."""
    places = ", ".join(dict.fromkeys(f"{s.file.rsplit('/', 1)[-1]}:{s.line}" for s in kernel.sites)) if sites else ""
    return word(kernel.label) + (f"   ; {places}" if places else "")


def word(name: str) -> str:
    """A name as it is, in quotes where it could be taken for something else."""
    return name if PLAIN.fullmatch(name) else json.dumps(name)


def dimensions(whole: EntrySchedule | Kernel) -> list[str]:
    """The facts of every symbol in any size."""
    symbols = dict.fromkeys(s for part in parts(whole) if isinstance(part, Dim) for s in part.symbols)
    if not isinstance(whole, Kernel):
        symbols = dict.fromkeys(whole.symbols) | symbols
    return [symbol_line(s) for s in symbols]


def parts(whole: object) -> Iterator[object]:
    """Everything that dataclasses, tuples and mappings hold, sizes and buffers as wholes, in order."""
    stack = [whole]
    while stack:
        part = stack.pop()
        yield part
        if isinstance(part, Mapping):
            stack += [*reversed(part)]
        elif isinstance(part, tuple):
            stack += reversed(part)
        elif hasattr(part, "__dataclass_fields__") and not isinstance(part, Dim | Symbol):
            stack += [getattr(part, f.name) for f in reversed(fields(part))]  # type: ignore[arg-type]


class Names:
    """What buffers are called: by name; others of the same name get a number too."""

    def __init__(self, whole: EntrySchedule | Kernel):
        placed = () if isinstance(whole, Kernel) else [p.buffer for p in whole.arena]
        buffers = dict.fromkeys(part for part in parts(whole) if isinstance(part, Buffer))
        taken: dict[str, int] = {}
        self.of: dict[Buffer, str] = {}
        for buffer in buffers:
            count = taken[buffer.name] = taken.get(buffer.name, 0) + 1
            self.of[buffer] = word(buffer.name) + (f"#{count}" if count > 1 else "")
        self.declared = [b for b in buffers if b.place != "arena" or b not in placed]

    def declaration(self, buffer: Buffer) -> str:
        """A buffer's place, name, type and layout."""
        return f"{buffer.place} {self.typed(buffer)}"

    def typed(self, buffer: Buffer) -> str:
        """A buffer's name, type and layout."""
        return f"{self.of[buffer]}: {buffer.type}" + (f" in panels of {buffer.panel}" if buffer.panel else "")


def contents(data: bytes) -> str:
    """A segment by its length and hash."""
    return f"{len(data)} bytes {hashlib.blake2b(data, digest_size=16).hexdigest()}"


def placement(place: Placement, names: Names, life: Lifetime | None) -> str:
    """Where a buffer of the arena lies, and from which kernel to which."""
    start = f"after {', '.join(names.of[b] for b in place.above)}" if place.above else "at 0"
    span = f", kernels {life.first} .. {life.last}" if life is not None else ""
    return f"{names.typed(place.buffer)}, {place.size} bytes {start}{span}"


class StepPrinter:
    """Prints steps, which it numbers in the order they are written."""

    def __init__(self, names: Names, sites: bool):
        self.names, self.sites, self.count = names, sites, 0

    def lines(self, steps: Iterable[Step]) -> Iterator[str]:
        """The lines of steps in order."""
        for step in steps:
            number, self.count = self.count, self.count + 1
            match step:
                case Kernel():
                    yield f"kernel {number} {heading(step, self.sites)}"
                    yield from Printer(self.names).indented(step.body)
                case ScanStep(label=label, length=length, reverse=reverse):
                    yield f"scan {number} {word(label)} {length} times{', backwards' * reverse}:"
                    yield from self.head(step.carries, step.index)
                    yield from (f"  each {self.names.of[s.part]} of {self.names.of[s.whole]}" for s in step.slices)
                    yield from self.indented(step.body)
                case WhileStep(label=label, test=test):
                    yield f"while {number} {word(label)} {self.names.of[test]}, from"
                    yield from self.indented(step.condition)
                    yield "do:"
                    yield from self.head(step.carries, None)
                    yield from self.indented(step.body)
                case CondStep(label=label, test=test):
                    yield f"if {number} {word(label)} {self.names.of[test]}:"
                    yield from self.indented(step.then)
                    yield "else:"
                    yield from self.indented(step.otherwise)

    def indented(self, steps: Iterable[Step]) -> Iterator[str]:
        """The lines of a body, one step further in."""
        for line in self.lines(steps):
            yield f"  {line}"

    def head(self, carries: Iterable[Buffer], index: Buffer | None) -> Iterator[str]:
        """What a loop carries, and where it keeps the number of the round."""
        yield from (f"  carry {self.names.of[b]}" for b in carries)
        if index is not None:
            yield f"  round {self.names.of[index]}"


class Printer:
    """Prints statements, in the loops that are open."""

    def __init__(self, names: Names, open_: Iterable[Axis] = ()):
        self.names, self.open = names, list(open_)

    def indented(self, body: Iterable[Stmt], axes: Sequence[Axis] = (), folds: Iterable[Fold] = ()) -> Iterator[str]:
        """The lines of a body over axes, one step further in."""
        self.open += axes
        for statement in body:
            for line in self.lines(statement):
                yield f"  {line}"
        del self.open[len(self.open) - len(axes) :]
        for fold in folds:
            yield f"  %{fold.result} = fold {operation(fold.op)} %{fold.value} : {fold.dtype}"

    def lines(self, statement: Stmt) -> Iterator[str]:
        """The lines of one statement."""
        yield self.headline(statement)
        match statement:
            case Loop(axis=axis, body=body):
                yield from self.indented(body, (axis,))
            case Reduce(axes=axes, folds=folds, body=body):
                yield from self.indented(body, axes, folds)
            case Sweep(axis=axis, carries=carries, body=body):
                yield from self.indented(body, (axis,))
                yield from map(carried, carries)
            case Sort(scratch=scratch):
                yield f"  scratch {self.names.of[scratch]}"
            case Contract(m=m, n=n, body=body):
                yield f"  tiles {tiling(statement.plan)}"
                if statement.scratch is not None:
                    yield f"  scratch {self.names.of[statement.scratch]}"
                yield from self.indented(body, (m, n))
            case Convolve(rows=rows, columns=columns, over=over, guards=guards, plan=plan):
                with_axes = Printer(self.names, (*self.open, *rows, columns, *over))
                yield f"  {with_axes.row(statement.lhs)} * {with_axes.row(statement.rhs)}"
                yield from (f"  where {with_axes.guard(guard)}" for guard in guards)
                yield f"  tiles {tiling(plan)}"
                yield from (f"  scratch {self.names.of[buffer]}" for buffer in statement.scratch)

    def headline(self, statement: Stmt) -> str:
        """The first line of a statement."""
        match statement:
            case Loop(axis=axis, kind=kind):
                return f"for {extent(axis)}{WALK[kind]}:"
            case Reduce(axes=axes, lanes=lanes):
                over = " ".join(map(extent, axes)) + WALK["lanes"] * lanes if axes else "lanes" * lanes
                return f"reduce {over}".rstrip() + ":"
            case Sweep(axis=axis):
                return f"sweep {extent(axis)}:"
            case Sort(source=source, target=target, size=size, descending=descending):
                way = "descending order" if descending else "order"
                return f"{self.row(target)} = {way} of {self.row(source)}, {size} elements"
            case Contract(result=result, dtype=dtype, m=m, n=n, k=k, lhs=lhs, rhs=rhs):
                operands = f"{self.matrix(lhs)}, {self.matrix(rhs)}"
                return f"%{result} = matmul {operands} : {dtype}, for {extent(m)} {extent(n)}, k = {k}:"
            case Convolve(into=into, rows=rows, columns=columns, over=over):
                sums = Printer(self.names, (*self.open, *rows, columns)).row(into)
                gets = "+=" if statement.accumulate else "="
                loops = f"for {' '.join(map(extent, (*rows, columns)))} over {' '.join(map(extent, over))}"
                return f"{sums} {gets} convolve : {statement.dtype}, {loops}:"
            case Literal(result=result, dtype=dtype, data=data):
                return f"%{result} = constant{{{literal(data, dtype)}}} : {dtype}"
            case Range(result=result, dtype=dtype, index=index):
                return f"%{result} = index {self.index(index)} : {dtype}"
            case Position(result=result, value=value, size=size):
                return f"%{result} = clamp %{value} to {size}"
            case Load(result=result, access=access, places=places):
                empty = "" if places == 1 else f", zero where {places} is 0"
                return f"%{result} = load {self.access(access)} : {access.buffer.type.dtype}{empty}"
            case Compute(result=result, dtype=dtype, op=op, operands=operands):
                return f"%{result} = {operation(op)} {', '.join(f'%{o}' for o in operands)} : {dtype}"
            case Store(access=access, value=value):
                return f"store {self.access(access)} = %{value}"

    def access(self, access: Access) -> str:
        """An element, and the shape that its buffer is seen in where that is another."""
        seen = "" if access.shape == access.buffer.type.shape else f":[{', '.join(map(str, access.shape))}]"
        return f"{self.names.of[access.buffer]}{seen}[{', '.join(map(self.index, access.index))}]"

    def guard(self, guard: Guard) -> str:
        """A condition on indices."""
        return f"{self.index(guard.index)} in 0 .. {guard.size} - 1"

    def index(self, index: Index) -> str:
        """`2*i0 + %3 + (N)`: symbolic sizes in parentheses, axes and positions bare."""
        terms = [("" if c == 1 else f"{factor(c)}*") + self.term(term) for term, c in index.terms]
        return " + ".join([*terms, *([factor(index.offset)] if index.offset != 0 or not terms else [])])

    def term(self, term: Axis | int) -> str:
        """A position, or an axis: with its extent if the open loop of that name is another."""
        if isinstance(term, int):
            return f"%{term}"
        meant = next((a for a in reversed(self.open) if a.name == term.name), None)
        return word(term.name) if meant == term else f"<{extent(term)}>"

    def row(self, row: Row) -> str:
        """A row of a buffer."""
        return f"{self.names.of[row.buffer]} at {self.index(row.offset)}"

    def matrix(self, operand: Matrix) -> str:
        """A matmul's operand as it lies in memory."""
        at = "" if operand.offset == Index() else f" at {self.index(operand.offset)}"
        shape = f":[{operand.rows}, {operand.columns}]"
        seen = "" if (operand.rows, operand.columns) == operand.buffer.type.shape else shape
        return f"{self.names.of[operand.buffer]}{seen}{at}{' transposed' if operand.transposed else ''}"


def carried(carry: Carry) -> str:
    """A value that is carried round: what it is at first, and from then on."""
    return f"  %{carry.result} = carry %{carry.next} from {literal(carry.start, carry.dtype)} : {carry.dtype}"


def extent(axis: Axis) -> str:
    """An axis and how far it runs."""
    return f"{word(axis.name)} in {axis.extent}"


def factor(size: Size) -> str:
    """A size that stands in an index."""
    return f"({size})" if isinstance(size, Dim) else str(size)


def literal(data: bytes, dtype: DType) -> str:
    """A constant as a number; its bytes where they are not those of one number."""
    numbers = np.frombuffer(data, dtype.numpy) if len(data) == dtype.itemsize else np.empty(0)
    if len(numbers) != 1 or (dtype.kind == "bool" and data not in (b"\0", b"\1")):
        return f"bytes:{data.hex()}"
    return number(numbers[0])


def tiling(plan: TilePlan) -> str:
    """How a matmul is cut up: rows x vectors x lanes of a tile, and whatever is not the default."""
    rest = [f for f in fields(plan) if f.name not in ("height", "width", "lanes")]
    changed = [f for f in rest if f.default is MISSING or getattr(plan, f.name) != f.default]
    facts = "".join(f", {f.name}={getattr(plan, f.name)}" for f in changed)
    return f"{plan.height} x {plan.width} x {plan.lanes}{facts}"
