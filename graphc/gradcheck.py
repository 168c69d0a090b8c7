"""`check_grads`: derivatives against centred differences, in float64 on the interpreter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc import autodiff
from graphc.errors import ArgumentError, GradientMismatch
from graphc.frontend.float64 import widened
from graphc.frontend.interpret import Interpreted
from graphc.frontend.program import Entry
from graphc.frontend.signature import expect_function, site_of
from graphc.ir import build
from graphc.ir.binding import bind_symbols
from graphc.ir.graph import reachable
from graphc.ir.interp import evaluate_node, evaluate_nodes
from graphc.ir.node import Array, Node, Read
from graphc.ir.types import FROM_NUMPY
from graphc.sites import user_site

#: Parameters of more elements are checked along this many random directions instead of one by one.
LARGE, DIRECTIONS = 2000, 16
#: Step of the difference, relative to max(1, |x|).
STEP = 1e-5
#: Longer steps, for derivatives that rounding hides at the first.
LONG_STEPS = (1e-4, 1e-3)


@dataclass(frozen=True)
class Difference:
    """One comparison; `index` is the element, or the number of the random direction."""

    parameter: str
    index: str
    analytic: float
    numeric: float
    error: float


@dataclass
class ParameterReport:
    """What was compared of one parameter: `worst` is the largest relative error, kinks aside."""

    name: str
    shape: tuple[int, ...]
    order: int
    compared: int = 0
    worst: float = 0.0
    kinks: int = 0
    directions: bool = False
    failures: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class GradientReport:
    """The outcome of a check that passed; prints as a table."""

    parameters: tuple[ParameterReport, ...]

    @property
    def worst(self) -> float:
        """The largest relative error."""
        return max((p.worst for p in self.parameters), default=0.0)

    def __str__(self) -> str:
        rows = [("parameter", "shape", "order", "compared", "worst error", "kinks")]
        for p in self.parameters:
            compared = f"{p.compared} {'directions' if p.directions else 'elements'}"
            rows.append((p.name, str(list(p.shape)), str(p.order), compared, f"{p.worst:.1e}", str(p.kinks)))
        return table(rows)


def check_grads(
    target: Entry | Callable[..., Any],
    *args: Any,
    order: int = 1,
    rtol: float = 1e-6,
    state: Mapping[str, Array] | None = None,
) -> GradientReport:
    """Check the gradients of an entry or a function at some arguments; `order=2` checks second derivatives too.

    The function is f = ⟨float outputs, fixed random cotangents⟩; compared are its derivatives with respect to every
    trainable Variable (at `state`, by name; the initial one of seed 0 by default) and every float argument. Updates
    are ignored, random numbers fixed. a and n agree where |a − n| ≤ rtol·max(|a|, |n|, 1e-4·max(1, |f|)). A kink
    (ReLU at 0, a tie of max), where no derivative exists, is counted and not held against a.

    Raises `GradientMismatch` with a table of what differs.
    """
    if order not in (1, 2):
        raise ArgumentError(f"check_grads: order={order}", site=user_site(), help="use 1 or 2")
    expect_function("gr.check_grads", target)
    problem = Problem.of(target, args, state)
    reports = []
    for level in range(1, order + 1):
        problem = problem if level == 1 else problem.derivative()
        with np.errstate(all="ignore"):
            reports += [check_leaf(problem, leaf, level, rtol) for leaf in problem.leaves]
    failures = [f for r in reports for f in r.failures]
    if failures:
        raise mismatch(failures, target)
    return GradientReport(tuple(reports))


class Problem:
    """A scalar function as a float64 graph: its leaves by name, their values, its gradients."""

    def __init__(self, output: Node, leaves: dict[Node, str], values: dict[Node, Array]):
        self.output, self.leaves, self.values = output, leaves, values
        self.gradients = autodiff.gradients(output, list(leaves))
        self.nodes = reachable([output])
        self.base = dict(values)
        with np.errstate(all="ignore"):
            for node in self.nodes:
                if node not in self.base:
                    self.base[node] = evaluate_node(node, [self.base[i] for i in node.inputs], {})
            found = evaluate_nodes(self.gradients, self.base)
        self.analytic = dict(zip(leaves, found, strict=True))

    @classmethod
    def of(
        cls, target: Entry | Callable[..., Any], args: tuple[Any, ...], state: Mapping[str, Array] | None
    ) -> Problem:
        """⟨float outputs, cotangents⟩ of an entry or a function."""
        run = Interpreted(target, 0, dict(state) if state is not None else None)
        arrays, types = run.arguments(args, {})
        trained: frozenset[str] = frozenset()
        if isinstance(target, Entry):
            traced = target.program.trace()
            trained = frozenset(v.name for v in traced.variables if v.trainable)
        entry = run.trace(types, arrays)
        graph = widened(entry.graph, bind_symbols(entry.graph.inputs, arrays))
        values = {node: wide(array) for node, array in zip(graph.inputs, arrays, strict=True)}
        leaves = {n: i.name for n, i in zip(graph.inputs, entry.inputs, strict=True) if n.type.dtype.is_float}
        outputs = [n for n in graph.outputs if n.type.dtype.is_float]
        for node in reachable(outputs):
            if isinstance(node.op, Read):
                values[node] = wide(np.asarray(run.state[node.op.variable]))
                if node.op.variable in trained and node.type.dtype.is_float:
                    leaves[node] = node.op.variable
        if not outputs or not leaves:
            missing = "float outputs" if leaves else "trainable Variables or float arguments"
            raise ArgumentError(f"check_grads: {entry.name} has no {missing}", site=user_site())
        return cls(weighted_sum(outputs, np.random.default_rng(0)), leaves, values)

    def derivative(self) -> Problem:
        """⟨gradient, fixed random vectors⟩ as a function of the same leaves."""
        return Problem(weighted_sum(self.gradients, np.random.default_rng(1)), self.leaves, self.values)

    def along(self, leaf: Node) -> Callable[[Array], float]:
        """The function of one leaf's value, the others fixed: only what depends on the leaf is computed again."""
        moving = {leaf}
        steps = []
        for node in self.nodes:
            if any(i in moving for i in node.inputs):
                moving.add(node)
                steps.append(node)

        def f(value: Array) -> float:
            known = dict(self.base)
            known[leaf] = value
            for node in steps:
                known[node] = evaluate_node(node, [known[i] for i in node.inputs], {})
            return float(known[self.output])

        return f


def weighted_sum(nodes: list[Node], rng: np.random.Generator) -> Node:
    """Σ ⟨node, weights⟩, the weights between ½ and 1½ in size, of either sign."""
    total: Node | None = None
    for node in nodes:
        shape = [int(s) for s in node.type.shape]  # type: ignore[arg-type]
        weights = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        product = node * build.array_constant(node.scope, np.asarray(weights))
        share = build.sum_(product, tuple(range(node.type.rank)))
        total = share if total is None else total + share
    assert total is not None
    return total


def check_leaf(problem: Problem, leaf: Node, order: int, rtol: float) -> ParameterReport:
    """Compare the derivatives with respect to one leaf, by element or along random directions."""
    x, gradient = problem.base[leaf], problem.analytic[leaf]
    report = ParameterReport(problem.leaves[leaf], x.shape, order, directions=x.size > LARGE)
    f = problem.along(leaf)
    scale = max(1.0, abs(float(problem.base[problem.output])))
    for label, direction in directions(x, report.directions):
        line = Line(f, x, direction, max(1.0, float(np.max(np.abs(x * (direction != 0))))))
        analytic = float(np.vdot(gradient, direction))
        compare(report, label, analytic, line, Tolerance(rtol, scale))
    return report


def directions(x: Array, random: bool) -> Iterator[tuple[str, Array]]:
    """The unit vector of each element, or random signs."""
    if random:
        rng = np.random.default_rng(2)
        for i in range(DIRECTIONS):
            yield f"direction {i}", rng.choice([-1.0, 1.0], x.shape)
        return
    for index in np.ndindex(*x.shape):
        unit = np.zeros(x.shape)
        unit[index] = 1.0
        yield str(list(index)), unit


@dataclass(frozen=True)
class Tolerance:
    """When two derivatives of a function of size |f| agree."""

    rtol: float
    scale: float

    def error(self, a: float, n: float) -> float:
        """The relative error |a − n| / max(|a|, |n|, 1e-4·max(1, |f|)); infinite where one is not finite."""
        if not (math.isfinite(a) and math.isfinite(n)):
            return 0.0 if a == n or (math.isnan(a) and math.isnan(n)) else math.inf
        return abs(a - n) / max(abs(a), abs(n), 1e-4 * self.scale)

    def holds(self, a: float, n: float) -> bool:
        return self.error(a, n) <= self.rtol


class Line:
    """The function along a line through x; `unit` is the size of x, which steps are relative to."""

    def __init__(self, f: Callable[[Array], float], x: Array, direction: Array, unit: float):
        self.f, self.x, self.direction, self.unit = f, x, direction, unit
        self.seen: dict[float, float] = {}

    def at(self, step: float) -> float:
        """f at a (signed) relative step."""
        if step not in self.seen:
            self.seen[step] = self.f(self.x + (step * self.unit) * self.direction)
        return self.seen[step]

    def centred(self, step: float) -> float:
        """(f(x+h) − f(x−h)) / 2h."""
        return (self.at(step) - self.at(-step)) / (2.0 * step * self.unit)

    def extrapolated(self, step: float) -> float:
        """Richardson's (4·D(h/2) − D(h)) / 3, of fourth order."""
        return (4.0 * self.centred(step / 2) - self.centred(step)) / 3.0

    def bend(self, step: float) -> float:
        """The forward less the backward difference: h·f″ where f is smooth, a jump of the slope at a kink."""
        return (self.at(step) - 2.0 * self.at(0.0) + self.at(-step)) / (step * self.unit)

    def has_kink(self, analytic: float, noise: float) -> bool:
        """Whether a slope jumps within a step: differences at h and h/2 disagree, or the bend does not shrink."""
        coarse, fine = self.centred(STEP), self.centred(STEP / 2)
        if abs(coarse - fine) > 0.05 * abs(analytic - fine) + noise:
            return True
        return abs(self.bend(STEP / 2)) > 0.75 * abs(self.bend(STEP)) and abs(self.bend(STEP)) > noise


def compare(report: ParameterReport, label: str, analytic: float, line: Line, tolerance: Tolerance) -> None:
    """Add one comparison to a report: the plain difference first, closer looks only where it disagrees."""
    report.compared += 1
    numeric = line.centred(STEP)
    if not tolerance.holds(analytic, numeric):
        closer = (line.extrapolated(step) for step in (STEP, *LONG_STEPS))
        numeric = next((n for n in closer if tolerance.holds(analytic, n)), numeric)
    error = tolerance.error(analytic, numeric)
    if error <= tolerance.rtol:
        report.worst = max(report.worst, error)
    elif line.has_kink(analytic, noise=1e-8 * tolerance.scale):
        report.kinks += 1
    else:
        report.failures.append(Difference(report.name, label, analytic, numeric, error))


def mismatch(failures: list[Difference], target: Entry | Callable[..., Any]) -> GradientMismatch:
    """The error, with the worst differences of each parameter."""
    rows = [("parameter", "index", "analytic", "numeric", "relative error")]
    for name in dict.fromkeys(f.parameter for f in failures):
        own = sorted((f for f in failures if f.parameter == name), key=lambda f: -f.error)
        rows += [(f.parameter, f.index, f"{f.analytic:.9g}", f"{f.numeric:.9g}", f"{f.error:.1e}") for f in own[:5]]
        if len(own) > 5:
            rows.append((name, f"and {len(own) - 5} more", "", "", ""))
    return GradientMismatch(
        f"{len(failures)} derivatives differ from centred differences\n{table(rows)}",
        site=site_of(target.function if isinstance(target, Entry) else target),
    )


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as aligned columns, the first row their heads."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def wide(array: Array) -> Array:
    """Floats as float64."""
    return array.astype(np.float64) if FROM_NUMPY[array.dtype].is_float else array
