"""Random graphs mean the same before and after every pass, and compiled; their gradients are those of differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphc import ops
from graphc.codegen.lanes import Lanes
from graphc.errors import InternalError
from graphc.ir.node import Op
from graphc.ir.types import bf16, f16, f64
from graphc.ops.reduction import ReduceSum
from graphc.ops.transcendental import Tanh
from graphc.passes import simplify
from graphc.passes.rewrite import Rule, RuleSet
from graphc.schedule.scheduler import Scheduler
from tests.graph_checks import MANY, check_compiled, check_gradients, check_passes, check_text, failures, over, search


def test_passes_keep_the_meaning_of_random_graphs() -> None:
    over(check_passes, 100)


def test_random_graphs_hold_every_primitive() -> None:
    met: set[type[Op]] = set()
    over(lambda case: met.update(type(n.op) for n in case.graph.nodes()), 300)
    assert {*ops.ALL, *ops.CONTROL} - {ops.Pack} <= met


def test_random_graphs_print_and_parse() -> None:
    over(check_text, 30)


def test_gradients_of_random_graphs_are_those_of_differences() -> None:
    over(check_gradients, 60, dtypes=(f64,))


@pytest.mark.parametrize(("cpu", "examples"), [("native", 24), ("x86-64-v3", 10), ("x86-64-v2", 6)])
def test_random_graphs_compile_to_their_meaning(cpu: str, examples: int) -> None:
    over(check_compiled(cpu), examples)


@pytest.mark.parametrize(("cpu", "examples"), [("native", 6), ("x86-64-v3", 4), ("x86-64-v2", 3)])
def test_random_graphs_of_16_bit_floats_keep_their_meaning(cpu: str, examples: int) -> None:
    over(check_passes, examples, dtypes=(f16, bf16))
    over(check_compiled(cpu), examples, dtypes=(f16, bf16))


def test_the_slow_run_is_of_20_000_graphs() -> None:
    assert sum(many.graphs * many.suited for many in MANY.values()) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "numbers"),
    [pytest.param(name, part, id=f"{name}-{part[0]}") for name, many in MANY.items() for part in many.parts()],
)
def test_many_random_graphs(name: str, numbers: range) -> None:
    suiting, found = failures(name, numbers)
    assert not found, f"{len(found)} of {len(numbers)}\n" + "\n".join(found)
    assert suiting >= MANY[name].suited * len(numbers)


@pytest.mark.parametrize(
    "wrong",
    [
        Rule("add_is_sub", lambda x, y: x + y, lambda x, y: x - y, kinds=("float",)),
        Rule("drop_factor", lambda x, c: x * c, lambda x, c: x, kinds=("float",), constants=("c",)),
        Rule("slightly_off", lambda x, y: x - y, lambda x, y: x + y * -1.00001, kinds=("float",)),
    ],
    ids=lambda r: r.name,
)
def test_a_planted_wrong_rewrite_is_caught(wrong: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = RuleSet((*simplify.RULES, wrong))
    monkeypatch.setattr(simplify, "simplifying_rules", lambda skip: rules)
    with pytest.raises(AssertionError, match="after simplify: result"):
        search(check_passes, 50)


def test_a_planted_wrong_vjp_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tanh, "vjp", lambda self, ct, y, x: (ct * (1.0 - y),))
    with pytest.raises(AssertionError, match="along the direction"):
        search(check_gradients, 50, dtypes=(f64,))


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (Tanh, "emit", lambda self, e, x: e.tanh(e.mul(x, e.constant(1.0001)))),
        (ReduceSum, "combine", lambda self, e, acc, x: e.max(acc, x)),
        (Lanes, "select", lambda self, condition, x, y: y),
    ],
    ids=["tanh", "sum", "select"],
)
def test_a_planted_miscompile_is_caught(
    owner: type, name: str, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError, match="compiled for native"):
        search(check_compiled("native"), 50)


def test_a_value_that_is_written_too_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the edges that put an update after the readers of the old value."""
    monkeypatch.setattr(Scheduler, "readers_of", lambda self, name: [])
    with pytest.raises((AssertionError, InternalError), match=r"compiled for native|kernel writes|after its update"):
        search(check_compiled("native"), 200)
