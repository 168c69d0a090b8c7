"""Every function of `gr` on sample operands, beside NumPy's: what their properties are tested over, and tabled from."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc as gr
from graphc.ir.types import DType, bool_, f32, f64, i32, i64, u8

FLOATS = (f32, f64)
INTEGERS = (i32, i64, u8)
NUMBERS = FLOATS + INTEGERS
ANY = (*NUMBERS, bool_)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A call of one name, and what NumPy says it gives."""

    name: str
    reference: Callable[..., Any]  # of the operands and the options
    shapes: tuple[Shape, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None  # what is called, if not the name itself
    dtypes: tuple[DType, ...] = NUMBERS
    smooth: bool = True  # has derivatives where the operands are drawn
    batches: bool = True  # means something for each of a batch of operands
    symbolic: bool = True  # works with the first axis symbolic
    low: float = -3.0
    high: float = 3.0
    peers: str = "NumPy"

    def call(self, *operands: Any) -> Any:
        """The function on operands, with its options."""
        return (self.function or operator.attrgetter(self.name)(gr))(*operands, **self.options)

    def expected(self, *operands: Any) -> Any:
        """What NumPy gives."""
        return self.reference(*operands, **self.options)

    def operands(self, dtype: DType, seed: int = 0) -> list[Any]:
        """Random operands, no two elements of one equal where they are floats."""
        rng = np.random.default_rng([seed, *map(ord, self.name)])
        return [draw(rng, shape, dtype, self.low, self.high) for shape in self.shapes]


def draw(rng: np.random.Generator, shape: Shape, dtype: DType, low: float, high: float) -> Any:
    """Evenly spaced floats in random order, moved a little; integers in the range; coin flips."""
    count = math.prod(shape)
    if dtype.is_float:
        even = low + (high - low) * (rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
        return even.reshape(shape).astype(dtype.numpy)
    if dtype is bool_:
        return rng.integers(0, 2, shape).astype(bool)
    least = 0 if dtype is u8 else math.ceil(low)
    return rng.integers(least, math.floor(high) + 1, shape).astype(dtype.numpy)


def cases(
    name: str, reference: Callable[..., Any], shapes: list[Any], options: Mapping[str, Any] | None = None, **facts: Any
) -> Iterator[Case]:
    """A case for each shape, or tuple of shapes where there are several operands."""
    for shape in shapes:
        many = shape if shape and isinstance(shape[0], tuple) else (shape,)
        yield Case(name, reference, many, options or {}, **facts)


def order(x: Any, axis: int = -1, descending: bool = False) -> Any:
    """NumPy's stable argsort, in either direction."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


def in_order(x: Any, axis: int = -1, descending: bool = False) -> Any:
    """NumPy's sort, in either direction."""
    return np.take_along_axis(x, order(x, axis, descending), axis)


def extremes(x: Any, k: int, axis: int, largest: bool) -> Any:
    """The k first of a sort."""
    return np.take(in_order(x, axis, largest), range(k), axis)


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that sums u8 and bool as i32, and keeps other dtypes."""

    def call(x: Any, **options: Any) -> Any:
        dtype = np.dtype(np.int32) if x.dtype in (np.uint8, np.bool_) else x.dtype
        return np.asarray(function(x, dtype=dtype, **options))

    return call


def backwards(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function along an axis, from the end if `reverse`."""

    def call(x: Any, axis: int, reverse: bool) -> Any:
        return np.flip(function(np.flip(x, axis), axis=axis), axis) if reverse else function(x, axis=axis)

    return call


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function with its result in the operand's dtype."""
    return lambda x, *xs, **options: function(x, *xs, **options).astype(x.dtype)


def corrected(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's name for the correction of a variance."""
    return lambda x, correction, **options: function(x, ddof=correction, **options)


def crossing(shapes: list[Any], **choices: Any) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """The shapes with each combination of options."""
    for values in itertools.product(*choices.values()):
        yield shapes, dict(zip(choices, values, strict=True))


MATRIX, ROW, BOX, EMPTY = (3, 4), (5,), (2, 3, 4), (0, 3)
SUMS = {"sum": counted(np.sum), "prod": counted(np.prod)}
TRUTHS = {"any": np.any, "all": np.all, "count_nonzero": np.count_nonzero}
STATISTICS = ("mean", "var", "std", "median", "nansum", "nanmean", "nanmax", "nanmin", "nanprod", "nanvar", "nanstd")
METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def reductions() -> Iterator[Case]:
    choices = [
        *crossing([BOX, ROW], axis=(None, 0, -1), keepdims=(False, True)),
        *crossing([BOX], axis=((0, 2), (-1, 0)), keepdims=(False, True)),
    ]
    for shapes, o in choices:
        for name, reference in SUMS.items():
            yield from cases(name, reference, shapes, o, low=-1.3, high=1.3)
        for name in ("max", "min", "ptp"):
            yield from cases(name, getattr(np, name), shapes, o)
        for name, reference in TRUTHS.items():
            yield from cases(name, reference, shapes, o, dtypes=ANY, smooth=False)
        for name in STATISTICS:
            yield from cases(name, getattr(np, name), shapes, o, dtypes=FLOATS)
        for name in ("var", "std", "nanvar", "nanstd"):
            yield from cases(name, corrected(getattr(np, name)), shapes, o | {"correction": 1}, dtypes=FLOATS)
        for method in METHODS:
            q = o | {"method": method, "q": [0.0, 0.3, 1.0]}
            yield from cases("quantile", kept(np.quantile), shapes, q, dtypes=FLOATS)
        yield from cases("percentile", kept(np.percentile), shapes, o | {"q": 35}, dtypes=FLOATS)
    for shapes, o in crossing([EMPTY], axis=(None, 0, -1), keepdims=(False, True)):
        for name, reference in (SUMS | TRUTHS).items():
            yield from cases(name, reference, shapes, o, smooth=False)
    for shapes, o in crossing([MATRIX, ROW], axis=(None, 0, -1), keepdims=(False, True)):
        for name in ("argmax", "argmin"):
            yield from cases(name, getattr(np, name), shapes, o, smooth=False)
    for w in ((3,), MATRIX):
        yield from cases("average", lambda x, w: np.average(x, 0, w), [(MATRIX, w)], dtypes=FLOATS, low=0.5,
                         function=lambda x, w: gr.average(x, 0, w))  # fmt: skip


def cumulative() -> Iterator[Case]:
    running = {"cumsum": counted(np.cumsum), "cumprod": counted(np.cumprod)}
    largest = {"cummax": np.maximum.accumulate, "cummin": np.minimum.accumulate}
    for shapes, o in crossing([MATRIX, ROW, EMPTY, BOX], axis=(0, -1)):
        yield from cases("cumulative_sum", running["cumsum"], shapes, o)
        yield from cases("cumulative_prod", running["cumprod"], shapes, o, low=-1.4, high=1.4)
    for shapes, o in crossing([MATRIX, ROW, EMPTY, BOX], axis=(0, -1), reverse=(False, True)):
        for name, reference in (running | largest).items():
            yield from cases(name, backwards(reference), shapes, o, low=-1.4, high=1.4)
    for shapes, o in crossing([MATRIX, ROW], axis=(0, -1), n=(0, 1, 2)):
        yield from cases("diff", np.diff, shapes, o)
    for shapes, o in crossing([MATRIX], axis=(0, 1), include_initial=(True,)):
        yield from cases("cumulative_sum", np.cumulative_sum, shapes, o, dtypes=FLOATS)
        yield from cases("cumulative_prod", np.cumulative_prod, shapes, o, dtypes=FLOATS)
    yield from cases("diff", lambda x, y: np.diff(x, prepend=y, append=y), [(MATRIX, (3, 1))], symbolic=False,
                     function=lambda x, y: gr.diff(x, prepend=y, append=y))  # fmt: skip
    for shapes, o in crossing([MATRIX, ROW, EMPTY], axis=(0, -1)):
        yield from cases("logcumsumexp", np.logaddexp.accumulate, shapes, o, dtypes=FLOATS, high=40.0, low=-40.0)
    yield from cases("trapezoid", np.trapezoid, [MATRIX, ROW], {"dx": 0.5, "axis": 0}, dtypes=FLOATS)
    yield from cases("trapezoid", np.trapezoid, [(MATRIX, (4,))], dtypes=FLOATS, symbolic=False)


def sorting() -> Iterator[Case]:
    for shapes, o in crossing([MATRIX, ROW, EMPTY, BOX, (17,), (2, 33)], axis=(0, -1), descending=(False, True)):
        yield from cases("argsort", order, shapes, o, dtypes=ANY, smooth=False)
        yield from cases("sort", in_order, shapes, o, dtypes=ANY)
    for shapes, o in crossing([MATRIX], k=(0, 1, 3), axis=(0, -1), largest=(False, True)):
        yield from cases("top_k", extremes, shapes, o, function=lambda x, **o: gr.top_k(x, **o)[0], symbolic=False)
    pairs = [(ROW, MATRIX), ((16,), (3,)), ((0,), (3,)), ((33,), ())]
    for shapes, o in crossing(pairs, side=("left", "right")):
        yield from cases("searchsorted", lambda x, v, **o: np.searchsorted(np.sort(x), v, **o), shapes, o,
                         function=lambda x, v, **o: gr.searchsorted(gr.sort(x), v, **o), smooth=False)  # fmt: skip
    yield from cases("searchsorted", lambda x, v: np.searchsorted(np.sort(x), v), pairs, smooth=False,
                     function=lambda x, v: gr.searchsorted(x, v, sorter=gr.argsort(x)))  # fmt: skip


PRODUCTS = [
    ((3, 4), (4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((3,), (3, 4)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((0, 4), (4, 3)), ((3, 0), (0, 2)),
    ((2, 3, 0), (2, 0, 2)), ((0, 2, 3), (1, 3, 2)),
]  # fmt: skip


def linalg() -> Iterator[Case]:
    plain: dict[str, Any] = {"symbolic": False}
    yield from cases("matmul", np.matmul, PRODUCTS, **plain)
    yield from cases("tensordot", np.tensordot, [((3, 4), (4, 2)), (BOX, (4, 5))], {"axes": 1}, **plain)
    yield from cases("tensordot", np.tensordot, [((3,), (2, 2))], {"axes": 0}, **plain)
    yield from cases("tensordot", np.tensordot, [(BOX, (5, 2, 4))], {"axes": ((0, 2), (1, -1))}, **plain)
    for shapes, o in crossing([((3, 4), (3, 4)), (BOX, (3, 4))], axis=(-1, -2)):
        yield from cases("vecdot", lambda x, y, axis: np.sum(x * y, axis, dtype=x.dtype), shapes, o, **plain)
    yield from cases("dot", np.dot, [((3, 4), (4, 2)), ((4,), (4,)), ((4,), ()), (BOX, (4,)), ((2, 3), (5, 3, 2)),
                                     ((0, 3), (3,))], **plain)  # fmt: skip
    yield from cases("inner", np.inner, [((4,), (4,)), (BOX, (5, 4)), ((), (3,)), ((2, 0), (3, 0))], **plain)
    yield from cases("vdot", np.vdot, [((3, 4), (4, 3)), ((4,), (2, 2)), ((), ()), ((0,), (0, 2))], **plain)
    yield from cases("outer", np.outer, [((3,), (4,)), ((0,), (2,))], **plain)
    yield from cases("kron", np.kron, [((2, 3), (3, 2)), ((3,), (4,)), ((2, 2), (3,))], **plain)
    yield from cases("cross", np.cross, [((4, 3), (4, 3)), ((3,), (5, 3))], dtypes=(*FLOATS, i32, i64), **plain)
    for shapes, o in crossing([MATRIX, (4, 3), (2, 3, 3)], offset=(-2, -1, 0, 1, 3, 9, -9)):
        yield from cases("diagonal", lambda x, offset: np.diagonal(x, offset, -2, -1), shapes, o, dtypes=ANY, **plain)
        yield from cases("trace", lambda x, offset: counted(np.sum)(np.diagonal(x, offset, -2, -1), axis=-1), shapes, o,
                         **plain)  # fmt: skip
    yield from cases("diagonal", lambda x: np.diagonal(x, 0, -2, -1), [(0, 0), (2, 0, 3), (3, 3)], smooth=False)
    for shapes, o in crossing([(3,), (4, 3)], k=(-2, 0, 1)):
        yield from cases("diag", np.diag, shapes, o, dtypes=ANY, **plain)
    for shapes, o in crossing([MATRIX, ROW], ord=(0, 1, 2, 3, 0.5, -1, np.inf, -np.inf), axis=(-1,)):
        yield from cases("linalg.vector_norm", np.linalg.vector_norm, shapes, o, dtypes=FLOATS, low=0.2, high=2.0)
    for shapes, o in crossing([MATRIX, BOX], ord=("fro", 1, -1, np.inf, -np.inf), keepdims=(False, True)):
        yield from cases("linalg.matrix_norm", np.linalg.matrix_norm, shapes, o, dtypes=FLOATS)
    yield from cases("linalg.norm", np.linalg.norm, [MATRIX, ROW, BOX], dtypes=FLOATS)
    yield from cases("linalg.norm", np.linalg.norm, [BOX], {"ord": 1, "axis": (2, 0), "keepdims": True}, dtypes=FLOATS)
    for shapes, o in crossing([(3, 3), (2, 2, 2)], n=(0, 1, 2, 5)):
        yield from cases("linalg.matrix_power", np.linalg.matrix_power, shapes, o, dtypes=FLOATS, high=1.0, **plain)


FORMULAS: tuple[tuple[str, tuple[Shape, ...]], ...] = (
    ("ij,jk->ik", ((3, 4), (4, 5))), ("ij,jk", ((3, 4), (4, 5))), ("ji", ((3, 4),)), ("ii", ((3, 3),)),
    ("ii->i", ((3, 3),)), ("ij->", ((3, 4),)), ("ij->j", ((3, 4),)), ("i,j->ij", ((3,), (4,))), ("i,i", ((3,), (3,))),
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))), ("...ij,...jk->...ik", ((2, 3, 4), (2, 4, 5))),
    ("...ij,jk->...ik", ((2, 2, 3, 4), (4, 5))), ("...,...", ((2, 3), (3,))), ("i...->...", ((2, 3, 4),)),
    ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))), ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ("ij,ij->ij", ((3, 4), (3, 4))), ("ij,ij->", ((3, 4), (3, 4))), ("iij->j", ((3, 3, 2),)),
    ("iijj->ij", ((2, 2, 3, 3),)), ("ab,cd->adbc", ((2, 3), (4, 5))), ("i,ij,j", ((3,), (3, 4), (4,))),
    (" i j , j k -> k i ", ((3, 4), (4, 5))), ("ij,jk->ik", ((3, 0), (0, 5))), ("ij,ij->ij", ((1, 4), (3, 1))),
    ("ijk,k->ji", ((2, 3, 4), (1,))), (",ij->ij", ((), (3, 4))), ("ij,kj,lj->ikl", ((2, 5), (3, 5), (4, 5))),
    ("nk,nl,k,l->n", ((5, 2), (5, 3), (2,), (3,))), ("aab,bcc->ac", ((2, 2, 3), (3, 4, 4))), ("...->...", ((2, 3),)),
)  # fmt: skip


def einsums() -> Iterator[Case]:
    for formula, shapes in FORMULAS:
        yield Case("einsum", functools.partial(np.einsum, formula), shapes, symbolic=False,
                   function=functools.partial(gr.einsum, formula))  # fmt: skip
    lists = ([0, 1], [1, 2], [2, 0])
    yield from cases("einsum", lambda x, y: np.einsum(x, lists[0], y, *lists[1:]), [((3, 4), (4, 5))], symbolic=False,
                     function=lambda x, y: gr.einsum(x, lists[0], y, *lists[1:]))  # fmt: skip


REDUCING = (*reductions(), *cumulative(), *sorting(), *linalg(), *einsums())
