"""Updates of state made of views of it, compiled: nothing is overwritten before it was read for the last time."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir.interp import evaluate
from graphc.ir.types import f64
from graphc.passes.pipeline import optimise
from graphc.schedule.scheduler import Scheduler
from tests.compiled import CompiledGraph
from tests.guards import GuardedMemory
from tests.random_state import SHAPES, random_updates

TYPES = {f"v{i}": f64[shape] for i, shape in enumerate(SHAPES)}


def check(number: int) -> None:
    """The graph of a number gives what the interpreter says, with the passes and without, twice in a row."""
    rng = np.random.default_rng(number)
    graph = random_updates(number)
    inputs = [rng.normal(size=(8, 8)), rng.integers(0, 8, 64).astype(np.int32)]
    for compiled in (graph, optimise(graph)):
        code = CompiledGraph(compiled, TYPES)
        state = {name: rng.normal(size=t.shape) for name, t in TYPES.items()}
        for _ in range(2):
            expected, got = evaluate(graph, inputs, state), code(inputs, state, GuardedMemory())
            for a, b in zip(got.outputs, expected.outputs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"graph {number}")
            for name, value in expected.updates.items():
                np.testing.assert_allclose(got.updates[name], value, rtol=1e-9, atol=1e-9, err_msg=f"{number}: {name}")
            state |= got.updates


@pytest.mark.parametrize("number", range(16))
def test_random_updates_of_state(number: int) -> None:
    check(number)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [range(16, 120), range(120, 240)], ids=str)
def test_many_random_updates_of_state(numbers: range) -> None:
    for number in numbers:
        check(number)


def test_an_update_before_its_readers_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "readers_of", lambda self, name: [])
    monkeypatch.setenv("GRAPHC_VERIFY", "0")
    with pytest.raises(AssertionError, match="Not equal"):
        for number in range(16):
            check(number)
