"""The steps of a schedule: kernels, and the control flow around others.

    step ::= Kernel
           | ScanStep(length, carries, slices, step*)   its steps, `length` times
           | WhileStep(test, step*, step*)              the first ones give the test; while it holds, the others run
           | CondStep(test, step*, step*)               the first ones where the test holds, else the others

A loop's carries are buffers that hold their first values before it and their last ones after it: its steps update them
in place, as an entry's kernels update Variables. Everything else that its steps write is theirs alone, round by round,
except what they write through slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.schedule.access import Buffer
from graphc.schedule.kernel import Kernel


@dataclass(frozen=True)
class Slice:
    """The element of a buffer's first axis that a round of a loop is about."""

    part: Buffer  # of the place "slice"
    whole: Buffer


@dataclass(frozen=True)
class ScanStep:
    """Rounds 0 … length - 1, or backwards. `index`, where there is one, holds the number of the round."""

    label: str
    length: Size
    reverse: bool
    carries: tuple[Buffer, ...]
    slices: tuple[Slice, ...]
    index: Buffer | None
    body: tuple[Step, ...]
    reads_old: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class WhileStep:
    """Rounds as long as the condition's steps leave a true `test`."""

    label: str
    test: Buffer
    carries: tuple[Buffer, ...]
    condition: tuple[Step, ...]
    body: tuple[Step, ...]
    reads_old: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class CondStep:
    """One of two branches, each of which writes the results."""

    label: str
    test: Buffer
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...]
    reads_old: tuple[str, ...] = field(default=(), compare=False)


Step: TypeAlias = Kernel | ScanStep | WhileStep | CondStep


def parts(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The sequences of steps in a step."""
    match step:
        case ScanStep(body=body):
            return (body,)
        case WhileStep(condition=condition, body=body):
            return condition, body
        case CondStep(then=then, otherwise=otherwise):
            return then, otherwise
    return ()


def every_step(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps in order, those around others before them."""
    stack = list(reversed(steps))
    while stack:
        step = stack.pop()
        yield step
        for part in reversed(parts(step)):
            stack.extend(reversed(part))


@dataclass(frozen=True)
class Touched:
    """The buffers that steps read and write, each in order of first use, seen from outside of the steps."""

    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]

    @property
    def all(self) -> tuple[Buffer, ...]:
        """Both."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))


def touched(step: Step) -> Touched:
    """What a step touches outside of itself; a kernel's scratch counts as written."""
    if isinstance(step, Kernel):
        scratch = step.scratch()
        return Touched(tuple(b for b in step.buffers() if b not in scratch), (*step.writes(), *scratch))
    inner = [touched(s) for part in parts(step) for s in part]
    written = dict.fromkeys(b for t in inner for b in t.writes)
    reads = dict.fromkeys(b for t in inner for b in t.reads if b not in written)
    match step:
        case ScanStep(carries=carries, slices=slices, index=index):
            whole = {s.part: s.whole for s in slices}
            own = carries if index is None else (*carries, index)
            results = (whole[b] for b in written if b in whole)
            return Touched((*carries, *(whole.get(b, b) for b in reads if b != index)), (*own, *results))
        case WhileStep(carries=carries, test=test):
            return Touched((*carries, *reads), (*carries, test))
        case CondStep(test=test):
            return Touched((test, *reads), tuple(written))
