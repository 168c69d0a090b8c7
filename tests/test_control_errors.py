"""Control flow: mistakes are named at the user's line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.errors import ArgumentError, DTypeError, GradientError, ShapeError, TraceError

X = np.float32([0.3, -0.2, 0.5])

ERRORS: dict[str, tuple[type[Exception], str, Callable[[Any], Any]]] = {
    "shape of a carry": (
        ShapeError,
        r"carry\['h'\] is f32\[\] before a round and f32\[3\] after it",
        lambda x: gr.scan(lambda c, v: ({"h": c["h"] + x}, None), {"h": 0.0}, x),
    ),
    "dtype of a carry": (
        DTypeError,
        r"carry is i32\[\] before a round and f32\[\] after it",
        lambda x: gr.scan(lambda c, v: (c + v, None), 0, x),
    ),
    "structure of a carry": (
        ArgumentError,
        "another structure",
        lambda x: gr.scan(lambda c, v: ((c, c), None), 0.0, x),
    ),
    "no pair": (ArgumentError, r"gives no pair \(carry, y\)", lambda x: gr.scan(lambda c, v: c + v, 0.0, x)),
    "lengths": (
        ShapeError,
        r"xs\[1\] has 2 slices, expected 3",
        lambda x: gr.scan(lambda c, v: (c, None), 0.0, (x, x[:2])),
    ),
    "length": (ShapeError, "xs has 3 slices, expected 4", lambda x: gr.scan(lambda c, v: (c, None), 0.0, x, length=4)),
    "no length": (ArgumentError, "how many rounds", lambda x: gr.scan(lambda c, v: (c, None), x)),
    "negative length": (ArgumentError, "length is -1", lambda x: gr.scan(lambda c, v: (c, None), x, length=-1)),
    "a length of floats": (ArgumentError, "length is 2.5", lambda x: gr.scan(lambda c, v: (c, None), x, length=2.5)),
    "no axis": (ShapeError, "no axis", lambda x: gr.scan(lambda c, v: (c, None), x, x[0])),
    "chunks": (
        ArgumentError,
        "checkpoint_every is 0",
        lambda x: gr.scan(lambda c, v: (c, None), 0.0, x, checkpoint_every=0),
    ),
    "no function": (ArgumentError, "takes a function", lambda x: gr.scan(3, 0.0, x)),
    "a predicate of floats": (DTypeError, "not a bool scalar", lambda x: gr.cond(x[0], gr.exp, gr.log, x)),
    "many predicates": (ShapeError, "not a bool scalar", lambda x: gr.cond(x > 0, gr.exp, gr.log, x)),
    "branches' types": (
        ShapeError,
        r"result is f32\[3\] of one branch and f32\[\] of the other",
        lambda x: gr.cond(x[0] > 0, gr.exp, gr.sum, x),
    ),
    "branches' structures": (
        ArgumentError,
        "different structures",
        lambda x: gr.cond(x[0] > 0, lambda x: (x, x), lambda x: x, x),
    ),
    "a condition of floats": (DTypeError, "not a bool scalar", lambda x: gr.while_loop(lambda c: c, lambda c: c, x[0])),
    "carry of while": (ShapeError, "carry is", lambda x: gr.while_loop(lambda c: gr.sum(c) > 0, lambda c: c[0], x)),
    "gradient of while": (
        GradientError,
        "while_loop has no reverse derivative",
        lambda x: gr.grad(lambda x: gr.while_loop(lambda c: c < 9.0, lambda c: c * 2.0, x))(x[0]),
    ),
    "truth value": (TraceError, "gr.cond", lambda x: 1 if x[0] > 0 else 2),
}


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes_are_named_at_the_users_line(name: str) -> None:
    kind, message, function = ERRORS[name]
    with pytest.raises(kind, match=message) as caught:
        gr.jit(function)(X)
    assert "test_control_errors.py" in str(caught.value)


def test_assignment_in_a_body_says_to_make_it_a_carry() -> None:
    program = gr.Program("assigned")
    w = gr.Variable(0.0, name="w")

    @program.entry
    def step(x: gr.f32[3]):
        def body(c: Any, v: Any) -> Any:
            w.assign(w + v)
            return c, None

        return gr.scan(body, 0.0, x)[0]

    with pytest.raises(TraceError, match="a Variable is assigned in a body") as caught:
        program.compile()
    assert "make it a carry" in str(caught.value) and "test_control_errors.py" in str(caught.value)
