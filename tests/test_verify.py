"""The verifier accepts what tracing makes and names the node of every planted corruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from graphc import ops
from graphc.autodiff import gradients
from graphc.errors import InternalError, Site
from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Input, Node, Read, Scope
from graphc.ir.types import TensorType, f32, f64
from graphc.ir.verify import verify

N = symbol("N")


def step() -> Graph:
    """A small training step."""
    scope = Scope()
    x = scope.typed(Input("x"), f32[N, 4])
    w = scope.typed(Read("w"), f32[4, 2])
    y = build.tanh(build.dot_general(x, w, (1,), (0,)))
    loss = build.sum_(y, (0, 1))
    return Graph("step", scope, (x,), (loss,), (("w", w - gradients(loss, [w])[0]),))


def test_a_traced_step_is_well_formed() -> None:
    verify(step())


def with_output(make: Callable[[Graph], Node]) -> Callable[[Graph], Graph]:
    """The corruption that returns one more node."""
    return lambda graph: replace(graph, outputs=(*graph.outputs, make(graph)))


def foreign(graph: Graph) -> Node:
    return Scope().typed(Read("w"), f32[4, 2])


def mistyped(graph: Graph) -> Node:
    return graph.scope.typed(ops.Tanh(), f32[N, 5], graph.inputs[0])


def ill_typed(graph: Graph) -> Node:
    return graph.scope.typed(ops.Add(), f32[N, 4], graph.inputs[0], build.cast(graph.inputs[0], f64))


def younger_operand(graph: Graph) -> Node:
    x = graph.inputs[0]
    return Node(ops.Neg(), (build.exp(x),), x.type, graph.scope, x.serial)


def other_read(graph: Graph) -> Node:
    return graph.scope.typed(Read("w"), f32[4, 3])


def stray_input(graph: Graph) -> Node:
    return graph.scope.typed(Input("z"), f32[4])


def short_constant(graph: Graph) -> Node:
    return graph.scope.typed(Constant(b"\0\0\0"), TensorType(f32))


def symbolic_constant(graph: Graph) -> Node:
    return graph.scope.typed(Constant(b"\0\0\0\0"), f32[N])


def unbound_symbol(graph: Graph) -> Node:
    return build.constant(graph.scope, 1.0, f32, (symbol("M"),))


def unbound_attribute(graph: Graph) -> Node:
    return graph.scope.node(ops.SizeOf(f32, symbol("M")))


def contradicting_symbol(graph: Graph) -> Node:
    return build.constant(graph.scope, 1.0, f32, (symbol("N", min=1),))


def leaf_with_operands(graph: Graph) -> Node:
    return graph.scope.typed(Read("w"), f32[4, 2], graph.inputs[0])


def twice_the_input(graph: Graph) -> Graph:
    return replace(graph, inputs=graph.inputs * 2)


def two_of_a_name(graph: Graph) -> Graph:
    return replace(graph, inputs=(*graph.inputs, graph.scope.typed(Input("x"), f32[3])))


def no_input(graph: Graph) -> Graph:
    return replace(graph, inputs=(graph.outputs[0],))


def two_updates(graph: Graph) -> Graph:
    return replace(graph, updates=graph.updates * 2)


def other_update(graph: Graph) -> Graph:
    return replace(graph, updates=(("w", graph.outputs[0]),))


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (with_output(foreign), "another scope"),
        (with_output(mistyped), r"tanh\(%0\) should be f32\[N,4\]"),
        (with_output(ill_typed), "does not type: add: dtypes differ"),
        (with_output(younger_operand), "is older than its operand"),
        (with_output(other_read), "reads a Variable that is"),
        (with_output(stray_input), "not among the graph's inputs"),
        (with_output(short_constant), "does not have the bytes"),
        (with_output(symbolic_constant), "the bytes of its type"),
        (with_output(unbound_symbol), "uses the dimension M"),
        (with_output(unbound_attribute), "uses the dimension M"),
        (with_output(contradicting_symbol), "uses the dimension N"),
        (with_output(leaf_with_operands), "a leaf with operands"),
        (twice_the_input, "is an input twice"),
        (two_of_a_name, "the name of another input"),
        (no_input, "is no Input"),
        (two_updates, "updates w a second time"),
        (other_update, r"updates w, which is f32\[4,2\]"),
    ],
)
def test_a_planted_corruption_is_named(corrupt: Callable[[Graph], Graph], message: str) -> None:
    with pytest.raises(InternalError, match=message):
        verify(corrupt(step()))


def test_a_fault_names_the_users_line() -> None:
    graph = step()
    with graph.scope.at(Site("model.py", 7)):
        node = mistyped(graph)
    with pytest.raises(InternalError, match=r"model\.py:7"):
        verify(replace(graph, outputs=(node,)))
