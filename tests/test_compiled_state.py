"""State in place: whatever reads and writes Variables in one graph, old values are read before new ones are there.

Each case runs with Variables row by row, and packed as they are where a contraction reads them; between guard pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from graphc import ops
from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import Evaluation, evaluate
from graphc.ir.node import Array, Input, Node, Read, Scope
from graphc.ir.types import TensorType, f32, i32
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import target
from graphc.schedule.layout import lay_out, panels_for
from tests.compiled import CompiledGraph
from tests.guards import GuardedMemory
from tests.random_graphs import Case, disagreement

N = symbol("N")
VARIABLES = {"v": (20,), "w": (20,), "m": (5, 20), "q": (20, 5), "c": ()}

Results = tuple[list[Node], dict[str, Node]]
Body = Callable[..., Results]
"""(v, w, m, q, c, *inputs) -> outputs, updates"""

CASES: dict[str, tuple[list[TensorType], Body]] = {}


def case(*inputs: TensorType) -> Callable[[Body], Body]:
    """Make a function a case, with these inputs."""

    def add(body: Body) -> Body:
        CASES[body.__name__] = (list(inputs), body)
        return body

    return add


def floats(*shape: object) -> TensorType:
    return TensorType(f32, shape)  # type: ignore[arg-type]


def total(x: Node, *axes: int) -> Node:
    """Σ over axes, all by default."""
    return build.sum_(x, axes or tuple(range(x.type.rank)))


def over(x: Node, like: Node, *axes: int) -> Node:
    """x repeated along new axes of another node's shape."""
    return build.spread(x, like, axes)


def dot(x: Node, y: Node, left: int = 1, right: int = 0) -> Node:
    return build.dot_general(x, y, (left,), (right,))


def turned(x: Node) -> Node:
    return build.transpose(x, (1, 0))


def softmax(x: Node) -> Node:
    last = x.type.rank - 1
    e: Node = build.exp(x - over(build.reduce_max(x, (last,)), x, last))
    shares: Node = e / over(total(e, last), x, last)
    return shares


@case()
def one_in_place(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"v": v + 1.0}


@case()
def two_change_places(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"v": w, "w": v}


@case()
def two_from_each_other(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [v * w], {"v": w + 1.0, "w": v * 2.0}


@case()
def one_takes_the_old_value_of_one_that_changes(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [v], {"v": w, "w": v + 1.0}


@case()
def old_values_are_results(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [v * 1.0, v, total(v), build.reshape(m, (100,))], {"v": v * 3.0 + w, "m": m * 0.5}


@case()
def two_from_one_value(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    y = v * 2.0 + 1.0
    return [y, y, build.reshape(y, (4, 5))], {"v": y, "w": y, "q": build.broadcast(y, (20, 5), (0,))}


@case(floats(20))
def one_is_overwritten_while_another_reads_it(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node) -> Results:
    return [total(v * w)], {"w": w * v, "v": x * 2.0 - w}


@case(floats(20))
def an_input_is_assigned_and_returned(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node) -> Results:
    return [x, x, build.reshape(x, (20, 1)), v], {"v": x, "w": w * v}


@case()
def sums_of_old_values(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"v": v - over(total(v), v, 0) * w, "w": w * over(total(v), v, 0)}


@case()
def rows_in_place(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [softmax(q)], {"v": softmax(v), "m": softmax(m * 2.0), "q": q - over(total(q, 1), q, 1)}


@case()
def transposes_of_each_other(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"m": turned(q) + m, "q": turned(m) * 2.0}


@case()
def transposes_change_places(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"m": turned(q), "q": turned(m)}


@case()
def reshapes_of_each_other(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [build.reshape(m, (100,))], {"m": build.reshape(q, (5, 20)) * 2.0, "q": build.reshape(m * 3.0, (20, 5))}


@case()
def parts_change_places(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    halves = build.slice_axis(v, 0, 10, 20), build.slice_axis(v, 0, 0, 10)
    shifted = build.pad(build.slice_axis(w, 0, 0, 19), 0.0, (1,), (0,))
    return [], {"v": build.concat(halves, 0), "w": shifted + w}


@case()
def a_row_becomes_a_matrix(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"m": build.broadcast(v, (5, 20), (1,)), "v": total(m, 0)}


@case()
def constants(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    table = build.array_constant(v.scope, np.arange(20, dtype=np.float32))
    number = build.constant(v.scope, 2.5, f32)
    return [number, build.broadcast(number, (3, 20), ()), table], {"v": build.zeros_like(v), "w": table, "c": c + 1.0}


@case(floats(20))
def moments(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node) -> Results:
    first, second = v * 0.9 + x * 0.1, w * w * 0.9 + x * x * 0.1
    step = first / (build.sqrt(second) + 1e-3)
    return [], {"v": first, "w": second, "m": m - build.broadcast(step, (5, 20), (1,)), "c": c + 1.0}


@case(TensorType(i32, (7,)), floats(7, 20))
def rows_gathered_and_scattered(v: Node, w: Node, m: Node, q: Node, c: Node, i: Node, x: Node) -> Results:
    return [build.gather(m, i, 0)], {"m": build.scatter_add(m, i, x * build.gather(m, i, 0), 0)}


@case(TensorType(i32, (7,)), floats(7))
def two_take_what_is_added_to_one(v: Node, w: Node, m: Node, q: Node, c: Node, i: Node, x: Node) -> Results:
    new = build.scatter_add(v, i, x, 0)
    return [v * 2.0, w * 2.0], {"v": new, "w": new}


@case(floats(20))
def one_is_mirrored_after_a_cheap_step(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node) -> Results:
    return [], {"v": build.flip(v * 2.0 - 1.0, (0,)) * 0.25 + x}


@case()
def one_is_seen_through_windows(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    largest = ops.WindowMax((2, 3), (1, 1), (1, 1), (0, 1), (1, 1))
    return [], {"m": build.apply(largest, m * 2.0) * 0.25}


@case(floats(N, 5), floats(N, 20))
def a_gradient_in_the_epilogue(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node, d: Node) -> Results:
    return [dot(x, m)], {"m": m - dot(x, d, 0, 0) * 0.1}


@case(floats(N, 5), floats(N, 20))
def a_clipped_gradient(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node, d: Node) -> Results:
    g = dot(x, d, 0, 0)
    return [], {"m": m - g * build.broadcast(build.rsqrt(total(g * g) + 1.0), g.type.shape, ())}


@case()
def products_of_each_other(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    return [], {"m": m - dot(dot(q, q, 0, 0), m) * 0.01, "q": q - dot(turned(m), dot(m, m, 1, 1)) * 0.01}


@case(floats(N, 5), floats(N, 5))
def a_network_trains(v: Node, w: Node, m: Node, q: Node, c: Node, x: Node, y: Node) -> Results:
    h = build.tanh(dot(x, m) + build.broadcast(v, (N, 20), (1,)))
    d = dot(h, q) - y
    back = dot(d, q, 1, 1) * (1.0 - h * h)
    new = {"q": q - dot(h, d, 0, 0) * 0.1, "m": m - dot(x, back, 0, 0) * 0.1, "v": v - total(back, 0) * 0.1}
    return [total(d * d)], new


@case()
def packed_matrices_are_read_across(v: Node, w: Node, m: Node, q: Node, c: Node) -> Results:
    sums = [total(turned(m * 2.0), 1), total(turned(m * m), 0), total(m, 0), total(m, 1), total(m)]
    largest = [m.scope.node(ops.ArgMax(axis), m * 2.0) for axis in (0, 1)]
    return [turned(m * 2.0) + q, *sums, *largest], {}


@case(TensorType(i32, (7,)))
def parts_of_packed_matrices(v: Node, w: Node, m: Node, q: Node, c: Node, i: Node) -> Results:
    double = m * 2.0
    return [
        build.slice_(double, (1, 2), (4, 20)) + 1.0, build.pad(double, 0.0, (1, 2), (0, 0)),
        build.concat([double, m], 0),
        build.gather(double, i, 0), build.gather(double, i, 1), build.reshape(double, (4, 25)),
    ], {}  # fmt: skip


def contracted(reads: Mapping[str, Node]) -> list[Node]:
    """Products with both matrices, which makes the compiler pack them."""
    ones = build.array_constant(reads["m"].scope, np.ones((20, 3), np.float32))
    return [dot(reads["m"], ones), dot(turned(ones), reads["q"])]


def graph_of(name: str, packed: bool) -> Graph:
    scope = Scope()
    types, body = CASES[name]
    reads = {n: scope.typed(Read(n), TensorType(f32, s)) for n, s in VARIABLES.items()}
    inputs = tuple(scope.typed(Input(f"x{i}"), t) for i, t in enumerate(types))
    outputs, updates = body(*reads.values(), *inputs)
    outputs += contracted(reads) if packed else []
    return Graph(name, scope, inputs, tuple(outputs), tuple(updates.items()))


def draw(rng: np.random.Generator, type_: TensorType) -> Array:
    shape = tuple(int(s) for s in type_.shape)  # type: ignore[arg-type]
    drawn = rng.normal(0, 1.5, shape) if type_.dtype.is_float else rng.integers(-1, 6, shape)
    return np.asarray(drawn).astype(type_.dtype.numpy)


@pytest.mark.parametrize("packed", [False, True], ids=["rows", "packed"])
@pytest.mark.parametrize("name", CASES)
def test_updates_see_old_values(name: str, packed: bool) -> None:
    types = {n: TensorType(f32, s) for n, s in VARIABLES.items()}
    traced = graph_of(name, packed)
    cpu = target(("native", "x86-64-v3")[list(CASES).index(name) % 2])
    for graph in (traced, optimise(traced)):
        compiled = CompiledGraph(graph, types, cpu)
        for rows in (0, 1, 17, 33) if graph.symbols() else (0,):
            rng = np.random.default_rng(6)
            inputs = tuple(draw(rng, n.type.bind({"N": rows})) for n in graph.inputs)
            state = {n: draw(rng, t) for n, t in types.items()}
            got = compiled(inputs, state, GuardedMemory(at_start=packed))
            fault = disagreement(Case(graph, inputs, state, {"N": rows}, ()), got)
            assert fault is None, f"{fault} at N = {rows}"


def test_the_cases_pack_what_they_should() -> None:
    assert set(panels_for([graph_of("one_in_place", packed=True)], {})) == {"m", "q"}
    assert panels_for([graph_of("one_in_place", packed=False)], {}) == {}


def test_what_is_not_updated_stays() -> None:
    graph = graph_of("two_change_places", packed=False)
    rng = np.random.default_rng(1)
    types = {n: TensorType(f32, s) for n, s in VARIABLES.items()}
    state = {n: draw(rng, t) for n, t in types.items()}
    got: Evaluation = CompiledGraph(graph, types)((), state)
    expected = evaluate(graph, (), state)
    assert got.updates.keys() == expected.updates.keys() == {"v", "w"}
    for name, value in expected.updates.items():
        np.testing.assert_array_equal(got.updates[name], value)


def test_large_variables_start_at_different_places_of_a_page() -> None:
    matrix = floats(784, 128)
    layout = lay_out([(name, matrix, True) for name in "pmv"], {"p": 16, "m": 16, "v": 16})
    places = [slot.offset % 4096 for slot in layout.slots]
    apart = [abs(a - b) for i, a in enumerate(places) for b in places[:i]]
    assert all(1024 <= distance <= 4096 - 1024 for distance in apart)
    assert layout.end < layout.slots[0].offset + 3 * 1.01 * layout.slots[0].bytes
