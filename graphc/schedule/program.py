"""The schedule of an entry: steps in order, and places for what they touch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from graphc import config
from graphc.ir.dim import Symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Input
from graphc.runtime.targets import Target
from graphc.schedule.access import Buffer
from graphc.schedule.control import Interface
from graphc.schedule.kernel import Kernel
from graphc.schedule.memory import Placement, lifetimes, plan_arena
from graphc.schedule.scheduler import Scheduler, is_read_of
from graphc.schedule.steps import Step, every_step


@dataclass(frozen=True)
class EntrySchedule:
    """One entry: its buffers in the order of the call, its steps in the order they run, its arena."""

    name: str
    symbols: tuple[Symbol, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    arena: tuple[Placement, ...]
    data: Mapping[Buffer, bytes]
    written: frozenset[str]  # names of the Variables it updates
    flag: Buffer | None = None  # a bool: whether a number went bad; no argument of the call

    @property
    def results(self) -> tuple[Buffer, ...]:
        """What it leaves behind: outputs, and the flag."""
        return self.outputs if self.flag is None else (*self.outputs, self.flag)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels, in the order they are written."""
        return tuple(s for s in every_step(self.steps) if isinstance(s, Kernel))


def schedule_entry(
    graph: Graph, state: Mapping[str, Buffer], target: Target, flagged: bool = False
) -> EntrySchedule:
    """Fuse, decide where every value lies, order the kernels, lower them, and plan the arena.

    Where it is `flagged`, the graph's last output is whether a number went bad.

    Under GRAPHC_VERIFY the result is checked, under GRAPHC_DUMP it is written to `<entry>/kernels.txt`.
    """
    start = time.perf_counter()
    schedule = entry_schedule(graph, state, target, flagged)
    if folder := config.dump_directory():
        from graphc.dump import heading, write
        from graphc.schedule.text import print_schedule

        kinds = (type(s).__name__.lower() for kernel in schedule.kernels for s in kernel.statements())
        head = heading("schedule", time.perf_counter() - start, "statements", kinds)
        write(folder / schedule.name / "kernels.txt", head + print_schedule(schedule))
    if config.verify():
        from graphc.schedule.verify_entry import verify_schedule

        verify_schedule(schedule)
    return schedule


def entry_schedule(graph: Graph, state: Mapping[str, Buffer], target: Target, flagged: bool) -> EntrySchedule:
    """The schedule of a graph whose inputs and outputs are arguments of a call, and whose state is `state`."""
    inputs = tuple(Buffer(f"in.{n.op.name}", n.type, "input") for n in graph.inputs if isinstance(n.op, Input))
    outputs = [Buffer(f"out.{i}", n.type, "output") for i, n in enumerate(graph.outputs)]
    scheduler = Scheduler(graph, Interface(inputs, tuple(outputs), state), target)
    steps = scheduler.run()
    arena = plan_arena(lifetimes(steps, outputs))
    written = frozenset(name for name, node in graph.updates if not is_read_of(node, name))
    flag = None
    if flagged:
        *outputs, flag = outputs
    symbols, data = graph.symbols(), scheduler.data
    return EntrySchedule(graph.name, symbols, inputs, tuple(outputs), steps, arena, data, written, flag)
