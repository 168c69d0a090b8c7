"""Every rule of the table, on the values where identities usually fail: signed zeros, infinities, NaN, extremes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from graphc.errors import DTypeError
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Array, Input, Node, Scope
from graphc.ir.types import DType, bool_, f32, f64, i32, u8
from graphc.passes.rewrite import Rule, RuleSet, rewrite
from graphc.passes.simplify import ARITHMETIC, LOGIC

RULES = (*ARITHMETIC, *LOGIC)
DTYPES = (f32, f64, i32, u8, bool_)

SPECIAL: dict[str, list[Any]] = {
    "float": [0.0, -0.0, 1.0, -1.0, 0.3, -7.25, 1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan],
    "int": [0, 1, -1, 7, -100, 2**31 - 1, -(2**31)],
    "uint": [0, 1, 7, 100, 255],
    "bool": [False, True],
}
CONSTANTS = [2.0, -0.25, 3.0, -0.0, 1024.0, np.inf]


def is_same(got: Array, expected: Array) -> bool:
    """Equal bits; any NaN is one."""
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return False
    if got.dtype.kind == "f":
        both = np.isnan(got) & np.isnan(expected)
        got, expected = np.where(both, 0, got).astype(got.dtype), np.where(both, 0, expected).astype(got.dtype)
    return got.tobytes() == expected.tobytes()


def is_close(got: Array, expected: Array) -> bool:
    """Equal up to a few roundings, at least of subnormals; integers have none."""
    if got.dtype.kind != "f":
        return is_same(got, expected)
    info = np.finfo(got.dtype)
    return bool(np.allclose(got, expected, rtol=4 * info.eps, atol=4 * info.smallest_subnormal, equal_nan=True))


def operands(rule: Rule, dtype: DType) -> dict[str, Array]:
    """An array for each parameter that is not a constant: every combination of special values."""
    names = [p for p in rule.parameters if p not in rule.constants]
    types = {p: bool_ if p in rule.predicates else dtype for p in names}
    rows = list(itertools.product(*(SPECIAL[types[p].kind] for p in names)))
    with np.errstate(all="ignore"):
        return {p: np.array([r[i] for r in rows]).astype(types[p].numpy) for i, p in enumerate(names)}


def holds_on(rule: Rule, dtype: DType, constants: dict[str, float]) -> bool:
    """Whether the rule, applied to a graph of its left side, fires and keeps the values. False: not of this dtype."""
    arrays = operands(rule, dtype)
    scope = Scope()
    types = {p: (bool_ if p in rule.predicates else dtype)[a.shape] for p, a in arrays.items()}
    nodes: dict[str, Node] = {p: scope.typed(Input(p), t) for p, t in types.items()}
    try:
        left = rule.left(*((nodes | constants)[p] for p in rule.parameters))
    except DTypeError:
        return False
    graph = Graph("rule", scope, tuple(nodes.values()), (left,))
    rewritten = rewrite(graph, RuleSet([rule]))
    assert rewritten.outputs != graph.outputs, "the rule did not fire"
    (before,), (after,) = (evaluate(g, list(arrays.values()), {}).outputs for g in (graph, rewritten))
    assert is_same(after, before) if rule.exact else is_close(after, before)
    return True


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_rule_fires_and_keeps_every_value(rule: Rule) -> None:
    repeat = len(rule.constants)
    choices = [dict(zip(rule.constants, c, strict=True)) for c in itertools.product(CONSTANTS, repeat=repeat)]
    held = [
        holds_on(rule, dtype, constants)
        for dtype in DTYPES
        if dtype.kind in rule.kinds
        for constants in choices
        if rule.when is None or rule.when(*(constants.get(p) for p in rule.parameters))
    ]
    assert any(held)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_both_sides_of_a_rule_agree_on_plain_arrays(rule: Rule) -> None:
    dtype = f64 if "float" in rule.kinds else i32 if "int" in rule.kinds else bool_
    if rule.left.__code__.co_names and {"and_", "or_", "not_"} & set(rule.left.__code__.co_names):
        dtype = bool_
    values = operands(rule, dtype) | dict.fromkeys(rule.constants, 4.0)
    with np.errstate(all="ignore"):
        left, right = (np.asarray(side(*(values[p] for p in rule.parameters))) for side in (rule.left, rule.right))
    right = np.broadcast_to(right, left.shape).astype(left.dtype)
    assert is_same(right, left) if rule.exact else is_close(right, left)


@pytest.mark.parametrize(
    "wrong",
    [
        Rule("add_positive_zero", lambda x: x + 0.0, lambda x: x, kinds=("float",)),
        Rule("mul_zero_of_floats", lambda x: x * 0.0, lambda x: 0.0, kinds=("float",)),
        Rule("sub_self_of_floats", lambda x: x - x, lambda x: 0.0, kinds=("float",)),
        Rule("factor", lambda x, y, z: x * y + x * z, lambda x, y, z: x * (y + z), kinds=("float",)),
        Rule("neg_of_difference", lambda x, y: -(x - y), lambda x, y: y - x, kinds=("float",)),
    ],
    ids=lambda r: r.name,
)
def test_a_rule_that_is_not_exact_is_caught(wrong: Rule) -> None:
    with pytest.raises(AssertionError):
        test_rule_fires_and_keeps_every_value(wrong)


def test_names_of_rules_are_distinct() -> None:
    names = [r.name for r in RULES]
    assert len(names) == len(set(names))
