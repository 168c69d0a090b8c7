"""Matmul kernels: right for every layout, size and target, the same bits wherever a row stands, no access outside."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.codegen.llvm import Builder
from graphc.errors import InternalError
from graphc.runtime import targets
from graphc.schedule.tile_model import balanced
from graphc.schedule.tiles import Layout, TilePlan, plan_matmul, transposed_columns
from tests.matmul_kernel import DTYPES, Array, Case, Kernel, store_epilogue, stored

LAYOUTS: tuple[Layout, ...] = ("row", "transposed", "panel", "panel_transposed")
PAIRS = list(itertools.product(LAYOUTS, LAYOUTS))
SIZES = (1, 2, 3, 15, 16, 17, 31, 33, 100)
TARGETS = [targets.target("x86-64-v2")]
TARGETS += [t for t in (targets.target("x86-64-v3"), targets.target("x86-64-v4"))
            if set(t.features) <= set(targets.native().features)]  # fmt: skip
BEST = TARGETS[-1]
every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)


def matrices(m: int, n: int, k: int, dtype: str, seed: int = 0) -> tuple[Array, Array]:
    """Random A and B."""
    draw = np.random.default_rng(seed)
    if dtype.startswith("i"):
        return draw.integers(-9, 9, (m, k)).astype(DTYPES[dtype]), draw.integers(-9, 9, (k, n)).astype(DTYPES[dtype])
    return draw.standard_normal((m, k)).astype(DTYPES[dtype]), draw.standard_normal((k, n)).astype(DTYPES[dtype])


def check(got: Array, a: Array, b: Array) -> None:
    """got = a @ b within the bound of a sum of k products in ascending order (Higham, section 3.1)."""
    exact = a.astype(np.float64) @ b.astype(np.float64)
    unit = 0.0 if got.dtype.kind == "i" else float(np.finfo(got.dtype).eps)
    bound = (a.shape[1] + 1) * unit * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    assert (np.abs(got - exact) <= bound).all(), np.abs(got - exact).max()


def case(target: targets.Target, a: Layout, b: Layout, choose: random.Random, dtype: str) -> tuple[Case, Array, Array]:
    """A kernel of random sizes, each symbolic one time in three, and operands for it."""
    m, n, k = (choose.choice(SIZES) for _ in range(3))
    known = tuple(None if choose.random() < 1 / 3 else size for size in (m, n, k))
    drawn = Case(target, (known[0], known[1], known[2]), a, b, dtype, cost=choose.choice((3, 200)))
    return drawn, *matrices(m, n, k, dtype)


@every_target
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_layout_multiplies(target: targets.Target, a: Layout, b: Layout) -> None:
    choose = random.Random(f"{target.name} {a} {b}")
    for dtype in ("f32", "f64"):
        drawn, left, right = case(target, a, b, choose, dtype)
        check(Kernel(drawn)(left, right), left, right)


@pytest.mark.slow
@every_target
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_layout_multiplies_at_many_sizes(target: targets.Target, a: Layout, b: Layout) -> None:
    choose = random.Random(f"many {target.name} {a} {b}")
    for round_ in range(20):
        drawn, left, right = case(target, a, b, choose, ("f32", "f64", "i32", "i64")[round_ % 4])
        check(Kernel(drawn)(left, right), left, right)


@pytest.mark.parametrize("dtype", ["i32", "i64"])
@pytest.mark.parametrize("b", LAYOUTS)
def test_integers_multiply_exactly(dtype: str, b: Layout) -> None:
    left, right = matrices(17, 33, 31, dtype)
    assert (Kernel(Case(BEST, (None, 33, 31), "row", b, dtype))(left, right) == left @ right).all()


@every_target
@pytest.mark.parametrize("b", LAYOUTS)
def test_one_kernel_serves_every_batch(target: targets.Target, b: Layout) -> None:
    kernel = Kernel(Case(target, (None, 33, 17), "row", b))
    for m in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 100, 1000):
        left, right = matrices(m, 33, 17, "f32")
        check(kernel(left, right), left, right)


PLANS = {
    "direct": {},
    "packed": {"pack": True},
    "blocks": {"block_rows": 12, "height": 4, "group": 2},
    "blocks of k": {"block_rows": 24, "block_depth": 16, "height": 6, "group": 3},
    "packed blocks of k": {"block_rows": 8, "block_depth": 32, "height": 4, "pack": True, "group": 2},
    "unrolled": {"unroll": 5},
    "groups": {"group": 4, "width": 1, "pack": True, "block_rows": 0},
}

LEFT_PLANS = {
    "both sides packed": {"pack_left": 41, "pack": True, "group": 4, "width": 1},
    "left packed": {"pack_left": 41, "height": 6, "width": 2},
    "one row": {"pack_left": 41, "height": 1},
}


@pytest.mark.parametrize("change", PLANS.values(), ids=list(PLANS))
@pytest.mark.parametrize("m", [None, 41])
def test_every_plan_gives_the_same_bits(change: dict[str, int], m: int | None) -> None:
    left, right = matrices(41, 100, 85, "f32")
    plan = replace(plan_matmul(BEST, "f32", m, 100, 85, "row", "row", epilogue_cost=3), **change)  # type: ignore[arg-type]
    got = Kernel(Case(BEST, (m, 100, 85), plan=plan))(left, right)
    check(got, left, right)
    assert got.tobytes() == Kernel(Case(BEST, (None, None, None)))(left, right).tobytes()


@every_target
@pytest.mark.parametrize("change", LEFT_PLANS.values(), ids=list(LEFT_PLANS))
@pytest.mark.parametrize("k", [None, 85])
def test_a_packed_left_operand_gives_the_same_bits(
    target: targets.Target, change: dict[str, int], k: int | None
) -> None:
    left, right = matrices(41, 100, 85, "f32")
    plan = plan_matmul(target, "f32", 41, 100, k, "transposed", "row", epilogue_cost=3)
    plan = replace(plan, block_rows=0, **change)  # type: ignore[arg-type]
    got = Kernel(Case(target, (41, 100, k), "transposed", plan=plan))(left, right)
    check(got, left, right)
    assert got.tobytes() == Kernel(Case(target, (None, None, None)))(left, right).tobytes()


@every_target
def test_a_deep_left_operand_is_packed_where_many_columns_pay_for_it(target: targets.Target) -> None:
    assert plan_matmul(target, "f32", 512, 1024, 512, "transposed", "row").pack_left == 512
    assert plan_matmul(target, "f32", 512, 32, 512, "transposed", "row").pack_left == 0
    assert plan_matmul(target, "f32", None, 1024, 512, "transposed", "row").pack_left == 0
    assert plan_matmul(target, "f32", 512, None, 512, "transposed", "row", typical=1024).pack_left == 0
    assert plan_matmul(target, "f32", 512, 1024, 512, "transposed", "row", epilogue_cost=500).pack_left == 0


@pytest.mark.parametrize("k", [0, 1, 15, 16, 17, 85])
def test_blocks_of_any_number_of_steps_start_from_zero(k: int) -> None:
    plan = plan_matmul(BEST, "f32", 41, 100, None, "row", "row", epilogue_cost=3)
    kernel = Kernel(Case(BEST, (41, 100, None), plan=replace(plan, block_rows=24, block_depth=16, height=6)))
    left, right = matrices(41, 100, k, "f32")
    check(kernel(left, right), left, right)


@every_target
@pytest.mark.parametrize("b", ["transposed", "panel_transposed"])
@pytest.mark.parametrize("sizes", [(16, 16, 16), (5, 13, 32), (33, 40, 48), (1, 100, 16), (31, None, 64), (9, 1, 16)])
def test_packing_while_multiplying_gives_the_same_bits(
    target: targets.Target, b: Layout, sizes: tuple[int, int | None, int]
) -> None:
    m, n, k = sizes
    left, right = matrices(m, n or 50, k, "f32")
    plan = plan_matmul(target, "f32", *sizes, "row", b, epilogue_cost=3)
    plan = replace(plan, block_rows=0, swapped=False, ahead=transposed_columns(plan.lanes, 4), ahead_rows=min(m, 3))
    drawn = Case(target, sizes, b=b, plan=plan)
    got = Kernel(drawn)(left, right)
    assert got.tobytes() == Kernel(Case(target, (None, None, None)))(left, right).tobytes()
    run_between_guards(drawn, left, right)


@every_target
def test_few_rows_are_multiplied_while_packing(target: targets.Target) -> None:
    assert plan_matmul(target, "f32", 16, 16, 16, "row", "transposed").ahead == transposed_columns(target.lanes(4), 4)
    assert plan_matmul(target, "f32", None, 16, 16, "row", "transposed").ahead == 0
    assert plan_matmul(target, "f32", 512, 16, 16, "row", "transposed").ahead == 0
    assert plan_matmul(target, "f32", 16, 16, 19, "row", "transposed").ahead == 0


@pytest.mark.parametrize("b", ["transposed", "panel_transposed"])
@pytest.mark.parametrize("sizes", [(16, 64, 200), (5, 100, 300), (None, 64, 200)])
def test_swapped_plans_give_the_same_bits(b: Layout, sizes: tuple[int | None, int, int]) -> None:
    built = Case(BEST, sizes, "row", b, typical=16)
    assert built.planned().swapped
    kernel, plain = Kernel(built), Kernel(Case(BEST, (None, None, None)))
    for m in (1, 15, 16, 17, 40) if sizes[0] is None else (sizes[0],):
        left, right = matrices(m, sizes[1], sizes[2], "f32")
        check(kernel(left, right), left, right)
        assert kernel(left, right).tobytes() == plain(left, right).tobytes()


@every_target
@pytest.mark.parametrize(("a", "b"), [("row", "panel"), ("row", "transposed"), ("transposed", "row")])
def test_a_row_has_the_same_bits_in_every_batch(target: targets.Target, a: Layout, b: Layout) -> None:
    left, right = matrices(33, 40, 100, "f32")
    kernel = Kernel(Case(target, (None, 40, 100), a, b))
    whole = kernel(left, right)
    for first, last in ((0, 1), (5, 7), (0, 32), (3, 33), (20, 31)):
        assert kernel(left[first:last], right).tobytes() == whole[first:last].tobytes()
    assert Kernel(Case(target, (33, 40, 100), a, b))(left, right).tobytes() == whole.tobytes()


@pytest.mark.parametrize("sizes", [(0, 5, 4), (5, 0, 4), (5, 7, 0), (0, 0, 0), (0, 16, 32), (16, 0, 32)])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("b", LAYOUTS)
def test_empty_sizes(sizes: tuple[int, int, int], symbolic: bool, b: Layout) -> None:
    """k = 0 runs the epilogue on zeros; m = 0 or n = 0 does nothing."""
    m, n, k = sizes
    kernel = Kernel(Case(BEST, (None, None, None) if symbolic else sizes, "row", b))
    got = kernel(np.ones((m, k), np.float32), np.ones((k, n), np.float32))
    assert got.shape == (m, n)
    assert (got == 0).all()


# -- memory ---------------------------------------------------------------------------------------------------------


class Guarded:
    """Memory between two pages that can't be touched, flush against the one before or the one behind."""

    def __init__(self, content: Array, at_end: bool):
        self.content, page = content, mmap.PAGESIZE
        inner = -(-max(content.nbytes, 1) // page) * page
        self.map = mmap.mmap(-1, inner + 2 * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for edge in (start, start + page + inner):
            assert protect(ctypes.c_void_p(edge), ctypes.c_size_t(page), 0) == 0
        self.address = start + page + (inner - content.nbytes if at_end else 0)
        ctypes.memmove(self.address, content.ctypes.data, content.nbytes)

    def read(self) -> Array:
        """What the memory holds now."""
        text = ctypes.string_at(self.address, self.content.nbytes)
        return np.frombuffer(text, self.content.dtype).reshape(self.content.shape)


@every_target
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_nothing_outside_is_touched(target: targets.Target, a: Layout, b: Layout) -> None:
    """A fault here kills the process: that is the failure."""
    choose = random.Random(f"guard {target.name} {a} {b}")
    run_between_guards(*case(target, a, b, choose, "f32"))


@every_target
def test_nothing_outside_is_touched_by_packing_both_sides(target: targets.Target) -> None:
    left, right = matrices(41, 100, 33, "f32")
    plan = TilePlan(4, target.lanes(4), 6, 2, group=3, pack=True, pack_left=41)
    run_between_guards(Case(target, (41, 100, 33), "transposed", plan=plan), left, right)


def run_between_guards(drawn: Case, left: Array, right: Array) -> None:
    """A right product with every operand, and scratch, flush against a page that can't be touched."""
    kernel = Kernel(drawn)
    (m, k), n = left.shape, right.shape[1]
    for at_end in (False, True):
        operands = [stored(left, drawn.a, kernel.panel), stored(right, drawn.b, kernel.panel)]
        scratch = Guarded(kernel.scratch(k), at_end)
        guarded = [Guarded(o, at_end) for o in (*operands, np.zeros((m, n), np.float32))]
        kernel.run(*(g.address for g in guarded), scratch.address, m, n, k, 1)
        check(guarded[2].read(), left, right)


# -- code -----------------------------------------------------------------------------------------------------------


@every_target
def test_the_inner_loop_is_fused_multiply_adds_and_calls_nothing(target: targets.Target) -> None:
    assembly = Kernel(Case(target, (None, 64, 64))).compiled.assembly
    assert not re.search(r"\bcall", assembly)
    assert bool(re.search(r"vfmadd\d+ps", assembly)) == target.fma
    register = {64: "zmm", 32: "ymm", 16: "xmm"}[target.vector_bytes]
    assert re.search(rf"ps\s.*%{register}", assembly)


@every_target
@pytest.mark.parametrize("b", ["row", "transposed", "panel"])
def test_no_accumulator_is_spilled(target: targets.Target, b: Layout) -> None:
    plan = plan_matmul(target, "f32", 96, 96, 200, "row", b)
    assembly = Kernel(Case(target, (96, 96, 200), "row", b, plan=plan)).compiled.assembly
    spills = re.findall(r"v?movups\s+%[xyz]mm\d+, -?\d*\(%rsp\)", assembly)
    assert not spills


def test_scratch_must_be_given_where_the_plan_needs_it() -> None:
    from graphc.codegen.llvm import Module
    from graphc.codegen.matmul import Operand, emit_matmul

    plan = plan_matmul(BEST, "f32", 64, 64, 64, "row", "transposed")
    b = Builder(Module(BEST.triple), "kernel", [("ptr", "p")])
    (p,) = b.arguments
    operand = Operand(p, "row", 64)
    with pytest.raises(InternalError, match="scratch"):
        emit_matmul(b, BEST, "f32", *(b.i64(64),) * 3, operand, operand, plan, store_epilogue(p, b.i64(64), "float"))


# -- plans ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"swapped": True}, {"block_depth": 64}])
def test_a_plan_that_keeps_sums_says_where(change: dict[str, int]) -> None:
    with pytest.raises(InternalError, match="block_rows"):
        TilePlan(4, 16, 4, 4, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"pack_left": 64, "block_rows": 16}, {"ahead": 8, "block_rows": 16},
                                    {"ahead": 8, "pack_left": 64}])  # fmt: skip
def test_a_plan_packs_the_left_operand_or_as_it_goes_or_keeps_sums(change: dict[str, int]) -> None:
    with pytest.raises(InternalError, match="row blocks"):
        TilePlan(4, 16, 4, 4, pack=True, **change)  # type: ignore[arg-type]


def test_only_known_columns_pack_the_left_operand_as_they_go() -> None:
    plan = replace(plan_matmul(BEST, "f32", 64, None, 64, "transposed", "row", epilogue_cost=3), pack_left=64)
    with pytest.raises(InternalError, match="first columns"):
        Kernel(Case(BEST, (64, None, 64), "transposed", plan=plan))


@given(st.integers(0, 2000), st.integers(1, 12))
def test_balanced_parts_cover_a_size_evenly(size: int, most: int) -> None:
    runs = balanced(size, most)
    covered = [r.start + t * r.extent + x for r in runs for t in range(r.tiles) for x in range(r.extent)]
    assert covered == list(range(size))
    assert all(r.extent <= most for r in runs)
    assert not runs or max(r.extent for r in runs) - min(r.extent for r in runs) <= 1


@given(st.integers(1, 600), st.sampled_from([4, 8, 16]), st.integers(1, 4))
def test_only_the_last_column_tile_is_partial(n: int, lanes: int, width: int) -> None:
    runs = TilePlan(4, lanes, 4, width).columns(n)
    assert sum(r.extent * r.tiles for r in runs) == -(-n // lanes)
    assert n % lanes == 0 or runs[-1].tiles == 1


@given(st.integers(0, 40), st.integers(1, 12))
def test_the_remainders_of_a_plan_make_up_any_rest(rows: int, height: int) -> None:
    left = rows % height
    for part in TilePlan(4, 16, height, 1).remainders:
        left -= part if part <= left else 0
    assert left == 0


@every_target
@given(st.integers(1, 1100), st.integers(1, 1100), st.integers(1, 2000), st.sampled_from(PAIRS))
def test_tiles_fit_the_registers(
    target: targets.Target, m: int, n: int, k: int, layouts: tuple[Layout, Layout]
) -> None:
    plan = plan_matmul(target, "f32", m, n, k, *layouts)
    assert plan.height * plan.width + plan.width + 1 < target.vector_registers
    assert (plan.scratch_bytes(k) > 0) == plan.needs_scratch
