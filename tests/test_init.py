"""Initial values have the distributions that their names promise, in compiled code too."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, init, nn
from graphc.frontend.interpret import initial_state

FANS = (64, 256)


def drawn(make: Any, shape: Any = FANS, seed: int = 0, dtype: Any = gr.f32, name: str = "w") -> Any:
    """A Variable's initial value."""
    program = gr.Program("p")
    w = gr.Variable(make(shape, dtype), name=name)

    @program.entry
    def read() -> Any:
        return w * 1

    return gr.interpret(read, seed=seed)()


@pytest.mark.parametrize(
    "make, limit",
    [
        (init.glorot_uniform, math.sqrt(6 / 320)),
        (partial(init.glorot_uniform, gain="tanh"), 5 / 3 * math.sqrt(6 / 320)),
        (init.he_uniform, math.sqrt(6 / 64)),
        (partial(init.he_uniform, slope=0.5), math.sqrt(6 / 1.25 / 64)),
        (init.lecun_uniform, math.sqrt(3 / 64)),
        (init.torch_uniform, 1 / 8),
        (partial(init.torch_uniform, fan_in=100), 0.1),
        (partial(init.uniform, low=-0.5, high=0.5), 0.5),
        (partial(init.variance_scaling, scale=3.0, mode="fan_out", distribution="uniform"), math.sqrt(9 / 256)),
    ],
)
def test_uniform_values_fill_their_interval(make: Any, limit: float) -> None:
    values = drawn(make)
    assert 0.999 * limit < np.abs(values).max() <= limit
    np.testing.assert_allclose(values.std(), limit / math.sqrt(3), rtol=0.02)


@pytest.mark.parametrize(
    "make, stddev",
    [
        (init.glorot_normal, math.sqrt(2 / 320)),
        (partial(init.glorot_normal, gain=3.0), 3 * math.sqrt(2 / 320)),
        (init.he_normal, math.sqrt(2 / 64)),
        (partial(init.he_normal, slope=0.01), math.sqrt(2 / 1.0001 / 64)),
        (init.lecun_normal, math.sqrt(1 / 64)),
        (partial(init.normal, stddev=0.3), 0.3),
    ],
)
def test_normal_values_have_their_deviation(make: Any, stddev: float) -> None:
    values = drawn(make)
    np.testing.assert_allclose(values.std(), stddev, rtol=0.02)
    assert np.abs(values).max() > 3 * stddev


@pytest.mark.parametrize("make", [init.glorot_normal, init.he_normal, init.lecun_normal])
def test_truncated_values_keep_the_deviation(make: Any) -> None:
    plain, cut = drawn(make), drawn(partial(make, truncated=True))
    np.testing.assert_allclose(cut.std(), plain.std(), rtol=0.03)
    assert np.abs(cut).max() <= 2 * plain.std() / 0.87962566 * 1.02


def test_gains_are_those_of_pytorch() -> None:
    found = [init.gain(a) for a in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")]
    np.testing.assert_allclose(found, [1, 1, 5 / 3, math.sqrt(2), math.sqrt(2 / (1 + 0.01**2)), 0.75])
    assert init.gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 1), (3, 3, 4, 8), (40, 40)])
def test_orthogonal_matrices(shape: Any) -> None:
    for dtype, near in ((gr.f32, 1e-6), (gr.f64, 1e-14), (gr.f16, 3e-3)):
        matrix = drawn(partial(init.orthogonal, gain=2.0), shape, dtype=dtype)
        assert matrix.dtype == dtype.numpy
        matrix = matrix.astype(np.float64).reshape(-1, shape[-1]) / 2
        matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=near)


def test_an_orthogonal_matrix_is_the_decomposition_of_a_normal_one() -> None:
    found = drawn(init.orthogonal, (6, 4), dtype=gr.f64)
    normal = drawn(partial(init.normal, stddev=1.0), (4, 6), dtype=gr.f64).T
    q, r = np.linalg.qr(normal)
    np.testing.assert_allclose(found, q * np.sign(np.diag(r)), rtol=1e-9)


def test_a_large_orthogonal_matrix_is_drawn_in_compiled_code() -> None:
    program = gr.Program("large")
    net = nn.Dense(256, kernel_initializer="orthogonal", name="dense")

    @program.entry
    def run(x: gr.f32["N", 256]) -> Any:
        return net(x)

    compiled = program.compile()
    compiled.init(seed=3)
    kernel = compiled.state["dense/kernel"].astype(np.float64)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(256), atol=1e-6)
    np.testing.assert_allclose(compiled.run(np.eye(256, dtype=np.float32)), kernel, atol=1e-6)
    again = compiled.new_state(seed=3)
    assert bytes(again._state.memory) == bytes(compiled._state.memory)
    assert not np.array_equal(compiled.new_state(seed=4).state["dense/kernel"], kernel)


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: init.orthogonal((3,)), errors.ShapeError, "has no rows and columns"),
        (lambda: init.gain("swoosh"), errors.ArgumentError, "no gain is known for 'swoosh'"),
        (lambda: init.get("he"), errors.ArgumentError, "no initialiser 'he'"),
        (lambda: init.xavier_uniform, errors.MissingNameError, "init.glorot_uniform"),
        (lambda: init.calculate_gain, errors.MissingNameError, "init.gain"),
        (lambda: init.he_norml, errors.MissingNameError, "did you mean init.he_normal"),
    ],
)
def test_what_is_no_initial_value_is_refused(make: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as raised:
        make()
    assert message in str(raised.value) and "test_init.py" in str(raised.value)


def test_initial_values_depend_on_seed_and_name_only() -> None:
    def state(names: list[str], seed: int) -> dict[str, Any]:
        program = gr.Program("p")
        variables = [gr.Variable(gr.init.normal((50,)), name=n) for n in names]

        @program.entry
        def f() -> Any:
            return [v.sum() for v in variables]

        return initial_state(program, seed)

    one, two, other = state(["a", "b"], 0), state(["c", "b", "a"], 0), state(["a"], 1)
    np.testing.assert_array_equal(one["a"], two["a"])
    assert not np.array_equal(one["a"], one["b"]) and not np.array_equal(one["a"], other["a"])


@pytest.mark.parametrize("name", sorted(gr.init.NAMED))
def test_initialisers_have_their_spread(name: str) -> None:
    fan_in, fan_out = 300, 100
    program = gr.Program("p")
    w = gr.Variable(gr.init.get(name)((fan_in, fan_out), gr.f32), name="w")

    @program.entry
    def f() -> Any:
        return w

    expected = {
        "zeros": 0, "ones": 0, "uniform": 0.1 / 12**0.5, "normal": 0.05, "truncated_normal": 0.05 * 0.87962566,
        "glorot": (2 / 400) ** 0.5, "xavier": (2 / 400) ** 0.5, "he": (2 / 300) ** 0.5, "lecun": (1 / 300) ** 0.5,
        "kaiming": (2 / 300) ** 0.5, "torch": (1 / 900) ** 0.5, "orthogonal": (1 / 300) ** 0.5,
    }  # fmt: skip
    values = initial_state(program)["w"]
    assert values.std() == pytest.approx(expected.get(name, expected.get(name.split("_")[0])), rel=0.02)
    assert abs(values.mean()) < 0.01 or name == "ones"
    if name.endswith("_uniform"):
        assert np.abs(values).max() <= 3**0.5 * expected[name.split("_")[0]]
