"""Reductions of a kernel: accumulators carried round loops, or folded over the lanes of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.codegen.emission import Emission, Lane
from graphc.codegen.folds import Folding, State, across, folding, index_lanes
from graphc.codegen.llvm_types import Value
from graphc.codegen.loops import Parts, counted, vectorised
from graphc.errors import InternalError
from graphc.ops.base import ArgReduction
from graphc.ops.reduction import ReduceSum
from graphc.schedule.kernel import Compute, Contract, Fold, Literal, Load, Position, Range, Reduce, Stmt, walk

#: After so many rounds a sum starts anew, and is added to those before: 10⁷ numbers are as exact as 10⁵ in a row.
PART = 256


@dataclass(frozen=True)
class Accumulator:
    """What one fold carries for one chunk of the lanes around it: so many SSA values."""

    fold: Fold
    rule: Folding
    chunk: int
    values: int


def emit_reduce(k: Emission, statement: Reduce) -> None:
    """Fold values over loops, or over the lanes of the block we are in."""
    if not statement.axes:
        reduce_block(k, statement)
        return
    lanes = k.lanes_for(statement.axes[-1].extent) if statement.lanes else 1
    lanes = k.chunks.lanes if k.chunks else lanes
    rules = [folding(k.b, k.target, f, dtype_of_fold(k, statement, f)) for f in statement.folds]
    chunks = range(len(k.chunks.starts) if k.chunks else 1)
    pairs = zip(statement.folds, rules, strict=True)
    starts = [(fold, rule, c, rule.start(lanes)) for fold, rule in pairs for c in chunks]
    accumulators = [Accumulator(fold, rule, c, len(start)) for fold, rule, c, start in starts]
    identities = tuple(v for *_, start in starts for v in start)
    lengths = part_lengths(statement, lanes if statement.lanes else 1)

    def innermost(state: State) -> State:
        k.run(statement.body)
        return fold_in(k, statement, accumulators, state)

    def join(a: State, b: State) -> State:
        pairs = zip(parts(accumulators, a), parts(accumulators, b), strict=True)
        return tuple(v for (accumulator, x), (_, y) in pairs for v in accumulator.rule.join(x, y))

    def nest(depth: int, state: State) -> State:
        axis, length = statement.axes[depth], lengths[depth]
        in_parts = None if length is None else Parts(length, identities, join)
        if depth == len(statement.axes) - 1:
            walk_axis = vectorised if statement.lanes else counted
            return walk_axis(k, axis, statement.body, state, innermost, in_parts)
        return counted(k, axis, statement.body, state, lambda s: nest(depth + 1, s), in_parts)

    finish(k, statement, accumulators, nest(0, identities))


def part_lengths(statement: Reduce, lanes: int) -> list[int | None]:
    """For each axis the rounds after which a sum of floats starts anew; None where all rounds are one part."""
    lengths: list[int | None] = [None] * len(statement.axes)
    if not any(isinstance(f.op, ReduceSum) and f.dtype.is_float for f in statement.folds):
        return lengths
    inner: int | None = 1  # rounds of the axes further in; None where they are symbolic, or enough for a part
    for depth, axis in reversed(list(enumerate(statement.axes))):
        width = lanes if depth == len(statement.axes) - 1 else 1
        rounds = inner * -(-axis.extent // width) if inner is not None and isinstance(axis.extent, int) else None
        if rounds is None or rounds > PART:
            lengths[depth] = 1 if inner is None else max(1, PART // max(1, inner))
            rounds = None
        inner = rounds
    return lengths


def parts(accumulators: Sequence[Accumulator], state: State) -> Iterator[tuple[Accumulator, State]]:
    """Each accumulator with its part of what is carried."""
    taken = 0
    for accumulator in accumulators:
        yield accumulator, state[taken : taken + accumulator.values]
        taken += accumulator.values


def fold_in(k: Emission, statement: Reduce, accumulators: Sequence[Accumulator], state: State) -> State:
    """Fold this round's values into the accumulators."""
    new: list[Value] = []
    for accumulator, part in parts(accumulators, state):
        c = accumulator.chunk
        mask = k.chunks.masks[c] if k.chunks and statement.lanes else None
        value = k.vector(k.values[accumulator.fold.value], c)
        new += accumulator.rule.fold(part, value, mask, reduced_index(k, statement, c))
    return tuple(new)


def reduced_index(k: Emission, statement: Reduce, chunk: int) -> Value:
    """The index along the innermost reduced axis, for argmax and argmin."""
    if not any(isinstance(f.op, ArgReduction) for f in statement.folds):
        return k.b.i64(0)
    lanes = k.chunks.lanes if k.chunks else 1
    if statement.lanes:
        return index_lanes(k.b, k.vectors.starts[chunk], lanes)
    return k.b.splat(k.addresses.axes[statement.axes[-1]], lanes)


def finish(k: Emission, statement: Reduce, accumulators: Sequence[Accumulator], state: State) -> None:
    """The accumulators' results become values; vectors of a reduced lanes axis are folded across."""
    results: dict[Fold, list[Value]] = {fold: [] for fold in statement.folds}
    for accumulator, part in parts(accumulators, state):
        rule = accumulator.rule
        results[accumulator.fold].append(rule.result(across(k.b, rule, part) if statement.lanes else part))
    for fold, chunks in results.items():
        k.values[fold.result] = Lane(fold.dtype.name, tuple(chunks), k.chunks is None)


def reduce_block(k: Emission, statement: Reduce) -> None:
    """Fold the chunks of the block, then across lanes."""
    k.run(statement.body)
    for fold in statement.folds:
        lane = k.values[fold.value]
        rule = folding(k.b, k.target, fold, lane.dtype)
        state = rule.start(k.vectors.lanes)
        for c, (start, mask) in enumerate(zip(k.vectors.starts, k.vectors.masks, strict=True)):
            place = index_lanes(k.b, start, k.vectors.lanes)
            state = rule.fold(state, k.vector(lane, c), mask, place)
        k.values[fold.result] = Lane(fold.dtype.name, (rule.result(across(k.b, rule, state)),), True)


def dtype_of_fold(k: Emission, statement: Reduce, fold: Fold) -> str:
    """The dtype of the values a fold takes (argmax gives another)."""
    for inner in walk(statement.body):
        if getattr(inner, "result", None) == fold.value:
            return dtype_of(inner)
    return k.values[fold.value].dtype


def dtype_of(statement: Stmt) -> str:
    """The dtype of the value a statement gives."""
    match statement:
        case Load(access=access):
            return access.buffer.type.dtype.name
        case Position():
            return "i64"
        case Literal(dtype=dtype) | Range(dtype=dtype) | Compute(dtype=dtype) | Contract(dtype=dtype):
            return dtype.name
    raise InternalError(f"{type(statement).__name__} gives no value")
