"""What a compiled program shows to the outside: the C interface of each entry, and the signature that describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

from graphc.codegen.abi import EntryAbi
from graphc.errors import ArgumentError
from graphc.frontend.trace import TracedEntry, TracedProgram
from graphc.runtime import signature as sig
from graphc.runtime.targets import Target
from graphc.schedule.layout import Slot, StateLayout
from graphc.schedule.memory import most_bytes
from graphc.schedule.program import EntrySchedule
from graphc.sites import user_site


def entry_abi(entry: TracedEntry, schedule: EntrySchedule, prefix: str) -> EntryAbi:
    """The C interface of an entry."""
    ranges = tuple(None if i.low is None or i.high is None else (i.low, i.high) for i in entry.inputs)
    minimums = tuple((c.size, c.minimum) for c in entry.checks)
    return EntryAbi(schedule, f"{prefix}_{entry.name}", ranges, minimums, entry.batch, entry.returned)


def describe(
    program: TracedProgram,
    abis: Sequence[EntryAbi],
    layout: StateLayout,
    prefix: str,
    target: Target,
    check: sig.Numerics | None = None,
) -> sig.Signature:
    """What the file will say of itself."""
    symbols: dict[str, sig.Symbol] = {}
    for s in (s for e in program.entries for s in e.graph.symbols()):
        declared = sig.Symbol(s.name, s.min, s.max, s.multiple_of)
        symbols[s.name] = either(symbols.get(s.name, declared), declared)
    return sig.Signature(
        prefix=prefix,
        state_bytes=layout.bytes,
        layout_hash=layout.hash,
        symbols=tuple(symbols.values()),
        state=tuple(describe_variable(slot) for slot in layout.slots),
        entries=tuple(describe_entry(e, abi) for e, abi in zip(program.entries, abis, strict=True)),
        features=target.features,
        check=check,
    )


def either(a: sig.Symbol, b: sig.Symbol) -> sig.Symbol:
    """A dimension that entries declare in two ways: all sizes that one of them takes. Each entry checks its own."""
    most = None if a.max is None or b.max is None else max(a.max, b.max)
    return sig.Symbol(a.name, min(a.min, b.min), most, gcd(a.multiple_of, b.multiple_of))


def describe_variable(slot: Slot) -> sig.StateVariable:
    """A Variable of the signature."""
    packing = sig.Layout("panel", slot.panel) if slot.panel else sig.Layout()
    return sig.StateVariable(
        slot.name, slot.type.dtype.name, slot.shape, slot.offset, slot.bytes, packing, slot.trainable
    )


def describe_entry(entry: TracedEntry, abi: EntryAbi) -> sig.Entry:
    """An entry of the signature."""
    inputs = tuple(
        sig.Input(i.name, i.type.dtype.name, dims(i.type.shape), i.low, i.high) for i in entry.inputs
    )
    outputs = tuple(
        sig.Output(name, node.type.dtype.name, dims(node.type.shape))
        for name, node in zip(entry.outputs, entry.graph.outputs, strict=True)
    )
    symbols = tuple(s.name for s in abi.schedule.symbols)
    return sig.Entry(
        entry.name, abi.symbol, abi.pure, symbols, inputs, outputs, entry.tree, entry.batch,
        repeat=not abi.pure, epoch=abi.has_epoch,
        checks=tuple(sig.Check(str(c.size), c.minimum, c.message) for c in entry.checks),
        workspace_max=most_bytes(abi.schedule.arena),
    )  # fmt: skip


def dims(shape: Sequence[object]) -> tuple[int | str, ...]:
    """A shape as the signature writes it."""
    return tuple(s if isinstance(s, int) else str(s) for s in shape)


def with_entries(program: TracedProgram, names: Sequence[str]) -> TracedProgram:
    """The program with some of its entries only, each once. Raises `ArgumentError` for names that it lacks."""
    known = {e.name: e for e in program.entries}
    wanted = dict.fromkeys([names] if isinstance(names, str) else names)
    for name in wanted:
        if name not in known:
            raise ArgumentError(
                f"build: the program has no entry {name!r}", site=user_site(), help=f"it has {', '.join(known)}"
            )
    return replace(program, entries=tuple(known[n] for n in wanted))
