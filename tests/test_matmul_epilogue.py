"""Epilogues of matmuls: on the accumulators, or between the steps of another tile; for each element once."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.codegen.matmul import Epilogue
from graphc.errors import InternalError
from graphc.runtime import targets
from graphc.schedule.tiles import Layout, TilePlan, plan_matmul
from tests.matmul_kernel import Array, Case, Kernel
from tests.test_matmul import BEST, every_target, matrices, run_between_guards


def load(b: Builder, like: Value, pointer: Value, mask: Value | None) -> Value:
    """A vector like another, masked or not."""
    return b.load(like.type, pointer) if mask is None else b.masked_load(like.type, pointer, mask)


def store(b: Builder, value: Value, pointer: Value, mask: Value | None) -> None:
    """A vector, masked or not."""
    if mask is None:
        b.store(value, pointer)
    else:
        b.masked_store(value, pointer, mask)


def bias_relu(c: Value, n: Value, element: str) -> Epilogue:
    """C = max(A . B + bias, 0), bias in the row after C's own n columns of each row: C is [m, 2 n]."""

    def epilogue(b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None) -> None:
        here = b.gep(element, c, b.add(b.mul(i, b.mul(n, b.i64(2))), j))
        total = b.binary("fadd", accumulator, load(b, accumulator, b.gep(element, here, n), mask))
        zero = b.constant(accumulator.type, 0.0)
        store(b, b.select(b.fcmp("ogt", total, zero), total, zero), here, mask)

    return epilogue


def momentum(c: Value, n: Value, element: str) -> Epilogue:
    """In place on C = [m, w and v]: v = 0.9 v + A . B, w = w - v / (sqrt(|v|) + 1)."""

    def epilogue(b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None) -> None:
        type_ = accumulator.type
        w_here = b.gep(element, c, b.add(b.mul(i, b.mul(n, b.i64(2))), j))
        v_here = b.gep(element, w_here, n)
        decayed = b.binary("fmul", load(b, accumulator, v_here, mask), b.constant(type_, 0.5))
        v = b.binary("fadd", decayed, accumulator)
        suffix = f"v{b.constant(type_, 0.0).type[1:].split(' ')[0]}f32"
        root = b.intrinsic(f"llvm.sqrt.{suffix}", type_, b.intrinsic(f"llvm.fabs.{suffix}", type_, v))
        step = b.binary("fdiv", v, b.binary("fadd", root, b.constant(type_, 1.0)))
        store(b, b.binary("fsub", load(b, accumulator, w_here, mask), step), w_here, mask)
        store(b, v, v_here, mask)

    return epilogue


@every_target
@pytest.mark.parametrize("b", ["row", "panel_transposed"])
@pytest.mark.parametrize("cost", [3, 300])
@pytest.mark.parametrize("m", [None, 19])
def test_bias_and_relu_run_on_the_accumulators(target: targets.Target, b: Layout, cost: int, m: int | None) -> None:
    left, right = matrices(19, 37, 70, "f32")
    both = np.random.default_rng(1).standard_normal((19, 74)).astype(np.float32)
    expected = np.maximum(left.astype(np.float64) @ right + both[:, 37:], 0)
    Kernel(Case(target, (m, 37, 70), "row", b, cost=cost), bias_relu)(left, right, both)
    np.testing.assert_allclose(both[:, :37], expected, rtol=1e-5, atol=1e-5)


@every_target
@pytest.mark.parametrize("k", [None, 0, 5, 130])
def test_an_update_in_place_happens_once(target: targets.Target, k: int | None) -> None:
    left, right = matrices(45, 37, 9 if k is None else k, "f32")
    state = np.random.default_rng(1).standard_normal((45, 74)).astype(np.float32)
    v = 0.5 * state[:, 37:].astype(np.float64) + left.astype(np.float64) @ right
    w = state[:, :37] - v / (np.sqrt(np.abs(v)) + 1)
    Kernel(Case(target, (45, 37, k), "transposed", "row", cost=25), momentum)(left, right, state)
    np.testing.assert_allclose(state, np.concatenate([w, v], axis=1), rtol=1e-4, atol=1e-4)


# -- overlapped tiles -----------------------------------------------------------------------------------------------


def updated(case: Case, left: Array, right: Array, state: Array) -> Array:
    """The state after one update in place."""
    after = state.copy()
    Kernel(case, momentum)(left, right, after)
    return after


@pytest.mark.parametrize(
    ("height", "width", "change"),
    [(8, 1, {}), (16, 1, {"pack": True, "group": 3}), (4, 2, {"unroll": 2}), (6, 1, {"pack": True})],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_overlapped_tiles_give_the_same_bits_for_any_rows(
    height: int, width: int, change: dict[str, int], symbolic: bool
) -> None:
    n, k = 37, 21
    plan = TilePlan(4, BEST.lanes(4), height, width, overlap=True, block_rows=2 * height, **change)  # type: ignore[arg-type]
    for m in (1, height - 1, height, height + 1, 2 * height, 4 * height + 3):
        left, right = matrices(m, n, k, "f32", seed=m)
        state = np.random.default_rng(m).standard_normal((m, 2 * n)).astype(np.float32)
        overlapped = Case(BEST, (None, n, None) if symbolic else (m, n, k), "transposed", plan=plan)
        direct = Case(BEST, (None, n, None), "transposed", plan=TilePlan(4, BEST.lanes(4), 4, 1))
        assert updated(overlapped, left, right, state).tobytes() == updated(direct, left, right, state).tobytes()


@pytest.mark.parametrize("a", ["row", "transposed", "panel_transposed"])
@pytest.mark.parametrize("k", [0, 1, 7, 32, 85])
def test_overlapped_tiles_touch_nothing_outside(a: Layout, k: int) -> None:
    left, right = matrices(41, 100, k, "f32")
    for known in (None, k):
        plan = plan_matmul(BEST, "f32", 41, 100, known, a, "row", epilogue_cost=30)
        run_between_guards(Case(BEST, (41, 100, known), a, plan=plan), left, right)


@every_target
def test_an_epilogue_is_overlapped_where_registers_are_left_for_it(target: targets.Target) -> None:
    def overlaps(rows: int = 784, depth: int | None = None, a: Layout = "transposed", cost: int = 30) -> bool:
        return plan_matmul(target, "f32", rows, 128, depth, a, "row", epilogue_cost=cost).overlap

    assert overlaps() == overlaps(a="row") == overlaps(rows=32) == (target.vector_registers >= 32)
    assert not (overlaps(rows=16) or overlaps(depth=2000) or overlaps(a="panel") or overlaps(cost=3))


@pytest.mark.skipif(BEST.vector_registers < 32, reason="no registers are left for an epilogue")
def test_overlapped_tiles_spill_nothing() -> None:
    case = Case(BEST, (784, 128, None), "transposed", cost=30)
    assembly = Kernel(case, momentum).compiled.assembly
    assert case.planned().overlap
    assert not re.findall(r"v?movups\s+%[xyz]mm\d+, -?\d*\(%rsp\)", assembly)


def test_a_plan_that_overlaps_tiles_keeps_the_sums_of_two() -> None:
    plan = plan_matmul(targets.target("x86-64-v4"), "f32", 784, 128, None, "transposed", "row", epilogue_cost=30)
    with pytest.raises(InternalError, match="block_rows"):
        replace(plan, block_rows=plan.height)
