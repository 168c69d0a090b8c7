"""The key of a program in the cache: it differs wherever what is compiled would."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gr
from graphc import init
from graphc.compile import Options, program_key
from graphc.frontend import random
from graphc.frontend.variable import Initial
from graphc.ir.types import TensorType
from graphc.runtime.targets import target

Initials = Callable[[], object]


def key_with(initial: object) -> str:
    """The key of a program with one Variable of an initial value."""
    variable, program = gr.Variable(initial, name="v"), gr.Program("p")  # type: ignore[arg-type]

    @program.entry
    def read() -> gr.Tensor:
        return variable + 0

    return program_key(program.trace(), Options("p", target("native")))


def drawn_by(factor: float) -> Initial:
    """An initial value that only its graph tells from others."""
    return Initial(TensorType(gr.f32, (2,)), lambda key: random.normal((2,), key) * factor)


INITIALS: dict[str, Initials] = {
    "uniform": lambda: init.uniform((2,)),
    "narrower": lambda: init.uniform((2,), high=0.04),
    "normal": lambda: init.normal((2,)),
    "truncated": lambda: init.truncated_normal((2,)),
    "other shape": lambda: init.normal((3,)),
    "other dtype": lambda: init.normal((2,), gr.f64),
    "zero": lambda: init.constant((2,), value=0.0),
    "negative zero": lambda: init.constant((2,), value=-0.0),
    "array": lambda: np.zeros(2, np.float32),
    "array of negative zeros": lambda: -np.zeros(2, np.float32),
    "integers of the same bytes": lambda: np.zeros(2, np.int32),
    "a setting in another type": lambda: init.uniform((2,), high=np.float32(0.25)),  # type: ignore[arg-type]
    "own": lambda: drawn_by(2.0),
    "own, otherwise": lambda: drawn_by(3.0),
}


@pytest.mark.parametrize("name", INITIALS)
def test_equal_initial_values_have_one_key(name: str) -> None:
    assert key_with(INITIALS[name]()) == key_with(INITIALS[name]())


def test_other_initial_values_have_other_keys() -> None:
    keys = {name: key_with(make()) for name, make in INITIALS.items()}
    assert len(set(keys.values())) == len(keys), keys


def test_graphcs_initial_values_are_known_without_tracing_them() -> None:
    assert all(isinstance(init.get(name)((3, 2), gr.f32).recipe(), str) for name in init.NAMED)
    assert drawn_by(2.0).recipe() is None


def test_what_layers_draw_is_known_by_its_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Initial(TensorType(gr.f32, (2,)), init.draw_constant)
    monkeypatch.setattr(init.draw_constant, "__module__", "graphc.nn.weights")
    assert whole.recipe() is None


def test_passes_left_out_make_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = key_with(0.5)
    monkeypatch.setenv("GRAPHC_SKIP", "simplify")
    assert key_with(0.5) != usual
