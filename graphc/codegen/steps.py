"""The steps of a schedule as code: calls of kernels, and loops and branches around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.codegen.address import Sizes
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import Size
from graphc.schedule.access import Buffer
from graphc.schedule.kernel import Kernel
from graphc.schedule.steps import CondStep, ScanStep, Slice, Step, WhileStep, every_step


@dataclass
class StepEmitter:
    """Emits steps into a function that knows where buffers start; `pointers` grows by the slices of open loops."""

    builder: Builder
    library: KernelLibrary
    sizes: Sizes
    pointers: dict[Buffer, Value]

    def entry(self, steps: Sequence[Step]) -> None:
        """A whole function: first, where all can see them, the sizes that loops need."""
        for size in loop_sizes(steps):
            self.sizes(size)
        self.run(steps)

    def run(self, steps: Sequence[Step]) -> None:
        """Steps in order."""
        for step in steps:
            EMIT[type(step)](self, step)

    def kernel(self, kernel: Kernel) -> None:
        """A call."""
        self.library.call(self.builder, kernel, self.pointers, self.sizes.symbols)

    def scan(self, step: ScanStep) -> None:
        """A counted loop."""
        b, length = self.builder, self.sizes(step.length)
        with b.loop(b.i64(0), length) as loop:
            last = b.sub(length, b.i64(1)) if step.reverse else None
            number = loop.index if last is None else b.sub(last, loop.index)
            if step.index is not None:
                b.store(number, self.pointers[step.index])
            for piece in step.slices:
                distance = b.mul(number, self.sizes(slice_bytes(piece)))
                self.pointers[piece.part] = b.gep("i8", self.pointers[piece.whole], distance)
            self.run(step.body)

    def while_(self, step: WhileStep) -> None:
        """A loop whose test runs before each round."""
        b = self.builder
        test, body, end = b.fresh("test"), b.fresh("round"), b.fresh("over")
        b.branch(test)
        b.label(test)
        self.run(step.condition)
        b.branch_if(self.holds(step.test), body, end)
        b.label(body)
        self.run(step.body)
        b.branch(test)
        b.label(end)

    def cond(self, step: CondStep) -> None:
        """A branch."""
        b = self.builder
        then, otherwise, end = b.fresh("then"), b.fresh("else"), b.fresh("both")
        b.branch_if(self.holds(step.test), then, otherwise)
        for name, steps in ((then, step.then), (otherwise, step.otherwise)):
            b.label(name)
            self.run(steps)
            b.branch(end)
        b.label(end)

    def holds(self, test: Buffer) -> Value:
        """Whether a bool in memory is true."""
        return self.builder.icmp("ne", self.builder.load("i8", self.pointers[test]), Value("i8", "0"))


EMIT: Mapping[type[Step], Callable[[StepEmitter, Any], None]] = {
    Kernel: StepEmitter.kernel,
    ScanStep: StepEmitter.scan,
    WhileStep: StepEmitter.while_,
    CondStep: StepEmitter.cond,
}


def slice_bytes(piece: Slice) -> Size:
    """How far apart the slices of a buffer lie."""
    return piece.part.type.size * piece.part.type.dtype.itemsize


def loop_sizes(steps: Sequence[Step]) -> Iterator[Size]:
    """The lengths of loops, and the sizes of the slices that they go by."""
    for step in every_step(steps):
        if isinstance(step, ScanStep):
            yield step.length
            yield from (slice_bytes(piece) for piece in step.slices)
