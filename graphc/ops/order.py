"""What a graph says of order and of derivatives, beside values: each of these is its first operand."""

from __future__ import annotations

from typing import Protocol

from graphc.ir import build
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import TensorType
from graphc.ops.base import Movement, all_batched, expect_arity


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

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        """The cotangents of xs from that of y."""
        ...

    def batched(self, which: tuple[bool, ...]) -> Rule:
        """The rule where y and those of xs have one more axis in front."""
        ...


class Custom(Op):
    """y, with a derivative of its own with respect to xs: `custom(y, *xs)`; what y is made of has none.

    It exists while a function is traced, for `autodiff` to find, and is gone from the trace's result.
    """

    rule: Rule

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[0]

    def eval(self, *operands: Array) -> Array:
        return operands[0]

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return None, *self.rule.vjp(ct, *xs)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(Custom(self.rule.batched(batched[1:])), all_batched(batched, xs)[0], *xs[1:])


def without_rules(node: Node) -> Node:
    """What takes the place of a node once nothing will be differentiated any more."""
    return node.inputs[0] if isinstance(node.op, Custom) else node


ALL = (After,)
