"""Random graphs mean the same before and after every pass, and compiled; their gradients are those of differences."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis.errors import UnsatisfiedAssumption

from graphc import ops
from graphc.codegen.lanes import Lanes
from graphc.errors import InternalError
from graphc.ir.graph import Graph, every_node
from graphc.ir.interp import evaluate
from graphc.ir.node import Array, Node, Op, Read
from graphc.ir.text import parse_graph, print_graph, segments
from graphc.ir.types import DType, TupleType, bf16, f16, f32, f64
from graphc.ops.elementwise import StopGradient
from graphc.ops.reduction import ReduceSum
from graphc.ops.transcendental import Tanh
from graphc.passes import simplify
from graphc.passes.pipeline import PIPELINE, optimise, run_pass
from graphc.passes.rewrite import Rule, RuleSet
from graphc.runtime.targets import target
from graphc.schedule.scheduler import Scheduler
from tests.compiled import run_compiled
from tests.guards import GuardedMemory
from tests.random_graphs import Case, cases, disagreement, numbered

Check = Callable[[Case], None]


@dataclass(frozen=True)
class Many:
    """A check, and how many random graphs of what kind it is made on."""

    check: Check
    graphs: int
    dtypes: tuple[DType, ...] = (f32, f64)
    most: int = 16


def over(check: Check, examples: int, **choices: Any) -> None:
    """Run a check on random graphs, the same ones each time."""
    plain = settings(max_examples=examples, derandomize=True, database=None, deadline=None,
                     suppress_health_check=list(HealthCheck))  # fmt: skip
    plain(given(cases(**choices))(check))()


def search(check: Check, examples: int, **choices: Any) -> None:
    """As `over`, stopping at the first failure without shrinking it."""
    quick = settings(max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
                     suppress_health_check=list(HealthCheck))  # fmt: skip
    quick(given(cases(**choices))(check))()


def check_passes(case: Case) -> None:
    """The interpreter's result is within the bound of the exact one at the start and after every pass."""
    graph = case.graph
    assert disagreement(case, evaluate(graph, case.inputs, case.state)) is None
    for this in PIPELINE:
        graph = run_pass(this, graph, ())
        fault = disagreement(case, evaluate(graph, case.inputs, case.state))
        assert fault is None, f"after {this.name}: {fault}\n{print_graph(graph)}"
    if any(isinstance(n.op, ops.Control) for n in graph.nodes()):
        return  # a body has a scope of its own in each run; once it is simpler, more may leave its loop
    assert optimise(case.graph) == graph
    normal = optimise(case.graph, skip=("matricise",))  # which lowers: its copies are not in normal form
    assert optimise(normal, skip=("matricise",)) == normal, "a second run changes it again"


def check_text(case: Case) -> None:
    """Printed and parsed, it is the same graph."""
    for graph in (case.graph, optimise(case.graph)):
        text = print_graph(graph)
        parsed = parse_graph(text, segments(graph))
        assert print_graph(parsed) == text


def is_single(node: Node) -> bool:
    """Whether there is an f32 in a value: too coarse for differences."""
    items = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    return any(t.dtype == f32 for t in items)


def check_gradients(case: Case) -> None:
    """⟨gradient, v⟩ is the centred difference along v, where two steps agree on what that is (so at no kink)."""
    if any(isinstance(n.op, StopGradient) or is_single(n) for n in every_node(case.graph)):
        reject()
    rng = np.random.default_rng(5)
    slopes = dict(zip(case.parameters, evaluate(*arguments(case)).outputs[-len(case.parameters) :], strict=True))
    direction = {n: rng.normal(0, 1, slopes[n].shape) for n in case.parameters}
    with np.errstate(all="ignore"):
        analytic = sum(float(np.sum(slopes[n] * direction[n])) for n in case.parameters)
        coarse, fine = (difference(case, direction, h) for h in (1e-4, 5e-5))
    scale = max(abs(fine), abs(analytic), 1e-3)
    if not np.isfinite([coarse, fine, analytic]).all() or abs(coarse - fine) > 1e-6 * scale:
        reject()
    assert abs(analytic - fine) <= 1e-4 * scale, f"{analytic} along the direction, differences give {fine}"


def arguments(case: Case) -> tuple[Graph, Sequence[Array], Mapping[str, Array]]:
    return case.graph, case.inputs, case.state


def difference(case: Case, direction: Mapping[Node, Array], step: float) -> float:
    """The centred difference of the loss along a direction."""

    def loss(h: float) -> float:
        pairs = zip(case.graph.inputs, case.inputs, strict=True)
        inputs = [a + h * direction[n] if n in direction else a for n, a in pairs]
        reads = {n.op.variable: d for n, d in direction.items() if isinstance(n.op, Read)}
        state = {name: a + h * reads[name] for name, a in case.state.items()}
        return float(evaluate(case.graph, inputs, state).outputs[0])

    return (loss(step) - loss(-step)) / (2 * step)


def check_compiled(cpu: str) -> Check:
    """Machine code for a CPU, between guard pages, gives the interpreter's result within the bound."""

    def check(case: Case) -> None:
        optimised = optimise(case.graph)
        got = run_compiled(optimised, case.inputs, case.state, target(cpu), GuardedMemory())
        fault = disagreement(case, got)
        assert fault is None, f"compiled for {cpu}: {fault}\n{print_graph(optimised)}"

    return check


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


#: How many graphs the slow run draws for each check.
MANY: dict[str, Many] = {
    "passes": Many(check_passes, 1000),
    "passes of small graphs": Many(check_passes, 2100, most=5),
    "passes of 16-bit floats": Many(check_passes, 900, (f16, bf16), most=8),
    "text": Many(check_text, 2000, most=10),
    "gradients": Many(check_gradients, 3000, (f64,), most=8),
    "gradients of larger graphs": Many(check_gradients, 2500, (f64,)),
    "native": Many(check_compiled("native"), 300, most=8),
    "native, 16-bit floats": Many(check_compiled("native"), 100, (f16, bf16), most=8),
    "x86-64-v3": Many(check_compiled("x86-64-v3"), 260, most=8),
    "x86-64-v2": Many(check_compiled("x86-64-v2"), 150, most=8),
}


def failures(name: str, seeds: range) -> list[str]:
    """What goes wrong on the graphs of some numbers."""
    found = []
    for seed in seeds:
        case = numbered(seed, MANY[name].dtypes, MANY[name].most)
        try:
            MANY[name].check(case)
        except UnsatisfiedAssumption:
            continue
        except Exception as error:
            found.append(f"{name}, graph {seed}: {type(error).__name__}: {error}\n{print_graph(case.graph)}")
    return found


def test_the_slow_run_draws_12_000_graphs() -> None:
    assert sum(many.graphs for many in MANY.values()) >= 12_000


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_many_random_graphs(name: str) -> None:
    """Two processes share the graphs."""
    count = MANY[name].graphs
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = [range(at, min(at + 25, count)) for at in range(0, count, 25)]
        found = [fault for faults in pool.starmap(failures, [(name, p) for p in parts], 1) for fault in faults]
    assert not found, f"{len(found)} of {count}:\n{found[0]}"


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
