"""What a graph says of order and of derivatives, beside values: these give operands as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from graphc.ir import build
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import TensorType, TupleType
from graphc.ops.base import Movement, all_batched, expect_arity
from graphc.ops.control import Item


class After(Movement):
    """x, for readers that come after `token` is computed: `after(x, token)`.

    It is another node than x, so that what is computed of it is computed again, then, instead of being kept from the
    first time. Passes leave it alone; in memory it is x.
    """

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 2)
        return operands[0]

    def eval(self, *operands: Array) -> Array:
        return operands[0]

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, None

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(self, all_batched(batched, xs)[0], xs[1])


class Rule(Protocol):
    """How a function that is not differentiated through is differentiated."""

    def vjp(self, cts: Sequence[Node | None], ys: Sequence[Node], xs: Sequence[Node]) -> Sequence[Node | None]:
        """The cotangents of xs from those of ys; None is zero."""
        ...

    def batched(self, which: Sequence[bool]) -> Rule:
        """The rule where all ys and those of xs have one more axis in front."""
        ...


class Custom(Op):
    """The first `count` operands, a tuple, with derivatives of their own with respect to the others: what they are made
    of has none.

    It exists while a function is traced, for `autodiff` to find, and is gone from the trace's result.
    """

    count: int
    rule: Rule

    def infer(self, *operands: TensorType) -> TupleType:
        return TupleType(operands[: self.count])

    def eval(self, *operands: Array) -> Any:
        return operands[: self.count]

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        ys, rest = all_batched(batched, xs)[: self.count], xs[self.count :]
        return build.apply(Custom(self.count, self.rule.batched(batched[self.count :])), *ys, *rest)


def without_rules(node: Node) -> Node:
    """What takes the place of a node once nothing will be differentiated any more."""
    if isinstance(node.op, Item) and isinstance(node.inputs[0].op, Custom):
        return node.inputs[0].inputs[node.op.index]
    return node


ALL = (After,)
