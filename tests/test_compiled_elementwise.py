"""Every elementwise op as machine code against its meaning: at awkward sizes, on special values, for several CPUs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from graphc import ops
from graphc.ir import build
from graphc.ir.dim import Size, symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Array, Input, Node, Scope
from graphc.ir.types import DType, TensorType, f32, f64
from graphc.ops.base import ANY
from graphc.runtime.targets import target
from tests.compiled import CompiledGraph
from tests.guards import GuardedMemory
from tests.op_cases import elementwise_ops, type_of
from tests.test_ops import operands_with_specials, ulp_error

N = symbol("N")
CPUS = ("native", "x86-64-v3", "x86-64-v2")
SIZES = (0, 1, 2, 3, 15, 16, 17, 31, 33, 100)

#: The shapes of an elementwise op's first operand and of the others, which are broadcast to it.
FORMS: dict[str, tuple[tuple[Size, ...], tuple[Size, ...]]] = {
    "scalar": ((), ()),
    "flat": ((N,), (N,)),
    "rows": ((N, 33), (33,)),
}


@dataclass(frozen=True)
class Elementwise:
    """Some elementwise ops of one dtype, as one compiled graph with operands of their own."""

    ops: tuple[ops.Elementwise, ...]
    dtype: DType
    form: str

    def graph(self) -> Graph:
        scope, results = Scope(), []
        inputs: list[Node] = []
        first, others = FORMS[self.form]
        for op, operands in zip(self.ops, self.operands(), strict=True):
            shapes = (first, *[others] * (len(operands) - 1))
            types = [TensorType(type_of(x).dtype, s) for x, s in zip(operands, shapes, strict=True)]
            nodes = [scope.typed(Input(f"x{len(inputs) + i}"), t) for i, t in enumerate(types)]
            inputs += nodes
            axes = tuple(range(len(first)))[len(first) - len(others) :]
            results.append(scope.node(op, nodes[0], *(build.broadcast(n, first, axes) for n in nodes[1:])))
        return Graph("elementwise", scope, tuple(inputs), tuple(results))

    def operands(self) -> list[list[Array]]:
        """The values to draw arguments from."""
        return [operands_with_specials(op, self.dtype) for op in self.ops]

    def arguments(self, rng: np.random.Generator, size: int) -> list[list[Array]]:
        """Arguments of each op at N = size: mixed, in rows repeated as they are needed."""
        drawn = []
        for operands in self.operands():
            order = rng.permutation(len(operands[0]))
            if self.form == "rows":
                rest = [np.resize(x[order], 33) for x in operands[1:]]
                drawn.append([np.resize(operands[0][order], (size, 33)), *rest])
            else:
                picked = order[0] if self.form == "scalar" else np.resize(order, size)
                drawn.append([np.asarray(x[picked]) for x in operands])
        return drawn


def elementwise() -> Iterator[Elementwise]:
    """All of them: eight or so at a time, so that a failure names few suspects and few files are linked."""
    for dtype in ANY:
        fitting = [op for op in elementwise_ops() if dtype in op.dtypes]
        for start in range(0, len(fitting), 8):
            for form in FORMS:
                yield Elementwise(tuple(fitting[start : start + 8]), dtype, form)


def check_elementwise(case: Elementwise, cpu: str, sizes: Sequence[int]) -> None:
    """Exact where the op is exact, else within its bound."""
    compiled = CompiledGraph(case.graph(), {}, target(cpu))
    rng = np.random.default_rng(1)
    for size in sizes:
        arguments = case.arguments(rng, size)
        outputs = compiled([x for xs in arguments for x in xs], {}, GuardedMemory()).outputs
        for op, xs, got in zip(case.ops, arguments, outputs, strict=True):
            worst = error_of(op, [np.broadcast_to(x, xs[0].shape) for x in xs], got)
            assert worst is None, f"{op} on {case.dtype}, {case.form}, {cpu}, N = {size}: {worst}"


def error_of(op: ops.Elementwise, operands: Sequence[Array], got: Array) -> str | None:
    """What is wrong with a result, if something is."""
    result = op.infer(*map(type_of, operands)).dtype
    wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in operands]
    with np.errstate(all="ignore"):
        exact = (ops.Cast(f64) if op == ops.Cast(f32) else op).eval(*(wide if result == f32 and op.ulps else operands))
        wanted = np.asarray(exact).astype(got.dtype)
    wrong = wanted != got
    if result.is_float:
        slack = 2.0 if result == f64 and op.ulps > 0.5 else 0.0  # NumPy's own error
        wrong = ulp_error(got, np.asarray(exact)) > max(op.ulps, 0.5) + slack
        if op.ulps <= 0.5:
            wrong |= (np.signbit(wanted) != np.signbit(got)) & ~np.isnan(got)
    if not wrong.any():
        return None
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{[x[where] for x in operands]} gives {got[where]!r}, not {wanted[where]!r}"


ELEMENTWISE = list(elementwise())
IDS = [f"{c.dtype}-{c.ops[0].mnemonic()}-{c.form}" for c in ELEMENTWISE]


@pytest.mark.parametrize(("case", "cpu"), list(zip(ELEMENTWISE, itertools.cycle(CPUS), strict=False)), ids=IDS)
def test_elementwise_ops(case: Elementwise, cpu: str) -> None:
    check_elementwise(case, cpu, (0, 1, 16, 33, 300))


@pytest.mark.slow
@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("case", ELEMENTWISE, ids=IDS)
def test_elementwise_ops_everywhere(case: Elementwise, cpu: str) -> None:
    check_elementwise(case, cpu, (*SIZES, 1000))
