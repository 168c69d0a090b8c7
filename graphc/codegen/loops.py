"""Loops of a kernel: one by one, a vector at a time with a masked rest, or a whole axis at once; carrying state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from graphc.codegen.access import accesses_of
from graphc.codegen.emission import Chunks, Emission
from graphc.codegen.folds import State
from graphc.codegen.llvm_types import Value
from graphc.schedule.access import Axis
from graphc.schedule.kernel import Loop, Stmt

#: Emits one round: what is carried into it -> what is carried out of it.
Step: TypeAlias = Callable[[State], State]


@dataclass(frozen=True)
class Parts:
    """What a loop carries is gathered in parts of so many rounds, each from the same start, and joined.

    Rounding errors of a long sum then grow with the rounds of a part and with the number of parts, not with all rounds.
    """

    rounds: int
    start: State
    join: Callable[[State, State], State]


def emit_loop(k: Emission, statement: Loop) -> None:
    """A loop that folds nothing."""

    def run(state: State) -> State:
        k.run(statement.body)
        return state

    if statement.kind == "serial":
        counted(k, statement.axis, statement.body, (), run)
    elif statement.kind == "lanes":
        vectorised(k, statement.axis, statement.body, (), run)
    else:
        block(k, statement)


@contextmanager
def body_of(k: Emission, body: Sequence[Stmt]) -> Iterator[None]:
    """The scope of a loop body: the outer parts of its addresses are computed before it."""
    with k.addresses.scope((a.buffer, a.linear()) for a in list(accesses_of(body)) if not a.buffer.panel):
        yield


def counted(
    k: Emission, axis: Axis, body: Sequence[Stmt], state: State, step: Step, in_parts: Parts | None = None
) -> State:
    """One index after the other, carrying `state` round."""
    if axis.extent == 1:
        k.addresses.define(axis, k.b.i64(0))
        with k.addresses.scope(()):
            state = step(state)
        k.addresses.forget(axis)
        return state

    def round_at(index: Value, state: State) -> State:
        k.addresses.define(axis, index)
        state = step(state)
        k.addresses.forget(axis)
        return state

    with body_of(k, body):
        return rounds(k, k.sizes(axis.extent), 1, state, round_at, in_parts)


def rounds(
    k: Emission, stop: Value, width: int, state: State, round_at: Callable[[Value, State], State],
    in_parts: Parts | None,
) -> State:  # fmt: skip
    """Rounds at 0, width, … below stop, which is a multiple of the width; in parts where that makes several."""
    b, zero = k.b, k.b.i64(0)
    if in_parts is None or (stop.literal is not None and stop.literal <= in_parts.rounds * width):
        with b.loop(zero, stop, width, carried=state) as loop:
            loop.next = list(round_at(loop.index, tuple(loop.carried)))
        return tuple(loop.results)
    span = in_parts.rounds * width
    with b.loop(zero, stop, span, carried=state) as whole:
        if in_parts.rounds == 1:
            part = round_at(whole.index, in_parts.start)
        else:
            end = b.minimum(b.add(whole.index, b.i64(span)), stop)
            with b.loop(whole.index, end, width, carried=in_parts.start, nonempty=True) as loop:
                loop.next = list(round_at(loop.index, tuple(loop.carried)))
            part = tuple(loop.results)
        whole.next = list(in_parts.join(tuple(whole.carried), part))
    return tuple(whole.results)


def vectorised(
    k: Emission, axis: Axis, body: Sequence[Stmt], state: State, step: Step, in_parts: Parts | None = None
) -> State:
    """A vector at a time; the rest, if there can be one, under a mask."""
    b, lanes = k.b, k.lanes_for(axis.extent)
    extent = k.sizes(axis.extent)
    whole = b.mul(b.udiv(extent, b.i64(lanes)), b.i64(lanes))
    if whole.literal == lanes:
        state = chunk(k, axis, lanes, b.i64(0), None, state, step)
    elif whole.literal != 0:
        with body_of(k, body):
            state = rounds(k, whole, lanes, state, lambda i, s: chunk(k, axis, lanes, i, None, s, step), in_parts)
    rest = b.sub(extent, whole)
    if rest.literal is None:
        return optional_chunk(k, axis, lanes, whole, rest, state, step)
    if rest.literal:
        state = chunk(k, axis, lanes, whole, b.lane_mask(rest, lanes), state, step)
    return state


def optional_chunk(k: Emission, axis: Axis, lanes: int, start: Value, rest: Value, state: State, step: Step) -> State:
    """The masked rest of a symbolic extent, where there is one."""
    b = k.b
    then, end = b.fresh("rest"), b.fresh("end")
    before = b.block
    b.branch_if(b.icmp("sgt", rest, b.i64(0)), then, end)
    b.label(then)
    new = chunk(k, axis, lanes, start, b.lane_mask(rest, lanes), state, step)
    after = b.block
    b.branch(end)
    b.label(end)
    return tuple(b.phi(n.type, [(o, before), (n, after)]) for o, n in zip(state, new, strict=True))


def chunk(k: Emission, axis: Axis, lanes: int, start: Value, mask: Value | None, state: State, step: Step) -> State:
    """One vector of the lanes axis."""
    outer = k.chunks
    k.chunks = Chunks(axis, lanes, (start,), (mask,))
    with k.addresses.scope(()):
        state = step(state)
    k.chunks = outer
    return state


def block(k: Emission, statement: Loop) -> None:
    """The whole axis at once, in as many vectors as it takes."""
    extent = statement.axis.extent
    assert isinstance(extent, int)
    lanes = k.lanes_for(extent)
    starts = tuple(k.b.i64(s) for s in range(0, extent, lanes))
    rest = extent % lanes
    last = k.b.lane_mask(k.b.i64(rest), lanes) if rest else None
    k.chunks = Chunks(statement.axis, lanes, starts, (*[None] * (len(starts) - 1), last))
    with k.addresses.scope(()):
        k.run(statement.body)
    k.chunks = None
