"""Control flow against loops written out in NumPy; its derivatives against centred differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.frontend.names import Names
from graphc.frontend.structure import flatten
from graphc.frontend.trace import TracedEntry, trace_function
from graphc.ir.graph import every_node
from graphc.ir.interp import evaluate, shadow
from graphc.ir.text import parse_graph, print_graph
from graphc.ir.types import TensorType
from graphc.ir.verify import verify
from graphc.ops.contraction import DotGeneral
from graphc.ops.control import Scan
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import native
from graphc.schedule.program import schedule_entry
from tests.compiled import arena_bytes

BOTH = (gr.interpret, gr.jit)


def draw(*shape: int, seed: int = 0) -> Any:
    """Numbers of some shape."""
    return (0.5 * np.random.default_rng((*shape, seed)).normal(size=shape)).astype(np.float32)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def rnn(x: Any, w: Any, u: Any, b: Any, h: Any, **options: Any) -> Any:
    """An Elman network."""

    def step(h: Any, x: Any) -> Any:
        new = gr.tanh(x @ w + h @ u + b)
        return new, h * new

    return gr.scan(step, h, x, **options)


def lstm(x: Any, w: Any, u: Any, b: Any, h: Any, c: Any) -> Any:
    """An LSTM with a dict for its state."""

    def step(carry: Any, x: Any) -> Any:
        i, f, g, o = gr.split(x @ w + carry["h"] @ u + b, 4, axis=1)
        c = gr.sigmoid(f) * carry["c"] + gr.sigmoid(i) * gr.tanh(g)
        return {"h": gr.sigmoid(o) * gr.tanh(c), "c": c}, None

    return gr.scan(step, {"h": h, "c": c}, x)


RNN = (draw(5, 3, 4), draw(4, 6), draw(6, 6), draw(6), draw(3, 6))
LSTM = (draw(4, 2, 3), draw(3, 8), draw(2, 8), draw(8), draw(2, 2), draw(2, 2, seed=1))


def close(got: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Compare nested values."""
    (a, tree), (b, other) = flatten(got), flatten(expected)
    assert tree == other
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("run", BOTH)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_scan_is_a_loop(run: Any, reverse: bool, length: int) -> None:
    x, w, u, b, h = RNN
    x = x[:length]
    ys = np.zeros((length, 3, 6), np.float32)
    state = h
    for t in reversed(range(length)) if reverse else range(length):
        new = np.tanh(x[t] @ w + state @ u + b)
        ys[t], state = state * new, new
    close(run(lambda *args: rnn(*args, reverse=reverse))(x, w, u, b, h), (state, ys))


@pytest.mark.parametrize("run", BOTH)
def test_state_is_any_structure(run: Any) -> None:
    x, w, u, b, h, c = LSTM
    state = {"h": h, "c": c}
    for part in x:
        i, f, g, o = np.split(part @ w + state["h"] @ u + b, 4, axis=1)
        c = sigmoid(f) * state["c"] + sigmoid(i) * np.tanh(g)
        state = {"h": sigmoid(o) * np.tanh(c), "c": c}
    close(run(lstm)(*LSTM), (state, None))


@pytest.mark.parametrize("run", BOTH)
def test_length_alone_says_how_many_rounds(run: Any) -> None:
    def powers(x: Any) -> Any:
        return gr.scan(lambda c, _: ((c[0] * x, [c[1][0] + 1]), {"power": c[0]}), (1.0, [0]), length=4)

    (last, (count,)), ys = run(powers)(np.float32(3))
    assert (last, count, list(ys["power"])) == (81, 4, [1, 3, 9, 27])


@pytest.mark.parametrize("run", BOTH)
def test_rounds_may_ignore_what_they_get(run: Any) -> None:
    x = draw(3, 4)
    close(run(lambda x: gr.scan(lambda c, v: (c, 1.0), x[0], x))(x), (x[0], np.ones(3, np.float32)))
    close(run(lambda x: gr.scan(lambda c, v: (gr.zeros(4), (c, v, x[0])), x[0], x))(x)[1][2], np.stack([x[0]] * 3))


@pytest.mark.parametrize("run", BOTH)
def test_map_is_a_loop_without_state(run: Any) -> None:
    x, w = draw(4, 3), draw(3, 3)
    close(run(lambda x: gr.map(lambda row: (row @ w, gr.sum(row)), x))(x), (x @ w, x.sum(1)))


def test_called_with_arrays_control_flow_is_compiled() -> None:
    x = draw(6)
    total, sums = gr.scan(lambda c, x: (c + x, c + x), np.float32(0), x)
    close((total, sums), (x.sum(), np.cumsum(x)))
    close(gr.cond(np.sum(x) > 100, gr.exp, lambda x: -x, x), -x)
    close(gr.while_loop(lambda x: gr.sum(x) < 50.0, lambda x: x * 2.0, np.float32([1, 2])), np.float32([32, 64]))
    close(gr.map(lambda v: v * v, x), x * x)


@pytest.mark.parametrize("run", BOTH)
def test_loops_nest(run: Any) -> None:
    x = draw(3, 4)

    def outer(total: Any, row: Any) -> Any:
        inner, _ = gr.scan(lambda c, v: (c * 0.5 + v * total, None), 0.0, row)
        count = gr.while_loop(lambda n: n * n < 50.0 + inner, lambda n: n + 1.0, 0.0)
        return total + inner, (inner, gr.cond(inner > 0, lambda: count, lambda: -count))

    total, inners, counts = np.float32(1), [], []
    for row in x:
        inner = np.float32(0)
        for v in row:
            inner = inner * np.float32(0.5) + v * total
        count = np.ceil(np.sqrt(50 + inner))
        inners.append(inner)
        counts.append(count if inner > 0 else -count)
        total = total + inner
    close(run(lambda x: gr.scan(outer, 1.0, x))(x), (total, (np.array(inners), np.array(counts))))


@pytest.mark.parametrize("run", BOTH)
def test_symbolic_lengths(run: Any) -> None:
    def f(x: gr.f32["T", "N"], h: gr.f32["N"]):
        return gr.scan(lambda h, x: (h * 0.5 + x, h), h, x)

    compiled = run(f)
    for length, size in ((0, 3), (1, 1), (7, 5)):
        x, h = draw(length, size), draw(size)
        ys = []
        state = h
        for part in x:
            ys.append(state)
            state = state * np.float32(0.5) + part
        close(compiled(x, h), (state, np.array(ys, np.float32).reshape(length, size)))


# Derivatives

GRADIENTS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "rnn": (rnn, (draw(3, 2, 2), draw(2, 2), draw(2, 2, seed=1), draw(2), draw(2, 2, seed=2))),
    "lstm": (lstm, (draw(3, 1, 2), draw(2, 4), draw(1, 4), draw(4), draw(1, 1), draw(1, 1, seed=1))),
    "backwards": (
        lambda *a: rnn(*a, reverse=True),
        (draw(3, 2, 2), draw(2, 2), draw(2, 2, seed=1), draw(2), draw(2, 2)),
    ),
    "swapped carries": (
        lambda x, a, b: gr.scan(lambda c, x: ((c[1] * x, c[0] + gr.sin(x)), c[0] * c[1]), (a, b), x),
        (draw(4, 2), draw(2), draw(2, seed=1)),
    ),
    "a carry that stays": (
        lambda x, a: gr.scan(lambda c, x: ((c[0], c[1] * c[0] + x), c[1]), (a, a * 2.0), x),
        (draw(3, 2), draw(2)),
    ),
    "integers beside": (
        lambda x, a: gr.scan(lambda c, x: ((c[0] * x, c[1] + 1), c[0] * gr.astype(c[1], gr.f32)), (a, 0), x),
        (draw(3), draw()),
    ),
    "nested": (
        lambda x, w: gr.scan(
            lambda c, row: (gr.scan(lambda d, v: (gr.tanh(d * w + v) + c, None), c, row)[0], c),
            w * 0.5,
            x,
            reverse=True,
        ),
        (draw(2, 3, 2), draw(2)),
    ),
    "cond": (
        lambda x, w: gr.scan(
            lambda c, v: (gr.cond(gr.sum(v) > 0, lambda c: c * w + v, lambda c: c * c * v, c), gr.sum(c)), w, x
        ),
        (draw(4, 2), draw(2)),
    ),
    "checkpoints": (
        lambda x, u, h: gr.scan(lambda h, x: (gr.tanh(h @ u + x), gr.sin(h)), h, x, checkpoint_every=2),
        (draw(5, 1, 2), draw(2, 2), draw(1, 2)),
    ),
    "none": (lambda x: gr.scan(lambda c, x: (c * x, c), 1.0, x), (draw(0),)),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", GRADIENTS)
def test_derivatives_agree_with_differences(name: str, order: int) -> None:
    function, args = GRADIENTS[name]
    assert gr.check_grads(function, *args, order=order).worst < 1e-6


@pytest.mark.parametrize("name", GRADIENTS)
def test_each_pass_keeps_what_derivatives_mean(name: str) -> None:
    function, args = GRADIENTS[name]
    entry = traced(gradient_of(function, len(args)), args)
    after = optimise(entry.graph)
    text = print_graph(after)
    verify(parse_graph(text))
    assert print_graph(parse_graph(text), sites=False) == print_graph(after, sites=False)
    exact = shadow(entry.graph, args, {})
    again = shadow(after, args, {})
    for got, (value, bound), (_, other) in zip(evaluate(after, args, {}).outputs, exact, again, strict=True):
        assert np.all(np.abs(got - value) <= bound + other)
    for a, b in zip(flatten(gr.jit(gradient_of(function, len(args)))(*args))[0], exact, strict=True):
        np.testing.assert_allclose(a, b[0], rtol=1e-4, atol=1e-5)


def gradient_of(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The gradient of the sum of all float results."""

    def loss(*args: Any) -> Any:
        leaves = [leaf for leaf in flatten(function(*args))[0] if leaf.dtype.is_float]
        return sum((gr.sum(gr.sin(leaf)) for leaf in leaves[1:]), gr.sum(gr.sin(leaves[0])))

    return lambda *args: gr.grad(loss, argnums=tuple(range(count)))(*args)


def traced(function: Callable[..., Any], args: tuple[Any, ...]) -> TracedEntry:
    """A function of arrays like these as a graph."""
    types = {f"x{i}": TensorType(gr.f32, a.shape) for i, a in enumerate(args)}
    return trace_function(lambda **named: function(*named.values()), types, "f", Names(), None)


def scans(function: Callable[..., Any], args: tuple[Any, ...]) -> list[Scan]:
    """The scans that are left of a function, outer ones first."""
    nodes = every_node(optimise(traced(function, args).graph))
    return [node.op for node in nodes if isinstance(node.op, Scan)]


def test_the_forward_scan_runs_once_and_weights_are_multiplied_outside_of_loops() -> None:
    forward, backward = scans(gradient_of(lambda *a: lstm(*a)[0]["h"], 4), LSTM)
    for op in (forward, backward):
        assert sum(isinstance(n.op, DotGeneral) for n in op.body.nodes()) == 1  # h·U, and its cotangent by Uᵀ
    assert len(backward.body.updates) == 2  # no weight's gradient is added up round by round
    assert backward.reverse and not forward.reverse


def test_what_nobody_reads_is_not_computed() -> None:
    (op,) = scans(
        lambda x, h: gr.scan(lambda c, x: ((c[0] * x, gr.exp(c[1])), c[1] * x), (h, h), x)[0][0], (draw(3), draw())
    )
    assert [len(op.body.updates), len(op.body.outputs)] == [1, 0]


def test_checkpoints_change_no_value_and_keep_the_carries_of_chunks_alone() -> None:
    x, u, h = draw(9, 2, 3), draw(3, 3), draw(2, 3)
    plain = gr.interpret(lambda x: gr.scan(lambda h, x: (gr.tanh(h @ u + x), h * x), h, x, reverse=True))(x)
    for every in (1, 2, 3, 9, 20):

        def f(x: Any, every: int = every) -> Any:
            return gr.scan(lambda h, x: (gr.tanh(h @ u + x), h * x), h, x, reverse=True, checkpoint_every=every)

        close(gr.interpret(f)(x), plain, 0)


def test_checkpoints_save_memory() -> None:
    x, u = draw(400, 1, 8), draw(8, 8)

    def arena(every: int | None) -> tuple[int, Any]:
        def gradient(x: Any, u: Any) -> Any:
            def loss(u: Any) -> Any:
                h, _ = gr.scan(lambda h, x: (gr.tanh(gr.sin(h @ u) + x), None), x[0], x, checkpoint_every=every)
                return gr.sum(h)

            return gr.grad(loss)(u)

        graph = optimise(traced(gradient, (x, u)).graph)
        return arena_bytes(schedule_entry(graph, {}, native()), {}), gr.jit(gradient)(x, u)

    (plain, expected), (chunked, found) = arena(None), arena(20)
    close(found, expected)
    assert 3 * chunked < plain


# Random numbers, state


def test_random_numbers_differ_from_round_to_round_and_not_with_checkpoints() -> None:
    program = gr.Program("noise")

    def noise(every: int | None) -> Any:
        return gr.scan(lambda c, _: (c, gr.random.uniform((3,))), 0.0, length=7, checkpoint_every=every)[1]

    for every in (None, 3):
        program.entry(named(f"draw_{every}", lambda every=every: noise(every)))
    compiled = program.compile()
    first = compiled.draw_None()
    assert len(np.unique(first)) == 21
    compiled.init(seed=0)
    assert np.array_equal(first, compiled.draw_3())
    program = gr.Program("steps")

    @program.entry
    def walk():
        return gr.while_loop(
            lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] + gr.random.uniform(()) * 10.0 ** -c[0]), (0, 0.0)
        )

    assert program.compile().walk()[0] == 5


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function under another name, without arguments."""

    def call():
        return function()

    call.__name__ = name
    return call


def test_variables_are_read_in_bodies_and_trained_through_them() -> None:
    program = gr.Program("trained")
    w = gr.Variable(np.float32(0.1), name="w")

    @program.entry
    def step(x: gr.f32["T"], target: gr.f32[()]):
        last, _ = gr.scan(lambda h, x: (gr.tanh(h * w + x), None), 0.0, x)
        loss = (last - target) ** 2
        gr_w = gr.gradients(loss, w)
        w.assign(w - 0.5 * gr_w)
        return loss

    compiled = program.compile()
    x = draw(6)
    losses = [float(compiled.step(x, np.float32(0.3))) for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]


# Texts


def test_equal_programs_print_alike() -> None:
    args = GRADIENTS["nested"]
    texts = [print_graph(optimise(traced(gradient_of(*args[:1], 2), args[1]).graph), sites=False) for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_long_scan_is_as_short_as_a_short_one() -> None:
    graphs = [optimise(traced(gradient_of(rnn, 5), (draw(n, 3, 4), *RNN[1:])).graph) for n in (10, 10_000)]
    first, second = ([node.op.mnemonic() for node in every_node(graph)] for graph in graphs)
    assert first == second


def test_values_in_a_body_have_no_number_yet() -> None:
    printed: list[str] = []

    def f(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            printed.append(repr(c + v))
            return c + v, None

        return gr.scan(step, 0.0, x)[0]

    x = draw(3)
    close(gr.interpret(f)(x), x.sum())
    assert printed[0].startswith("f32[] add")
