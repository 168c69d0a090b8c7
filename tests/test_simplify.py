"""Structural rules: each one fires on its examples, keeps the values, and leads to the normal form it states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Constant, Input, Node, Scope
from graphc.ir.types import DTYPES, DType, TensorType, bool_, f32, f64, i32, i64, u8, u32
from graphc.ops.base import Elementwise
from graphc.ops.convolution import Conv, ConvInput, ConvKernel
from graphc.ops.logic import Cast
from graphc.ops.movement import Broadcast, Concat, Pad, Reshape, Slice, Transpose
from graphc.ops.reduction import ReduceMax, ReduceSum
from graphc.passes.contract import CONTRACTION, orient
from graphc.passes.convolution import CONVOLUTION
from graphc.passes.fold import FOLDING
from graphc.passes.hoist import HOISTING
from graphc.passes.movement import MOVEMENT
from graphc.passes.rewrite import RuleSet, rewrite
from graphc.passes.simplify import CASTS, is_lossless, simplify

N = symbol("N")
ROWS = 5  # what N is when values are compared

STRUCTURAL = {rule.name: rule for rule in (*FOLDING, *CASTS, *MOVEMENT, *HOISTING, *CONTRACTION, *CONVOLUTION)}


class Draw:
    """A scope whose inputs are numbered, for writing small graphs."""

    def __init__(self) -> None:
        self.scope = Scope()
        self.inputs: list[Node] = []

    def __call__(self, *shape: object, dtype: DType = f64) -> Node:
        name = f"x{len(self.inputs)}"
        self.inputs.append(self.scope.typed(Input(name), TensorType(dtype, shape)))  # type: ignore[arg-type]
        return self.inputs[-1]

    def const(self, *values: float) -> Node:
        return build.array_constant(self.scope, np.array(values, np.float64))


def arrays(graph: Graph) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    shapes = [tuple(ROWS if s == N else s for s in x.type.shape) for x in graph.inputs]
    return [
        (rng.normal(0, 2, s) if x.type.dtype.is_float else rng.integers(0, 2, s)).astype(x.type.dtype.numpy)
        for x, s in zip(graph.inputs, shapes, strict=True)
    ]


def assert_same_values(before: Graph, after: Graph) -> None:
    """Equal up to the order of sums."""
    arguments = arrays(before)
    expectations, results = (evaluate(g, arguments, {}).outputs for g in (before, after))
    for expected, got in zip(expectations, results, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


def reduce_sum(x: Node, *axes: int) -> Node:
    return x.scope.node(ReduceSum(axes), x)


EXAMPLES: list[tuple[str, Callable[[Draw], Node]]] = [
    ("fold_constants", lambda d: build.exp(d.const(1, 2, 3))),
    ("fold_constants", lambda d: build.select(build.lt(d.const(1, 2), d.const(2, 1)), d.const(5, 6), d.const(7, 8))),
    ("fold_constants", lambda d: d.scope.node(Transpose((1, 0)), build.array_constant(d.scope, np.eye(3)[:2]))),
    ("spread_uniform_constant", lambda d: d.const(2, 2, 2)),
    ("drop_cast", lambda d: d.scope.node(Cast(f64), d(N, 3))),
    ("merge_casts", lambda d: build.cast(build.cast(d(N, dtype=f32), f64), f32)),
    ("merge_casts", lambda d: build.cast(build.cast(d(N, dtype=bool_), i32), f32)),
    ("merge_transposes", lambda d: build.transpose(build.transpose(d(N, 3, 4), (1, 2, 0)), (0, 2, 1))),
    ("merge_transposes", lambda d: d.scope.node(Transpose((0, 1)), d(N, 3))),
    ("transpose_below_broadcast", lambda d: build.transpose(build.broadcast(d(3), (N, 3), (1,)), (1, 0))),
    ("transpose_below_broadcast", lambda d: build.transpose(build.broadcast(d(N, 3), (2, N, 3), (1, 2)), (2, 0, 1))),
    ("reshape_from_transpose", lambda d: build.transpose(d(1, N, 1, 3), (1, 0, 3, 2))),
    ("merge_reshapes", lambda d: build.reshape(build.reshape(d(N, 6), (N, 2, 3)), (N * 2, 3))),
    ("merge_reshapes", lambda d: d.scope.node(Reshape((N, 6)), d(N, 6))),
    ("reshape_below_broadcast", lambda d: build.reshape(build.broadcast(d(3), (N, 3), (1,)), (N, 1, 3))),
    ("reshape_below_broadcast", lambda d: build.reshape(build.broadcast(d(1, 3), (N, 1, 3), (1, 2)), (N, 3))),
    ("reshape_below_broadcast", lambda d: build.reshape(build.broadcast(d(), (N, 6), ()), (N, 2, 3))),
    ("merge_broadcasts", lambda d: build.broadcast(build.broadcast(d(3), (4, 3), (1,)), (4, N, 3), (0, 2))),
    ("merge_broadcasts", lambda d: d.scope.node(Broadcast((N, 3), (0, 1)), d(N, 3))),
    ("broadcast_over_reshape", lambda d: build.broadcast(build.reshape(d(N), (N, 1)), (2, N, 1), (1, 2))),
    ("reshape_from_broadcast", lambda d: build.broadcast(d(N), (1, N, 1), (1,))),
    ("squeeze_broadcast", lambda d: build.broadcast(d(1, 3), (N, 1, 3), (1, 2))),
    ("merge_slices", lambda d: build.slice_(build.slice_(d(10), (2,), (9,)), (1,), (6,), (2,))),
    ("merge_slices", lambda d: build.slice_(build.slice_(d(N, 3), (0, 0), (N, 2)), (0, 1), (N - 1, 2))),
    ("merge_slices", lambda d: d.scope.node(Slice((0, 0), (N, 3), (1, 1)), d(N, 3))),
    ("slice_below_broadcast", lambda d: build.slice_(build.broadcast(d(4), (N, 4), (1,)), (1, 1), (N, 4), (1, 2))),
    ("slice_below_concat", lambda d: build.slice_(build.concat([d(N, 3), d(N, 4)], 1), (0, 4), (N, 7))),
    ("slice_below_concat", lambda d: build.slice_(build.concat([d(N, 2), d(3, 2)], 0), (N, 0), (N + 2, 2))),
    ("drop_empty_pad", lambda d: d.scope.node(Pad((0, 0), (0, 0), (0, 0)), d(N, 3), d())),
    ("flatten_concat", lambda d: d.scope.node(Concat(1), d(N, 3))),
    ("flatten_concat", lambda d: build.concat([d(N, 2), d(N, 0), d(N, 3)], 1)),
    ("flatten_concat", lambda d: build.concat([d(N, 0), d(N, 0)], 1)),
    ("flatten_concat", lambda d: build.concat([build.concat([d(N, 1), d(N, 2)], 1), d(N, 3)], 1)),
    ("squeeze_reduction", lambda d: reduce_sum(d(N, 1, 3), 1, 2)),
    ("squeeze_reduction", lambda d: reduce_sum(d(N, 1, 3), 2)),
    ("squeeze_reduction", lambda d: d.scope.node(ReduceSum(()), d(N, 3))),
    ("merge_reductions", lambda d: reduce_sum(reduce_sum(d(2, N, 3, 4), 1, 3), 1)),
    ("merge_reductions", lambda d: build.reduce_max(build.reduce_max(d(2, N, 3), (1,)), (0,))),
    ("reduce_below_transpose", lambda d: reduce_sum(build.transpose(d(2, N, 3, 4), (3, 1, 0, 2)), 1)),
    ("hoist_over_broadcasts", lambda d: build.exp(build.broadcast(d(3), (N, 3), (1,)))),
    ("hoist_over_broadcasts", lambda d: build.broadcast(d(3), (N, 3), (1,)) * build.broadcast(d(), (N, 3), ())),
    ("squeeze_elementwise", lambda d: d(N, 1) * d(N, 1) + 1.0),
    ("read_through_transposes", lambda d: build.dot_general(build.transpose(d(4, N), (1, 0)), d(4, 3), (1,), (0,))),
    ("read_through_transposes", lambda d: build.dot_general(d(N, 4), build.transpose(d(3, 4), (1, 0)), (1,), (0,))),
    ("read_through_transposes",
     lambda d: build.dot_general(build.transpose(d(2, 4, N), (2, 0, 1)), d(4, 2, 3), (2,), (0,), (1,), (1,))),
    ("order_contraction", lambda d: build.dot_general(d(N, 3, 4), d(4, 3, 2), (2, 1), (0, 1))),
    ("squeeze_contraction", lambda d: build.dot_general(d(1, N, 4), d(1, 4, 3), (2,), (1,), (0,), (0,))),
    ("squeeze_contraction", lambda d: build.dot_general(d(N, 1, 4), d(4, 1), (2,), (0,))),
    ("multiply_and_reduce", lambda d: build.dot_general(d(N), d(2, 3), (), ())),
    ("multiply_and_reduce", lambda d: build.dot_general(d(4, N), d(N, 3, 4), (), (), (1,), (0,))),
    ("multiply_and_reduce", lambda d: build.dot_general(d(4, N, 3), d(3, 5, N, 4), (0,), (3,), (2, 1), (0, 2))),
    ("multiply_and_reduce", lambda d: build.dot_general(d(N, 4), d(4), (1,), (0,))),
    ("multiply_and_reduce", lambda d: build.dot_general(d(4), d(4, N, 3), (0,), (0,))),
    ("multiply_and_reduce", lambda d: build.dot_general(d(3, N, 4), d(4, 3), (0, 2), (1, 0))),
    ("multiply_and_reduce", lambda d: build.dot_general(d(3, N, 4), d(3, 4), (2, 0), (1, 0))),
    ("multiply_whole_images", lambda d: build.apply(Conv((2,), (0,), (1,), (1,)), d(N, 3, 2), d(3, 2, 5))),
    ("multiply_whole_images", lambda d: build.apply(Conv((1,), (0,), (3,), (1,)), d(N, 1, 4), d(1, 4, 5))),
    ("spread_whole_images", lambda d: build.apply(ConvInput((1,), (0,), (1,), (3,)), d(N, 1, 4), d(3, 2, 4))),
    ("pair_whole_images", lambda d: build.apply(ConvKernel((1,), (0,), (1,), (3,)), d(N, 3, 2), d(N, 1, 4))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), EXAMPLES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(EXAMPLES)])
def test_structural_rule_fires_and_keeps_values(name: str, make: Callable[[Draw], Node]) -> None:
    draw = Draw()
    root = make(draw)
    draw(N)  # so that an argument tells what N is
    graph = Graph("example", draw.scope, tuple(draw.inputs), (root,))
    once = rewrite(graph, RuleSet([STRUCTURAL[name]]))
    assert once.outputs[0] is not root, "the rule did not fire"
    assert_same_values(graph, once)
    assert_same_values(graph, orient(simplify(graph)))


#: Where a rule must not fire, or not in the simplest way.
TRAPS: dict[str, Callable[[Draw], Node]] = {
    "a slice of a slice with steps": lambda d: build.slice_(build.slice_(d(11), (1,), (11,), (3,)), (1,), (4,), (2,)),
    "free axes of an operand in another order": lambda d: build.dot_general(
        d(N, 4), build.transpose(d(3, 4, 2), (2, 1, 0)), (1,), (1,)
    ),
    "batch axes in different places, read transposed": lambda d: build.transpose(
        build.dot_general(d(2, N, 4), d(4, 3, 2), (2,), (0,), (0,), (2,)), (0, 2, 1)
    ),
    "two batch axes that change places": lambda d: build.transpose(
        build.dot_general(d(2, 3, N, 4), d(3, 2, 4, 5), (3,), (2,), (0, 1), (1, 0)), (1, 0, 3, 2)
    ),
    "rows and columns that mix": lambda d: build.transpose(
        build.dot_general(d(N, 2, 4), d(4, 3), (2,), (0,)), (0, 2, 1)
    ),
    "a batch axis that leaves its place": lambda d: build.transpose(
        build.dot_general(d(2, N, 4), d(2, 4, 3), (2,), (1,), (0,), (0,)), (1, 0, 2)
    ),
    "a slice over two operands of a concatenation": lambda d: build.slice_(
        build.concat([d(N, 3), d(N, 4)], 1), (0, 2), (N, 5)
    ),
    "a concatenation within one along another axis": lambda d: build.concat(
        [build.concat([d(N, 1), d(N, 2)], 1), d(2, 3)], 0
    ),
    "a constant sliced at a symbolic place": lambda d: build.slice_(d.const(*range(20)), (N,), (N + 2,)),
    "broadcasts over different axes": lambda d: (
        build.broadcast(d(3), (3, 3), (0,)) * build.broadcast(d(3), (3, 3), (1,))
    ),
    "an outer product of more axes": lambda d: build.dot_general(d(N, 2), d(3, 2), (), (), (1,), (1,)),
}


@pytest.mark.parametrize("make", TRAPS.values(), ids=TRAPS.keys())
def test_rules_do_not_fall_into_traps(make: Callable[[Draw], Node]) -> None:
    draw = Draw()
    draw(N)
    root = make(draw)
    graph = Graph("trap", draw.scope, tuple(draw.inputs), (root,))
    assert_same_values(graph, simplify(graph))
    assert_same_values(graph, orient(graph))
    assert_same_values(graph, orient(simplify(graph)))


def test_every_structural_rule_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == set(STRUCTURAL)


def normal(make: Callable[[Draw], Node], through: Callable[[Graph], Graph] = simplify) -> tuple[Node, list[Node]]:
    draw = Draw()
    root = make(draw)
    return through(Graph("g", draw.scope, tuple(draw.inputs), (root,))).outputs[0], draw.inputs


def mnemonics(root: Node) -> list[str]:
    return [n.op.mnemonic() for n in Graph("g", root.scope, (), (root,)).nodes() if not isinstance(n.op, Input)]


def test_what_is_not_exact_stays() -> None:
    for make in (lambda x: x * 0.0, lambda x: x + 0.0, lambda x: x - x, lambda x: x / x, lambda x: x * 3.0 / 3.0):
        root, (x,) = normal(lambda d, make=make: make(d(N, 3)))
        assert root is make(x)
    root, (x,) = normal(lambda d: build.pow_(d(N), 0.5))
    assert mnemonics(root) == ["constant", "broadcast", "pow"]


def test_division_by_a_power_of_two_multiplies() -> None:
    root, (x,) = normal(lambda d: d(N, dtype=f32) / 8.0)
    assert root is x * 0.125
    root, (x,) = normal(lambda d: d(N, dtype=f32) / 2.0**-126)
    assert root is x / 2.0**-126, "1 / c would be near the end of the range"


def test_scalar_work_stays_scalar() -> None:
    """The cotangent of a mean: one division on scalars, one broadcast."""

    def mean_gradient(d: Draw) -> Node:
        x = d(N, 3)
        one = build.constant(d.scope, 1.0, f64)
        return build.broadcast(one, (N, 3), ()) / build.broadcast(d(), (N, 3), ()) * x

    root, _ = normal(mean_gradient)
    assert mnemonics(root) == ["constant", "div", "broadcast", "mul"]
    assert not root.inputs[0].inputs[0].type.shape


def test_no_elementwise_work_is_left_on_axes_of_size_one() -> None:
    root, _ = normal(lambda d: build.sum_(build.exp(d(N, 1) - d(N, 1)) * d(N, 1), (0, 1)))
    for node in Graph("g", root.scope, (), (root,)).nodes():
        assert not (isinstance(node.op, Elementwise) and 1 in node.type.shape)
    assert mnemonics(root) == ["reshape", "reshape", "sub", "exp", "reshape", "mul", "reduce_sum"]


def test_a_contraction_only_read_transposed_swaps_its_operands() -> None:
    root, (x, w) = normal(lambda d: build.transpose(build.dot_general(d(N, 4), d(4, 3), (1,), (0,)), (1, 0)), orient)
    assert root is build.dot_general(w, x, (0,), (1,))
    batched = lambda d: build.transpose(  # noqa: E731
        build.dot_general(d(2, N, 4), d(2, 3, 4), (2,), (2,), (0,), (0,)), (0, 2, 1)
    )
    root, (x, w) = normal(batched, orient)
    assert root is build.dot_general(w, x, (2,), (2,), (0,), (0,))


def test_a_contraction_with_another_reader_is_not_computed_twice() -> None:
    draw = Draw()
    dot = build.dot_general(draw(N, 4), draw(4, N), (1,), (0,))
    graph = Graph("g", draw.scope, tuple(draw.inputs), (dot + build.transpose(dot, (1, 0)),))
    assert mnemonics(orient(graph).outputs[0]).count("dot_general") == 1
    graph = Graph("g", draw.scope, tuple(draw.inputs), (dot, build.transpose(dot, (1, 0))))
    assert orient(graph).outputs == graph.outputs


def test_a_dense_layer_with_one_output_becomes_a_row_reduction_without_reshapes_inside() -> None:
    def loss(d: Draw) -> Node:
        error = build.dot_general(d(N, 13), d(13, 1), (1,), (0,)) - d(N, 1)
        return build.sum_(error * error, (0, 1))

    root, _ = normal(loss)
    assert "dot_general" not in mnemonics(root)
    reshaped = [n.inputs[0] for n in Graph("g", root.scope, (), (root,)).nodes() if isinstance(n.op, Reshape)]
    assert all(isinstance(x.op, Input) for x in reshaped), "only arguments are seen under another shape"


@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
@pytest.mark.parametrize("target", DTYPES.values(), ids=str)
def test_lossless_casts_are_those_that_numpy_calls_safe(source: DType, target: DType) -> None:
    safe = np.can_cast(source.numpy, target.numpy, "safe")
    if source in (i64, DTYPES["u64"]) and target == f64:
        safe = False  # NumPy calls 64-bit integers to float64 safe; they round
    assert is_lossless(source, target) == safe


def test_merged_casts_keep_every_value() -> None:
    extremes = {"float": [0.5, -1.5, 300.7, 3e9, -3e9, np.nan, np.inf], "int": [0, -1, 200, 2**31 - 1, -(2**31)],
                "uint": [0, 1, 200, 255], "bool": [False, True]}  # fmt: skip
    for source in (f32, f64, i32, u8, bool_):
        values = np.array(extremes[source.kind]).astype(source.numpy)
        for between in DTYPES.values():
            for target in (f32, f64, i32, i64, u8, u32, bool_):
                scope = Scope()
                x = scope.typed(Input("x"), source[len(values)])
                graph = Graph("g", scope, (x,), (build.cast(build.cast(x, between), target),))
                before, after = (evaluate(g, [values], {}).outputs[0] for g in (graph, simplify(graph)))
                np.testing.assert_array_equal(after, before, f"{source} -> {between} -> {target}")


def test_reductions_over_broadcasts_and_empty_constants_are_left_alone() -> None:
    root, _ = normal(lambda d: reduce_sum(build.broadcast(d(3), (N, 3), (1,)), 0))
    assert mnemonics(root) == ["broadcast", "reduce_sum"]
    root, _ = normal(lambda d: d.scope.node(ReduceMax((0,)), build.array_constant(d.scope, np.zeros((0, 3)))))
    assert isinstance(root.op, (Constant, Broadcast))
