"""Random well-typed graphs over every primitive, with a scalar loss, its gradients, updates, and arguments that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from graphc.ir.graph import Graph
from graphc.ir.interp import Evaluation, shadow
from graphc.ir.node import Array, Node, Read
from graphc.ir.text import print_graph
from graphc.ir.types import FROM_NUMPY, DType, TensorType, f32, f64
from tests.grower import BATCHES, ROUNDS, Grower
from tests.random_flow import Flow


@dataclass(frozen=True)
class Case:
    """A graph with arguments and state; `sizes` are what N and T are; `parameters` are what gradients are taken of."""

    graph: Graph
    inputs: tuple[Array, ...]
    state: dict[str, Array]
    sizes: Mapping[str, int]
    parameters: tuple[Node, ...]

    @cached_property
    def exact(self) -> list[tuple[Array, Array]]:
        """Each root's value in float64, and the bound of a float result's error."""
        return shadow(self.graph, self.inputs, self.state)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis shows of a failing case."""
        printer.text(f"{self.sizes}\n{print_graph(self.graph)}{self.inputs}\n{self.state}")


@st.composite
def cases(draw: Any, dtypes: Sequence[DType] = (f32, f64), most: int = 16) -> Case:
    """Random graphs in one of some float dtypes, of up to `most` steps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grower = Flow(rng, draw(st.sampled_from(dtypes)))
    grower.grow(draw(st.integers(1, most)))
    return closed(grower, {"N": draw(st.sampled_from(BATCHES)), "T": draw(st.sampled_from(ROUNDS))})


def numbered(seed: int, dtypes: Sequence[DType] = (f32, f64), most: int = 16) -> Case:
    """The random graph of a number, as `cases` makes them."""
    rng = np.random.default_rng(seed)
    grower = Flow(rng, dtypes[seed % len(dtypes)])
    grower.grow(int(rng.integers(1, most + 1)))
    return closed(grower, {"N": grower.choose(BATCHES), "T": grower.choose(ROUNDS)})


def closed(grower: Grower, sizes: Mapping[str, int]) -> Case:
    """What has grown, with arguments and state."""
    graph, parameters = grower.finish()
    rng = grower.rng
    inputs = tuple(values(rng, n.type.bind(sizes)) for n in graph.inputs)
    state = {n.op.variable: values(rng, n.type) for n in grower.reads if isinstance(n.op, Read)}
    return Case(graph, inputs, state, sizes, parameters)


def values(rng: np.random.Generator, type_: TensorType) -> Array:
    """Random contents: normal floats, small integers (as indices, some out of range)."""
    shape = tuple(int(s) for s in type_.shape)  # type: ignore[arg-type]
    drawn = rng.normal(0, 1.5, shape) if type_.dtype.is_float else rng.integers(-1, 6, shape)
    return np.asarray(drawn).astype(type_.dtype.numpy)


def disagreement(case: Case, got: Evaluation, slack: float = 4.0) -> str | None:
    """Where a result lies further from the exact one than rounding explains; None where it lies nowhere.

    The bound is the float64 shadow's, times `slack`, since passes may round at other places. Unconstrained elements
    (behind a discontinuity that rounding may cross) are not looked at.
    """
    results = (*got.outputs, *got.updates.values())
    for index, ((exact, bound), result) in enumerate(zip(case.exact, results, strict=True)):
        if result.shape != exact.shape:
            return f"result {index} has shape {result.shape}, not {exact.shape}"
        result = result.astype(np.float64) if FROM_NUMPY[result.dtype].is_narrow else result
        with np.errstate(all="ignore"):
            same = (result == exact) | ((result != result) & (exact != exact)) | np.isinf(bound)
            wrong = ~(same | (np.abs(result.astype(np.float64) - exact) <= slack * bound))
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            return f"result {index} at {at}: {result[at]!r}, not {exact[at]!r} ± {bound[at]:.3g}"
    return None
