"""Laws that every primitive keeps: its type rule and its meaning agree, its emission is its meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir.dim import symbol
from graphc.ir.node import Op
from graphc.ir.types import DType, TensorType, bool_, f32, f64, i32, i64, u8, u32
from tests.lane_kernels import TARGETS, Kernel
from tests.op_cases import EVERY, Case, dtypes, each_case, elementwise_ops, type_of

N = symbol("N")
NAMES = [op.mnemonic() for op in ops.ALL]


def test_every_primitive_has_cases_and_a_mnemonic_of_its_own() -> None:
    assert {type(case.op) for case in EVERY} == set(ops.ALL)
    assert len(set(NAMES)) == len(NAMES) == len(set(ops.ALL))


@pytest.mark.parametrize("op", ops.ALL, ids=NAMES)
def test_every_primitive_states_its_meaning(op: type[Op]) -> None:
    assert op.__doc__ and op.infer is not Op.infer and op.eval is not Op.eval
    assert (op.vjp is not Op.vjp) == op.differentiable
    assert (op.batch is not Op.batch) != issubclass(op, ops.Generator)


@each_case
def test_type_rule_and_meaning_agree(case: Case) -> None:
    for dtype in dtypes(case.op):
        operands = case.operands(np.random.default_rng(1), dtype)
        with np.errstate(all="ignore"):
            result = np.asarray(case.op.eval(*operands))
        assert case.op.infer(*map(type_of, operands)) == type_of(result)


@each_case
def test_operands_are_left_alone(case: Case) -> None:
    operands = case.operands(np.random.default_rng(1), dtypes(case.op)[0])
    for x in operands:
        x.setflags(write=False)
    with np.errstate(all="ignore"):
        case.op.eval(*operands)


@pytest.mark.parametrize("case", [c for c in EVERY if isinstance(c.op, ops.Movement)], ids=lambda c: str(c.op))
def test_pull_names_the_place_an_element_comes_from(case: Case) -> None:
    assert isinstance(case.op, ops.Movement)
    if type(case.op).pull is ops.Movement.pull:
        return
    (x,) = case.operands(np.random.default_rng(1), f64)
    y = case.op.eval(x)
    for index in np.ndindex(*y.shape):
        assert y[index] == x[case.op.pull(index)]


SPECIAL: dict[str, tuple[Any, ...]] = {
    "float": (
        0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 88.9, -104.0
    ),
    "int": (0, 1, -1, 2, -7, 31, 32, 63, 64),
    "uint": (0, 1, 2, 7, 31, 32, 64, 200),
    "bool": (True, False),
}  # fmt: skip


def operands_with_specials(op: ops.Elementwise, dtype: DType) -> list[np.ndarray[Any, Any]]:
    """Drawn operands, then every combination of special values (of the first two operands)."""
    rng = np.random.default_rng(3)
    drawn = [s.draw(rng, (200,), dtype) for s in op.samples]
    sets = []
    for x in drawn:
        kind = type_of(x).dtype.kind
        extremes = ops.base.limits(type_of(x).dtype) if kind in ("int", "uint") else ()
        sets.append(np.array((*SPECIAL[kind], *extremes), x.dtype))
    grid = [g.ravel() for g in np.meshgrid(*sets)] if len(sets) < 4 else [np.resize(s, 40) for s in sets]
    return [np.concatenate([x, g]) for x, g in zip(drawn, grid, strict=True)]


def ulp_error(got: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """|got − exact| in units in the last place of the result's dtype; 0 where both are the same special value."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        spacing = np.spacing(np.abs(rounded)).astype(np.float64)
        error = np.abs(got.astype(np.float64) - exact) / spacing
    return np.where((got == rounded) | (np.isnan(got) & np.isnan(rounded)), 0.0, np.nan_to_num(error, nan=np.inf))


@pytest.mark.parametrize("op", list(elementwise_ops()), ids=str)
def test_emission_is_the_meaning(op: ops.Elementwise) -> None:
    name, target = list(TARGETS.items())[-1]
    for dtype in op.dtypes:
        operands = operands_with_specials(op, dtype)
        result = op.infer(*map(type_of, operands)).dtype
        names = [type_of(x).dtype.name for x in operands]
        got = Kernel(op.emit, names, result.name, 4, target)(*operands)
        wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in operands]
        precise = ops.Cast(f64) if op == ops.Cast(f32) else op
        with np.errstate(all="ignore"):
            expected = precise.eval(*(wide if result == f32 and op.ulps else operands))
        if result.is_float:
            slack = 2.0 if result == f64 else 0.0  # NumPy's own error
            worst = ulp_error(got, expected)
            at = int(np.argmax(worst))
            assert worst[at] <= max(op.ulps, 0.5) + slack * (op.ulps > 0.5), (
                dtype, name, [x[at] for x in operands], got[at], expected[at]
            )  # fmt: skip
        else:
            different = np.flatnonzero(got != expected)
            assert not len(different), (dtype, name, [x[different[0]] for x in operands], got[different[0]])


@pytest.mark.parametrize(
    ("key", "counter", "block"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_vectors(
    key: tuple[int, int], counter: tuple[int, int], block: tuple[int, int]
) -> None:
    """Random123 1.14, kat_vectors: threefry2x32, 20 rounds."""
    operands = [np.array(v, np.uint32) for v in (*key, *counter)]
    with np.errstate(all="ignore"):
        assert tuple(int(ops.Threefry(word).eval(*operands)) for word in (0, 1)) == block


def meaning(op: Op, *operands: Any) -> Any:
    """An op on Python values, as Python values."""
    arrays = [np.asarray(x) for x in operands]
    with np.errstate(all="ignore"):
        return np.asarray(op.eval(*arrays)).tolist()


LOW = -(2**31)


@pytest.mark.parametrize(
    ("op", "operands", "expected"),
    [
        (ops.Div(), (np.array([7, -7, 5, LOW], np.int32), np.array([2, 2, 0, -1], np.int32)), [3, -4, 0, LOW]),
        (ops.Rem(), (np.array([7, -7, 5, LOW], np.int32), np.array([2, 2, 0, -1], np.int32)), [1, 1, 0, 0]),
        (ops.Rem(), ([5.5, -5.5, 5.5], [2.0, 2.0, -2.0]), [1.5, 0.5, -0.5]),
        (ops.Cast(i32), ([np.nan, 3e9, -3e9, -1.9, np.inf],), [0, 2**31 - 1, LOW, -1, 2**31 - 1]),
        (ops.Cast(i64), ([1e19, -1e19, 2.0**62],), [2**63 - 1, -(2**63), 2**62]),
        (ops.Cast(u8), ([-1.0, 256.0, 255.9],), [0, 255, 255]),
        (ops.Cast(u8), (np.array([-1, 256, 255], np.int32),), [255, 0, 255]),
        (ops.Cast(bool_), ([0.0, -0.0, np.nan, 0.1],), [False, False, True, True]),
        (ops.Shl(), (np.array([1, 1, 1, 3], np.int32), np.array([31, 32, -1, 1], np.int32)), [LOW, 0, 0, 6]),
        (ops.Shr(), (np.array([-8, -8, -8], np.int32), np.array([1, 32, -1], np.int32)), [-4, 0, 0]),
        (ops.Shr(), (np.array([2**31, 8], np.uint32), np.array([31, 40], np.uint32)), [1, 0]),
        (ops.Round(), ([0.5, 1.5, 2.5, -0.5],), [0.0, 2.0, 2.0, -0.0]),
        (ops.Sigmoid(), ([-1000.0, 1000.0, 0.0],), [0.0, 1.0, 0.5]),
        (ops.ArgMax(0), ([1.0, 3.0, 3.0],), 1),
        (ops.ArgMax(0), ([1.0, np.nan, 3.0, np.nan],), 1),
        (ops.ArgMin(0), ([1.0, np.nan, -3.0],), 1),
        (ops.ReduceMax((0,)), ([[], []],), []),
        (ops.ReduceMax((1,)), ([[], []],), [-np.inf, -np.inf]),
        (ops.ReduceMin((0,)), (np.zeros(0, np.uint8),), 255),
        (ops.ReduceProd((0,)), (np.zeros(0),), 1.0),
        (ops.Gather(0), ([10.0, 20.0, 30.0], np.array([-5, 1, 99], np.int32)), [10.0, 20.0, 30.0]),
        (ops.Gather(0), ([10.0, 20.0], np.array([2**64 - 1], np.uint64)), [20.0]),
        (ops.ScatterAdd(0), ([0.0, 0.0], np.array([1, 1, 7], np.int32), [1.0, 2.0, 4.0]), [0.0, 7.0]),
        (ops.Pad((1,), (0,), (1,)), ([1, 2, 3], 9), [9, 1, 9, 2, 9, 3]),
    ],
    ids=lambda value: str(value) if isinstance(value, Op) else None,
)
def test_meaning_at_special_values(op: Op, operands: tuple[Any, ...], expected: Any) -> None:
    np.testing.assert_array_equal(meaning(op, *operands), expected)


@pytest.mark.parametrize(
    ("op", "operands", "error", "message"),
    [
        (ops.Add(), (f32[N, 64], f32[N]), ShapeError, "shapes differ"),
        (ops.Add(), (f32[3], f64[3]), DTypeError, "dtypes differ"),
        (ops.Add(), (bool_[3], bool_[3]), DTypeError, "not defined on bool"),
        (ops.Exp(), (i32[3],), DTypeError, "not defined on i32"),
        (ops.Exp(), (f32[3], f32[3]), ShapeError, "takes 1 operand, got 2"),
        (ops.Select(), (f32[3], f32[3], f32[3]), DTypeError, "not bool"),
        (ops.Select(), (bool_[N], f32[3], f32[3]), ShapeError, "shapes differ"),
        (ops.Broadcast((N, 3), (1,)), (f32[1],), ShapeError, "does not fit"),
        (ops.Broadcast((4, 3), (1, 0)), (f32[3, 4],), ShapeError, "does not fit"),
        (ops.Reshape((N, 8)), (f32[N, 4],), ShapeError, "does not have the size"),
        (ops.Transpose((0, 0)), (f32[3, 4],), ShapeError, "do not fit"),
        (ops.Slice((0,), (5,), (1,)), (f32[4],), ShapeError, "outside"),
        (ops.Slice((0,), (N + 1,), (1,)), (f32[N],), ShapeError, "outside"),
        (ops.Pad((-1,), (0,), (0,)), (f32[4], f32[()]), ShapeError, "negative"),
        (ops.Concat(0), (f32[2, 3], f32[2, 4]), ShapeError, "shapes differ"),
        (ops.Concat(0), (), ShapeError, "at least one"),
        (ops.ReduceSum((1, 0)), (f32[2, 3],), ShapeError, "not sorted"),
        (ops.ReduceSum((2,)), (f32[2, 3],), ShapeError, "do not fit"),
        (ops.DotGeneral((1,), (0,)), (f32[N, 784], f32[128, 10]), ShapeError, r"differ \(784 != 128\)"),
        (ops.Gather(0), (f32[3], f32[2]), DTypeError, "not defined on f32"),
        (ops.Gather(1, 1), (f32[3, 4], i32[2, 2]), ShapeError, "the first 1 axes"),
        (ops.ScatterAdd(0), (f32[3], i32[2], f32[3]), ShapeError, "the updates are"),
        (ops.Iota(f32, (3,), 1), (), ShapeError, "do not fit"),
        (ops.Threefry(2), (u32[3],) * 4, ShapeError, "words 0 and 1"),
    ],
    ids=lambda value: str(value) if isinstance(value, Op) else None,
)  # fmt: skip
def test_ill_typed_operands_are_refused(
    op: Op, operands: tuple[TensorType, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        op.infer(*operands)


@pytest.mark.parametrize(
    ("op", "operands", "result"),
    [
        (ops.Reshape((N * 8,)), (f32[N, 2, 4],), f32[8 * N]),
        (ops.Slice((0,), (N,), (2,)), (f32[N],), f32[(N + 1) // 2]),
        (ops.Slice((0,), (2 * N,), (2,)), (f32[2 * N],), f32[N]),
        (ops.Pad((1,), (2,), (0,)), (f32[N], f32[()]), f32[N + 3]),
        (ops.Concat(0), (f32[N], f32[N], f32[3]), f32[2 * N + 3]),
        (ops.DotGeneral((1,), (1,), (0,), (0,)), (f32[N, 5, 3], f32[N, 5, 2]), f32[N, 3, 2]),
        (ops.Gather(0), (f32[10, 4], u8[N]), f32[N, 4]),
    ],
    ids=lambda value: str(value) if isinstance(value, Op) else None,
)
def test_symbolic_shapes(op: Op, operands: tuple[TensorType, ...], result: TensorType) -> None:
    assert op.infer(*operands) == result
