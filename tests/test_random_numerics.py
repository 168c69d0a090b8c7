"""On random graphs: a program that checks its numbers finds what a look at each value does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from graphc.ir.interp import evaluate, observed
from graphc.ir.node import Array
from graphc.numerics import Fault, Search
from graphc.passes.check import check
from graphc.passes.pipeline import TIDY, checking, optimise
from graphc.runtime.targets import native
from tests.compiled import run_compiled
from tests.random_graphs import numbered


def spoilt(rng: np.random.Generator, array: Array) -> Array:
    """An array, some with a number that is none."""
    array = np.array(array)
    if array.dtype.kind == "f" and array.size and rng.random() < 0.15:
        array.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return array


def found_bad(graph: Any, kind: Any, inputs: list[Array], state: Mapping[str, Array]) -> bool:
    """Whether the interpreter meets a bad value, looking at each."""
    try:
        with observed(Search(kind)):
            evaluate(graph, inputs, state)
    except Fault:
        return True
    return False


def check_random(seed: int, compiled: bool) -> dict[str, bool]:
    """On a random graph a program finds what a look at each value does, and updates the state if that is nothing."""
    case, rng, found = numbered(seed), np.random.default_rng(seed), {}
    inputs = [spoilt(rng, x) for x in case.inputs]
    state = {name: spoilt(rng, x) for name, x in case.state.items()}
    tidy = optimise(case.graph, pipeline=TIDY)
    plain = evaluate(tidy, inputs, state).updates
    for kind in ("nan", "finite"):
        bad = found[kind] = found_bad(tidy, kind, inputs, state)
        runs = [evaluate(check(tidy, kind), inputs, state)]
        if compiled:
            runs.append(run_compiled(optimise(case.graph, pipeline=checking(kind)), inputs, state, native()))
        for run in runs:
            assert bool(run.outputs[-1]) == bad, (seed, kind)
        for run in runs if bad else runs[:1]:
            for name, value in run.updates.items():
                np.testing.assert_array_equal(value, state[name] if bad else plain[name], err_msg=f"{seed} {kind}")
    return found


def test_random_graphs_find_what_a_look_at_each_value_does() -> None:
    found = [check_random(seed, compiled=seed % 12 == 0) for seed in range(24)]
    assert {f["nan"] for f in found} == {f["finite"] for f in found} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
def test_many_random_graphs_find_what_a_look_at_each_value_does(part: int) -> None:
    for seed in range(100 + 30 * part, 130 + 30 * part):
        check_random(seed, compiled=seed % 3 == 0)
