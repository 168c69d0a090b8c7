"""Control flow: a control node becomes a step around the steps of its bodies.

Bodies work where the values lie: their inputs are the buffers of the node's operands, or slices of them; what they
carry is the buffers of the node's results; what they stack they write into slices of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op
from graphc.ir.types import TensorType, bool_, i64
from graphc.ops.control import Cond, Scan, WhileLoop, carry_name
from graphc.schedule.access import Buffer
from graphc.schedule.steps import CondStep, ScanStep, Slice, Step, WhileStep


@dataclass(frozen=True)
class Operands:
    """How control flow takes its operands."""

    constants: tuple[tuple[Graph, range], ...]  # bodies, with the operands that their first inputs are
    carried: range = range(0)  # the operands that carries start with; what they end with are the first results
    sliced: range = range(0)  # the operands that the body takes a slice of in each round


def scan_operands(op: Scan) -> Operands:
    """Constants, first carries, stacks."""
    carried = range(op.consts, op.consts + op.carries)
    return Operands(((op.body, range(op.consts)),), carried, range(carried.stop, carried.stop + op.slices))


def while_operands(op: WhileLoop) -> Operands:
    """Constants, first carries."""
    constants = range(op.consts)
    carried = range(op.consts, op.consts + len(op.body.updates))
    return Operands(((op.condition, constants), (op.body, constants)), carried)


def cond_operands(op: Cond) -> Operands:
    """The test, then what both bodies take."""
    constants = range(1, 1 + len(op.then.inputs))
    return Operands(((op.then, constants), (op.otherwise, constants)))


@dataclass(frozen=True)
class Interface:
    """Where a graph's inputs and its state lie, and where its results go."""

    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    state: Mapping[str, Buffer]


@dataclass(frozen=True)
class Flow:
    """A control node to become a step: where its operands and results lie, and how to schedule a body.

    `name` starts the names of buffers in it. Initial carries lie in the results' buffers already.
    """

    node: Node
    name: str
    operands: tuple[Buffer, ...]
    results: tuple[Buffer, ...]
    reads_old: tuple[str, ...]
    schedule: Callable[[Graph, Interface, str], tuple[Step, ...]]

    def own(self, name: str, type_: TensorType) -> Buffer:
        """A buffer of the step's own."""
        return Buffer(self.name + name, type_, "arena")

    def pieces(self, kind: str, nodes: Sequence[Node], wholes: Sequence[Buffer]) -> tuple[Slice, ...]:
        """The slices that a round reads or writes as the given nodes."""
        parts = (Buffer(f"{self.name}{kind}{i}", n.type, "slice") for i, n in enumerate(nodes))
        return tuple(Slice(part, whole) for part, whole in zip(parts, wholes, strict=True))


def scan_step(flow: Flow, op: Scan) -> Step:
    """Rounds over slices."""
    consts, _, stacks = op.split(flow.operands)
    carries, stacked = flow.results[: op.carries], flow.results[op.carries :]
    taken = flow.pieces("x", op.body.inputs[op.consts : op.consts + op.slices], stacks)
    given = flow.pieces("y", op.body.outputs, stacked)
    index = flow.own("round", TensorType(i64)) if op.indexed else None
    inputs = (*consts, *(s.part for s in taken), *([index] if index else []))
    interface = Interface(inputs, tuple(s.part for s in given), state_of(carries))
    steps = flow.schedule(op.body, interface, flow.name)
    return ScanStep(op.body.name, op.length, op.reverse, carries, (*taken, *given), index, steps, flow.reads_old)


def while_step(flow: Flow, op: WhileLoop) -> Step:
    """Rounds while a condition holds."""
    test = flow.own("test", TensorType(bool_))
    consts, state = flow.operands[: op.consts], state_of(flow.results)
    condition = flow.schedule(op.condition, Interface(consts, (test,), state), f"{flow.name}if.")
    body = flow.schedule(op.body, Interface(consts, (), state), f"{flow.name}do.")
    return WhileStep(op.body.name, test, flow.results, condition, body, flow.reads_old)


def cond_step(flow: Flow, op: Cond) -> Step:
    """One of two branches."""
    test, *given = flow.operands
    interface = Interface(tuple(given), flow.results, {})
    then = flow.schedule(op.then, interface, f"{flow.name}then.")
    otherwise = flow.schedule(op.otherwise, interface, f"{flow.name}else.")
    return CondStep(op.then.name, test, then, otherwise, flow.reads_old)


def state_of(carries: Sequence[Buffer]) -> dict[str, Buffer]:
    """The state of a body that carries what lies in these buffers."""
    return {carry_name(i): buffer for i, buffer in enumerate(carries)}


OPERANDS: Mapping[type[Op], Callable[[Any], Operands]] = {
    Scan: scan_operands,
    WhileLoop: while_operands,
    Cond: cond_operands,
}
STEPS: Mapping[type[Op], Callable[[Flow, Any], Step]] = {Scan: scan_step, WhileLoop: while_step, Cond: cond_step}
