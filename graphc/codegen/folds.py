"""Accumulators of reductions: where they start, how a value is folded in, how lanes are folded together at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from graphc.codegen.lanes import ELEMENTS, Lanes
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, lane_count, vector_type
from graphc.ops.base import ArgReduction, Reduction
from graphc.ops.reduction import ArgMax
from graphc.runtime.targets import Target
from graphc.schedule.kernel import Fold

State = tuple[Value, ...]


class Folding(Protocol):
    """How one kind of reduction accumulates; a state is a tuple of SSA values of equal lane counts."""

    def start(self, lanes: int) -> State: ...
    def fold(self, state: State, value: Value, mask: Value | None, index: Value) -> State: ...
    def join(self, a: State, b: State) -> State: ...
    def result(self, state: State) -> Value: ...


@dataclass
class PlainFolding:
    """Sum, product, max, min: one accumulator; dead lanes keep theirs."""

    builder: Builder
    target: Target
    op: Reduction
    fold_of: Fold
    dtype: str

    def start(self, lanes: int) -> State:
        """The identity in each lane."""
        return (self._lanes(lanes).constant(self.op.identity(self.fold_of.dtype)),)

    def fold(self, state: State, value: Value, mask: Value | None, index: Value) -> State:
        """Fold in one value a lane."""
        e = self._lanes(lane_count(value.type))
        folded = self.op.combine(e, state[0], value)
        return (folded if mask is None else e.select(mask, folded, state[0]),)

    def join(self, a: State, b: State) -> State:
        """Fold two accumulators into one."""
        return (self.op.combine(self._lanes(lane_count(a[0].type)), a[0], b[0]),)

    def result(self, state: State) -> Value:
        """What was accumulated."""
        return state[0]

    def _lanes(self, lanes: int) -> Lanes:
        return Lanes(self.builder, self.dtype, lanes, self.target)


@dataclass
class ArgFolding:
    """Argmax and argmin: the best value and where it was; the first of equals, and a NaN before all."""

    builder: Builder
    target: Target
    op: ArgReduction
    dtype: str

    def start(self, lanes: int) -> State:
        """No value yet: index −1 marks it."""
        e = Lanes(self.builder, self.dtype, lanes, self.target)
        return e.constant(0), e.of("i64").constant(-1)

    def fold(self, state: State, value: Value, mask: Value | None, index: Value) -> State:
        """Take the value where it is better than the best so far."""
        lanes = lane_count(value.type)
        places = Lanes(self.builder, "i64", lanes, self.target)
        if mask is not None:
            index = places.select(mask, index, places.constant(-1))
        return self.join(state, (value, index))

    def join(self, a: State, b: State) -> State:
        """The better of two, lane by lane; the lower index among equals."""
        lanes = lane_count(a[0].type)
        e, places = Lanes(self.builder, self.dtype, lanes, self.target), Lanes(self.builder, "i64", lanes, self.target)
        better = e.gt(b[0], a[0]) if isinstance(self.op, ArgMax) else e.lt(b[0], a[0])
        equal = e.eq(a[0], b[0])
        if e.floating:
            a_nan, b_nan = e.is_nan(a[0]), e.is_nan(b[0])
            better = e.logical_or(better, e.logical_and(b_nan, e.logical_not(a_nan)))
            equal = e.logical_or(equal, e.logical_and(a_nan, b_nan))
        sooner = e.logical_and(equal, places.lt(b[1], a[1]))
        none = places.constant(0)
        take = e.logical_or(places.lt(a[1], none), e.logical_or(better, sooner))
        take = e.logical_and(take, places.ge(b[1], none))
        return e.select(take, b[0], a[0]), places.select(take, b[1], a[1])

    def result(self, state: State) -> Value:
        """The index (0 over nothing)."""
        e = Lanes(self.builder, "i64", lane_count(state[1].type), self.target)
        return e.max(state[1], e.constant(0))


def folding(builder: Builder, target: Target, fold: Fold, dtype: str) -> Folding:
    """The accumulator of a fold over values of a dtype."""
    if isinstance(fold.op, ArgReduction):
        return ArgFolding(builder, target, fold.op, dtype)
    assert isinstance(fold.op, Reduction)
    return PlainFolding(builder, target, fold.op, fold, dtype)


def across(builder: Builder, rule: Folding, state: State) -> State:
    """Fold the lanes of a state together, halving: one fixed order for a lane count."""
    lanes = lane_count(state[0].type)
    while lanes > 1:
        half = lanes // 2
        if half == 1:
            low, high = (tuple(builder.extract(s, lane) for s in state) for lane in (0, 1))
        else:
            low = tuple(builder.shuffle(s, s, range(half)) for s in state)
            high = tuple(builder.shuffle(s, s, range(half, lanes)) for s in state)
        state, lanes = rule.join(low, high), half
    return state


def index_lanes(builder: Builder, start: Value, lanes: int) -> Value:
    """start, start + 1, … as i64 lanes."""
    if lanes == 1:
        return start
    type_ = vector_type(ELEMENTS["i64"], lanes)
    return builder.binary("add", Value(type_, builder.splat(start, lanes).name), builder.iota("i64", lanes))
