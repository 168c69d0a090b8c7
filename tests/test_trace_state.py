"""Variables and gradients in a trace: state follows the program's order, derivatives are of values, not of names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from tests.test_frontend import A, compiled_types, run


def test_assignments_take_place_in_order() -> None:
    program = gr.Program("p")
    w = gr.Variable(1.0, name="w")

    @program.entry
    def f() -> Any:
        before = w + 0
        w.assign(w + 1)
        between = w * 10
        w.assign(w * 3)
        return before, between, w

    step = gr.interpret(f)
    assert step() == (1.0, 20.0, 6.0)
    assert step() == (6.0, 70.0, 21.0)
    (entry,) = program.trace().entries
    assert [name for name, _ in entry.graph.updates] == ["w"]
    assert not entry.pure


def test_an_assignment_that_changes_nothing_is_no_update() -> None:
    w = gr.Variable(1.0, name="w")

    def f() -> Any:
        w.assign(w)
        return w

    assert compiled_types(f).pure


def test_gradients_of_a_value_before_its_assignment() -> None:
    program = gr.Program("p")
    w = gr.Variable(3.0, name="w")

    @program.entry
    def f() -> Any:
        loss = w * w
        w.assign(w - 1)
        return gr.gradients(loss, w), gr.gradients(w * w, w)

    assert gr.interpret(f)() == (6.0, 4.0)


def test_variables_are_named_in_order_of_use() -> None:
    a, b = gr.Variable([1.0, 2.0]), gr.Variable(np.zeros(3))
    program = gr.Program("p")

    @program.entry
    def f() -> Any:
        return b.sum(), a.sum()

    assert [(v.name, str(v.type)) for v in program.trace().variables] == [
        ("variable", "f64[3]"),
        ("variable_1", "f32[2]"),
    ]


def test_gradients_keep_the_structure() -> None:
    def f(x: Any) -> Any:
        params = {"w": x * 2, "b": (x + 1, None)}
        loss = gr.sum(params["w"] * params["b"][0])
        return gr.gradients(loss, params)

    found = run(f, A)
    np.testing.assert_array_equal(found["w"], A + 1)
    np.testing.assert_array_equal(found["b"][0], A * 2)
    assert found["b"][1] is None


def test_grad_tells_equal_arguments_apart() -> None:
    product = lambda a, b: gr.sum(a * b * b)  # noqa: E731
    first = run(lambda x: gr.grad(product)(x, x), A)
    np.testing.assert_allclose(first, A**2)
    both = run(lambda x: gr.grad(product, argnums=(0, 1))(x, x), A)
    np.testing.assert_allclose(both[1], 2 * A**2)
    np.testing.assert_allclose(run(lambda x: gr.grad(lambda w: gr.sum(w * x))(x), A), A)
    np.testing.assert_allclose(
        run(gr.grad(lambda x: gr.sum(gr.grad(lambda y: gr.sum(x * y**3))(x))), A), 9 * A**2, 1e-5
    )


def test_grad_of_a_function_that_assigns() -> None:
    program = gr.Program("p")
    w = gr.Variable(np.zeros((2, 3), np.float32), name="w")

    def loss(x: Any) -> Any:
        w.assign(x * 2)
        return gr.sum(w * w)

    @program.entry
    def f(x: gr.f32[2, 3]) -> Any:
        return gr.grad(loss)(x)

    step = gr.interpret(f)
    np.testing.assert_allclose(step(A), 8 * A)
    np.testing.assert_allclose(step.state["w"], 2 * A)


def test_value_and_grad_with_more_results() -> None:
    (value, extra), slope = run(gr.value_and_grad(lambda x: (gr.sum(x * x), {"x": x}), has_aux=True), A)
    assert value == pytest.approx(np.sum(A * A))
    np.testing.assert_array_equal(extra["x"], A)
    np.testing.assert_allclose(slope, 2 * A)


def test_stop_gradient() -> None:
    np.testing.assert_allclose(run(gr.grad(lambda x: gr.sum(x * gr.stop_gradient(x))), A), A)
