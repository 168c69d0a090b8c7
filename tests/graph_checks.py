"""What is checked on random graphs: `python -m tests.graph_checks native 17` makes the check "native" on graph 17.

Every stage of the compiler checks its result, as in all tests.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, reject, settings

from graphc import ops
from graphc.autodiff import forward
from graphc.ir.graph import Graph, every_node
from graphc.ir.interp import Evaluation, evaluate
from graphc.ir.node import Array, Input, Node, Read
from graphc.ir.text import parse_graph, print_graph, segments
from graphc.ir.types import DType, TupleType, bf16, f16, f32, f64
from graphc.ops.elementwise import StopGradient
from graphc.passes.pipeline import PIPELINE, optimise, run_pass
from graphc.runtime.targets import native, target
from graphc.vectorise import batch
from tests.compiled import run_compiled
from tests.guards import GuardedMemory
from tests.random_graphs import Case, cases, disagreement, numbered, values

Check = Callable[[Case], None]
Run = Callable[[Graph, Sequence[Array], Mapping[str, Array]], Evaluation]

#: How often a graph is repeated for `vmap`.
COPIES = 3


class Unsuited(Exception):
    """A graph on which a check says nothing."""


def over(check: Check, examples: int, **choices: Any) -> None:
    """Make a check on random graphs, the same ones each time."""
    plain = settings(max_examples=examples, derandomize=True, database=None, deadline=None,
                     suppress_health_check=list(HealthCheck))  # fmt: skip
    plain(given(cases(**choices))(suited(check)))()


def search(check: Check, examples: int, **choices: Any) -> None:
    """As `over`, stopping at the first failure without shrinking it."""
    quick = settings(max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
                     suppress_health_check=list(HealthCheck))  # fmt: skip
    quick(given(cases(**choices))(suited(check)))()


def suited(check: Check) -> Check:
    """A check for hypothesis, which draws another graph where one is unsuited."""

    def checked(case: Case) -> None:
        try:
            check(case)
        except Unsuited:
            reject()

    return checked


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
        raise Unsuited
    rng = np.random.default_rng(5)
    slopes = dict(zip(case.parameters, evaluate(*arguments(case)).outputs[-len(case.parameters) :], strict=True))
    direction = {n: rng.normal(0, 1, slopes[n].shape) for n in case.parameters}
    with np.errstate(all="ignore"):
        analytic = sum(float(np.sum(slopes[n] * direction[n])) for n in case.parameters)
        coarse, fine = (difference(case, direction, h) for h in (1e-4, 5e-5))
    scale = max(abs(fine), abs(analytic), 1e-3)
    if not np.isfinite([coarse, fine, analytic]).all() or abs(coarse - fine) > 1e-6 * scale:
        raise Unsuited
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


def mapped(case: Case) -> tuple[Graph, list[tuple[Array, ...]]]:
    """The graph over an axis in front of every other input, and the arguments of each copy. Results are outputs."""
    rng = np.random.default_rng(11)
    graph, scope = case.graph, case.graph.scope
    stacks = {n: scope.typed(Input(f"{n.op.name}_all"), n.type.with_shape((COPIES, *n.type.shape)))
              for n in graph.inputs[::2] if isinstance(n.op, Input)}  # fmt: skip
    outputs = batch(graph.roots, stacks, COPIES)
    copies = [
        tuple(
            values(rng, n.type.bind(case.sizes)) if n in stacks else x
            for n, x in zip(graph.inputs, case.inputs, strict=True)
        )
        for _ in range(COPIES)
    ]
    inputs = tuple(stacks.get(n, n) for n in graph.inputs)
    return Graph("mapped", scope, inputs, tuple(outputs)), copies


def check_vmap(case: Case) -> None:
    """Each index of the vectorised graph is the graph at that index's arguments."""
    check_copies(case, evaluate)


def check_compiled_vmap(case: Case) -> None:
    """As `check_vmap`, in machine code."""
    check_copies(case, lambda graph, inputs, state: run_compiled(graph, inputs, state, native()))


def check_copies(case: Case, run: Run) -> None:
    graph, copies = mapped(case)
    pairs = zip(graph.inputs, case.graph.inputs, strict=True)
    stacked = [
        np.stack([copy[i] for copy in copies]) if new is not old else case.inputs[i]
        for i, (new, old) in enumerate(pairs)
    ]
    graph = optimise(graph)
    got = run(graph, stacked, case.state)
    for index, copy in enumerate(copies):
        rows = tuple(output[index] for output in got.outputs)
        fault = disagreement(replace(case, inputs=copy), Evaluation(rows, {}))
        assert fault is None, f"index {index}: {fault}\n{print_graph(case.graph)}"


def check_forward(case: Case) -> None:
    """The loss's forward derivative along v is ⟨gradient, v⟩."""
    graph, scope = case.graph, case.graph.scope
    if any(n.type.dtype == f32 for n in graph.nodes()):
        raise Unsuited  # the two round differently
    tangents = {n: scope.typed(Input(f"tangent{i}"), n.type) for i, n in enumerate(case.parameters)}
    (along,) = forward(graph.outputs[:1], tangents)
    count = len(case.parameters)
    slopes: Sequence[Node] = graph.outputs[len(graph.outputs) - count :]
    both = Graph("both", scope, (*graph.inputs, *tangents.values()), (along, *slopes))
    rng = np.random.default_rng(5)
    given = dict(zip(graph.inputs, case.inputs, strict=True))
    given |= {n: case.state[n.op.variable] for n in case.parameters if isinstance(n.op, Read)}
    vs = [rng.normal(size=given[n].shape) for n in case.parameters]
    got, *gradient = evaluate(both, [*case.inputs, *vs], case.state).outputs
    with np.errstate(all="ignore"):
        expected = sum(float(np.sum(g * v)) for g, v in zip(gradient, vs, strict=True))
        size = sum(float(np.sum(np.abs(g * v))) for g, v in zip(gradient, vs, strict=True))
    if not np.isfinite([float(got), expected, size]).all():
        raise Unsuited
    assert abs(float(got) - expected) <= 1e-9 * max(1.0, size), f"{got}, not {expected}\n{print_graph(graph)}"


@dataclass(frozen=True)
class Many:
    """A check, the numbers of the graphs that the slow run makes it on, and of what kind these are."""

    check: Check
    graphs: int
    dtypes: tuple[DType, ...] = (f32, f64)
    most: int = 16
    #: How many graphs one test takes: some seconds' worth.
    part: int = 250
    #: Which share of them the check says something about, at least.
    suited: float = 1.0

    def case(self, number: int) -> Case:
        """The graph of a number."""
        return numbered(number, self.dtypes, self.most)

    def parts(self) -> Iterator[range]:
        """The numbers, in parts."""
        for start in range(0, self.graphs, self.part):
            yield range(start, min(start + self.part, self.graphs))


MANY: dict[str, Many] = {
    "passes": Many(check_passes, 1000, part=100),
    "passes-small": Many(check_passes, 4400, most=5),
    "passes-narrow": Many(check_passes, 1000, (f16, bf16), most=8),
    "text": Many(check_text, 1500, most=10),
    "gradients": Many(check_gradients, 6000, (f64,), most=8, part=500, suited=0.7),
    "gradients-large": Many(check_gradients, 3000, (f64,), suited=0.6),
    "forward": Many(check_forward, 1000, (f64,), suited=0.8),
    "vmap": Many(check_vmap, 1000, most=8),
    "vmap-native": Many(check_compiled_vmap, 500, most=8, part=100),
    "native": Many(check_compiled("native"), 1800, most=8, part=100),
    "native-narrow": Many(check_compiled("native"), 500, (f16, bf16), most=8, part=100),
    "x86-64-v3": Many(check_compiled("x86-64-v3"), 1000, most=8, part=100),
    "x86-64-v2": Many(check_compiled("x86-64-v2"), 500, most=8, part=100),
}


def failures(name: str, numbers: Sequence[int]) -> tuple[int, list[str]]:
    """How many of these graphs suit a check, and what goes wrong on them."""
    many, suiting, found = MANY[name], 0, []
    for number in numbers:
        try:
            many.check(many.case(number))
            suiting += 1
        except Unsuited:
            continue
        except Exception as error:
            found.append(f"python -m tests.graph_checks {name} {number}: {type(error).__name__}: {error}")
    return suiting, found


def main() -> None:
    """Print a graph and make a check on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=MANY)
    parser.add_argument("number", type=int)
    given = parser.parse_args()
    os.environ["GRAPHC_VERIFY"] = "1"
    case = MANY[given.check].case(given.number)
    print(case.sizes)
    print(print_graph(case.graph), flush=True)
    MANY[given.check].check(case)


if __name__ == "__main__":
    main()
