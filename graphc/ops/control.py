"""Control flow: ops whose attributes are graphs. They give several results, which `Item` takes out one by one.

A body is a graph in a scope of its own. All that it uses from outside is an operand of the op. What a loop carries from
round to round is its body's state: `Read("carry.0")`, … are the values before the round, the updates those after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import build
from graphc.ir.dim import Size, maximum
from graphc.ir.graph import Graph
from graphc.ir.node import Array, Node, Op, Read
from graphc.ir.types import TensorType, TupleType, bool_, i64
from graphc.ops.base import numbers

CARRY = "carry."


def carry_name(index: int) -> str:
    """The Variable, in a body, that a carry is."""
    return f"{CARRY}{index}"


class Control(Op):
    """An op that runs bodies; its result is a tuple."""

    narrow: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TupleType:
        """The types of the results; raises `ShapeError` where bodies and operands do not fit."""
        raise NotImplementedError

    def eval(self, *operands: Array) -> Any:
        """The results, a tuple of arrays."""
        raise NotImplementedError


class Item(Op):
    """One result of a control node."""

    index: int

    narrow: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not isinstance(x, TupleType) or not 0 <= self.index < len(x.items):
            raise ShapeError(f"item: {x} has no item {self.index}")
        return x.items[self.index]

    def eval(self, *operands: Any) -> Array:
        return np.asarray(operands[0][self.index])

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.item(xs[0], self.index)


class Pack(Op):
    """Nodes as a tuple: what a rule gives that has several results. `build.item` takes them out, so it never stays."""

    narrow: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TupleType:
        return TupleType(operands)

    def eval(self, *operands: Array) -> Any:
        return operands


class Scan(Control):
    """Runs its body `length` times, on slices of its last operands: round t on slice t, backwards where `reverse`.

    Operands: `consts` constants, the first values of the carries, arrays to slice along axis 0. The body's inputs: the
    constants, the slices, and where `indexed` the i64 number of the round. Results: the last carries, then the body's
    outputs of all rounds, stacked in the order of t.
    """

    body: Graph
    consts: int
    length: Size
    reverse: bool
    indexed: bool
    checkpoint: bool = False  # whether derivatives keep nothing but the carries of each round, and compute all anew

    @property
    def carries(self) -> int:
        """How many values go from round to round."""
        return len(self.body.updates)

    @property
    def slices(self) -> int:
        """How many arrays the rounds take slices of."""
        return len(self.body.inputs) - self.consts - self.indexed

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """What belongs to the operands: to the constants, to the first carries, to the arrays that are sliced."""
        after = self.consts + self.carries
        return list(values[: self.consts]), list(values[self.consts : after]), list(values[after:])

    def infer(self, *operands: TensorType) -> TupleType:
        consts, carries, xs = self.split(operands)
        parts = [x.with_shape(x.shape[1:]) for x in xs]
        if any(not x.shape or x.shape[0] != self.length for x in xs):
            raise ShapeError(f"scan: {self.length} rounds over {', '.join(map(str, xs))}")
        expect_inputs(self, self.body, [*consts, *parts] + [TensorType(i64)] * self.indexed)
        expect_carries(self, self.body, carries)
        stacked = [o.type.with_shape((self.length, *o.type.shape)) for o in self.body.outputs]
        return TupleType((*carries, *stacked))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.length * self.body.work()

    def eval(self, *operands: Array) -> Any:
        consts, carries, xs = self.split(operands)
        (length,) = numbers((self.length,))
        shapes = [(length, *numbers(o.type.shape)) for o in self.body.outputs]
        ys = [np.zeros(shape, o.type.dtype.numpy) for shape, o in zip(shapes, self.body.outputs, strict=True)]
        for t in reversed(range(length)) if self.reverse else range(length):
            index = [np.asarray(t, np.int64)] * self.indexed
            results, carries = run(self.body, [*consts, *(x[t] for x in xs), *index], carries)
            for y, result in zip(ys, results, strict=True):
                y[t] = result
        return *carries, *ys


class WhileLoop(Control):
    """Runs its body as long as the condition gives true. Operands: constants, which both take, and the first carries.

    The condition's one output is a bool scalar; it reads the carries as the body does. Results: the last carries.
    """

    condition: Graph
    body: Graph

    @property
    def consts(self) -> int:
        """How many operands are the same in each round."""
        return len(self.body.inputs)

    def infer(self, *operands: TensorType) -> TupleType:
        consts, carries = operands[: self.consts], operands[self.consts :]
        expect_inputs(self, self.body, consts)
        expect_inputs(self, self.condition, consts)
        expect_carries(self, self.body, carries)
        if [n.type for n in self.condition.outputs] != [TensorType(bool_)]:
            raise ShapeError("while_loop: the condition is not one bool scalar")
        return TupleType(tuple(carries))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.condition.work() + self.body.work()  # of one round

    def eval(self, *operands: Array) -> Any:
        consts, carries = operands[: self.consts], list(operands[self.consts :])
        while run(self.condition, consts, carries)[0][0]:
            _, carries = run(self.body, consts, carries)
        return tuple(carries)


class Cond(Control):
    """Runs one of two bodies. Operands: a bool scalar, and what both bodies take; results: the body's outputs."""

    then: Graph
    otherwise: Graph

    def infer(self, *operands: TensorType) -> TupleType:
        test, *rest = operands
        if test != TensorType(bool_):
            raise ShapeError(f"cond: the predicate is {test}, not a bool scalar")
        expect_inputs(self, self.then, rest)
        expect_inputs(self, self.otherwise, rest)
        results = [tuple(n.type for n in body.outputs) for body in (self.then, self.otherwise)]
        if results[0] != results[1]:
            raise ShapeError(f"cond: the branches give {results[0]} and {results[1]}")
        return TupleType(results[0])

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return maximum(self.then.work(), self.otherwise.work())

    def eval(self, *operands: Array) -> Any:
        test, *rest = operands
        return tuple(run(self.then if test else self.otherwise, rest, ())[0])


def run(body: Graph, inputs: Sequence[Array], carries: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """A body's outputs, and the new carries."""
    from graphc.ir.interp import evaluate_body  # a program that only compiles starts faster without it

    return evaluate_body(body, inputs, {carry_name(i): value for i, value in enumerate(carries)})


def reads(body: Graph) -> Iterator[tuple[Node, int]]:
    """The nodes of a body that read carries, and which."""
    for node in body.nodes():
        if isinstance(node.op, Read):
            yield node, int(node.op.variable.removeprefix(CARRY))


def expect_inputs(op: Op, body: Graph, types: Sequence[TensorType]) -> None:
    """Raise `ShapeError` unless a body takes these types."""
    if [n.type for n in body.inputs] != list(types):
        given = ", ".join(map(str, types))
        raise ShapeError(f"{op.mnemonic()}: {body.name} takes {[n.type for n in body.inputs]}, not {given}")


def expect_carries(op: Op, body: Graph, types: Sequence[TensorType]) -> None:
    """Raise `ShapeError` unless a body carries these types."""
    names = [carry_name(i) for i in range(len(types))]
    if [(name, n.type) for name, n in body.updates] != list(zip(names, types, strict=True)):
        raise ShapeError(f"{op.mnemonic()}: {body.name} carries {[n.type for _, n in body.updates]}, not {types}")


ALL = (Scan, WhileLoop, Cond, Item, Pack)
