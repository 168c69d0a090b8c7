"""Errors of entries and state: assignments, arguments, names and sizes that can't be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, nn
from tests.mistakes import message, traced


def test_an_assignment_outside_an_entry() -> None:
    w = gr.Variable(np.zeros(3, np.float32), name="w")
    assert message(errors.TraceError, lambda: w.assign(1.0)) == (
        "a Variable is assigned outside an entry\n"
        '  variable  w: f32[3]     test.py:1   w = gr.Variable(np.zeros(3, np.float32), name="w")\n'
        "  at test.py:2   assert message(errors.TraceError, lambda: w.assign(1.0)) == (\n"
        '  help: assign inside a function marked with @program.entry, or set compiled.state["name"]'
    )


def test_reading_a_variable_outside_an_entry() -> None:
    w = gr.Variable(np.zeros(3, np.float32), name="w")
    text = message(errors.TraceError, lambda: w + 1)
    assert text.startswith("add outside an entry\n  at test.py:2")


def test_an_assignment_of_another_shape() -> None:
    w = gr.Variable(np.zeros(3, np.float32), name="w")

    def f(x: Any) -> None:
        w.assign(x)

    text = message(errors.ShapeError, traced(f, x=gr.f32[4]))
    assert text.startswith("assign: the Variable is f32[3], the value is f32[4]\n  variable  w:  f32[3]     test.py:1")
    assert "  value  x:  f32[4]" in text and "  at test.py:4   w.assign(x)" in text
    assert "value.astype(gr.f32)" in message(errors.DTypeError, traced(f, x=gr.f64[3]))


def test_state_in_jit() -> None:
    w = gr.Variable(np.zeros(3, np.float32), name="w")
    text = message(errors.TraceError, lambda: gr.jit(lambda x: x + w)(np.zeros(3, np.float32)))
    assert text.startswith("gr.jit has no state")
    text = message(errors.TraceError, lambda: gr.jit(lambda x: x + gr.random.normal((3,)))(np.zeros(3, np.float32)))
    assert "give key=gr.random.key(seed)" in text


def test_an_entry_called_without_a_program() -> None:
    program = gr.Program("p")

    @program.entry
    def predict(x: gr.f32[3]) -> Any:
        return x

    assert "compiled = program.compile(); compiled.predict(" in message(errors.TraceError, lambda: predict(np.ones(3)))


def test_arguments_without_types() -> None:
    text = message(errors.ArgumentError, traced(lambda x: x))
    assert text.startswith("f: the argument 'x' has no type\n  at test.py:1")
    assert '@program.entry(x=gr.f32["N", 64])' in text
    assert "has no argument 'y'" in message(errors.ArgumentError, traced(lambda x: x, x=gr.f32[3], y=gr.f32[3]))


def test_an_annotation_that_names_nothing() -> None:
    def f(x: NoSuchType) -> Any:  # type: ignore[name-defined]
        return x

    assert "say it as a value: @program.entry(x=NoSuchType)" in message(errors.ArgumentError, traced(f))


def test_an_unusable_result() -> None:
    text = message(errors.ArgumentError, traced(lambda x: {"a": x, "b": "text"}, x=gr.f32[3]))
    assert "can't return str" in text
    assert "return tensors, numbers, None" in text


def test_two_entries_of_one_name() -> None:
    program = gr.Program("p")

    @program.entry
    def step(x: gr.f32[3]) -> Any:
        return x

    assert message(errors.ArgumentError, lambda: program.entry(step.function)).startswith(
        "the Program p has two entries named step\n  first  step     test.py:3"
    )


@pytest.mark.parametrize("name", ["init", "state", "_hidden", "étape"])
def test_entry_names_that_are_taken(name: str) -> None:
    def f(x: Any) -> Any:
        return x

    f.__name__ = name
    assert message(errors.ArgumentError, traced(f, x=gr.f32[3])).startswith(f"an entry can't be named {name}")


def test_entries_that_make_one_c_function() -> None:
    program = gr.Program("p")

    @program.entry
    def step(x: gr.f32[3]) -> Any:
        return x

    with pytest.raises(errors.ArgumentError, match="step and step_repeat make C functions of one name"):

        @program.entry
        def step_repeat(x: gr.f32[3]) -> Any:
            return x


def test_arguments_were_made_where_their_function_stands() -> None:
    program = gr.Program("p")

    @program.entry
    def add(x: gr.f32["N"], y: gr.f32["M"]) -> Any:
        return x + y

    with pytest.raises(errors.ShapeError) as caught:
        program.compile()
    lines = [operand.site.line for operand in caught.value.operands if operand.site is not None]
    assert lines == [add.function.__code__.co_firstlineno] * 2


def test_types_with_sizes_that_are_none() -> None:
    for size in (-1, 2.5, None, True, "-1", (3, object())):
        text = message(errors.ShapeError, lambda size=size: gr.f32[size])
        assert "is not a dimension" in text and "at test.py" in text and "help: " in text
    assert gr.f32[np.int64(3)] == gr.f32[3]


def test_trainable_is_settled_by_the_trace() -> None:
    w = gr.Variable(1.0, name="w")
    w.trainable = False
    traced(lambda: w + 1)()
    with pytest.raises(errors.TraceError, match="trainable=True comes too late"):
        w.trainable = True


def test_one_name_for_two_variables() -> None:
    a, b = gr.Variable(1.0, name="w"), gr.Variable(2.0, name="w")
    text = message(errors.ArgumentError, traced(lambda: (a + 1, b + 1)))
    assert text.startswith("the name 'w' is given twice in one Program\n  first  Variable     test.py:1   a, b =")


def test_a_symbolic_parameter() -> None:
    net = nn.Dense(3)
    text = message(errors.ShapeError, lambda: net.build(gr.f32["N", "K"]))
    assert text.startswith("a Variable of symbolic shape (K, 3)\n  at test.py:2")


def test_parameters_before_the_first_trace() -> None:
    net = nn.Sequential(nn.Dense(3), nn.Dense(1))
    text = message(errors.TraceError, lambda: net.parameters())
    assert text == (
        "Dense has no parameters yet: they are made when it is first called\n"
        "  layer  Dense     test.py:1   net = nn.Sequential(nn.Dense(3), nn.Dense(1))\n"
        "  at test.py:2   text = message(errors.TraceError, lambda: net.parameters())\n"
        '  help: build it first: net.build(gr.f32["N", 64])'
    )
