"""Algebraic simplification: the table of identities that hold element by element, and the pass that applies every rule.

Exact means IEEE-exact: x·0 stays (NaN, −0.0), x + 0.0 stays (−0.0), sums are not reassociated.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache

from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import DType
from graphc.ops.elementwise import Abs, Max, Min, Neg, Pow, StopGradient
from graphc.ops.logic import And, Cast, Eq, Ne, Not, Or, Select
from graphc.passes.contract import CONTRACTION
from graphc.passes.convolution import CONVOLUTION
from graphc.passes.fold import FOLDING
from graphc.passes.hoist import HOISTING
from graphc.passes.movement import MOVEMENT
from graphc.passes.pads import PADS
from graphc.passes.rewrite import Rule, RuleSet, function, rewrite, structural

abs_, neg, min_, max_, pow_ = (function(op()) for op in (Abs, Neg, Min, Max, Pow))
and_, or_, not_, eq, ne = function(And()), function(Or()), function(Not()), function(Eq()), function(Ne())
select, stop_gradient = function(Select()), function(StopGradient())

FLOAT, SIGNED, INTEGER, BOOL = ("float",), ("float", "int"), ("int", "uint"), ("bool",)


def is_power_of_two(c: float) -> bool:
    """Whether c and 1 / c are both powers of two well inside the range of every float type."""
    return c != 0 and math.isfinite(c) and abs(math.frexp(c)[0]) == 0.5 and abs(math.log2(abs(c))) <= 100


ARITHMETIC = (
    Rule("mul_one", lambda x: x * 1, lambda x: x),
    Rule("div_one", lambda x: x / 1, lambda x: x),
    Rule("sub_zero", lambda x: x - 0.0, lambda x: x),
    Rule("add_negative_zero", lambda x: x + (-0.0), lambda x: x, kinds=FLOAT),
    Rule("add_zero", lambda x: x + 0, lambda x: x, kinds=INTEGER),
    Rule("mul_zero", lambda x: x * 0, lambda x: 0, kinds=INTEGER),
    Rule("sub_self", lambda x: x - x, lambda x: 0, kinds=INTEGER),
    Rule("negative_zero_sub", lambda x: -0.0 - x, lambda x: -x, kinds=FLOAT),
    Rule("mul_minus_one", lambda x: x * -1, lambda x: -x, kinds=SIGNED),
    Rule("div_minus_one", lambda x: x / -1, lambda x: -x, kinds=FLOAT),
    Rule("div_power_of_two", lambda x, c: x / c, lambda x, c: x * (1 / c),
         kinds=FLOAT, constants=("c",), when=lambda x, c: is_power_of_two(c)),
    Rule("neg_neg", lambda x: neg(neg(x)), lambda x: x),
    Rule("add_neg", lambda x, y: x + (-y), lambda x, y: x - y),
    Rule("sub_neg", lambda x, y: x - (-y), lambda x, y: x + y),
    Rule("mul_neg", lambda x, y: (-x) * y, lambda x, y: -(x * y)),
    Rule("div_neg", lambda x, y: (-x) / y, lambda x, y: -(x / y), kinds=FLOAT),
    Rule("div_by_neg", lambda x, y: x / (-y), lambda x, y: -(x / y), kinds=FLOAT),
    Rule("neg_mul_constant", lambda x, c: -(x * c), lambda x, c: x * -c, kinds=FLOAT, constants=("c",)),
    Rule("neg_div_constant", lambda x, c: -(x / c), lambda x, c: x / -c, kinds=FLOAT, constants=("c",)),
    Rule("neg_constant_div", lambda x, c: -(c / x), lambda x, c: -c / x, kinds=FLOAT, constants=("c",)),
    Rule("abs_neg", lambda x: abs_(-x), lambda x: abs_(x), kinds=SIGNED),
    Rule("abs_abs", lambda x: abs_(abs_(x)), lambda x: abs_(x)),
    Rule("abs_squared", lambda x: abs_(x) * abs_(x), lambda x: x * x),
    Rule("min_same", lambda x: min_(x, x), lambda x: x),
    Rule("max_same", lambda x: max_(x, x), lambda x: x),
    Rule("pow_zero", lambda x: pow_(x, 0.0), lambda x: 1.0),
    Rule("pow_one", lambda x: pow_(x, 1.0), lambda x: x),
    Rule("pow_two", lambda x: pow_(x, 2.0), lambda x: x * x, exact=False),
    Rule("pow_three", lambda x: pow_(x, 3.0), lambda x: x * x * x, exact=False),
    Rule("pow_minus_one", lambda x: pow_(x, -1.0), lambda x: 1.0 / x, exact=False, kinds=("float",)),
    Rule("stop_gradient", lambda x: stop_gradient(x), lambda x: x),
)  # fmt: skip

LOGIC = (
    Rule("not_not", lambda p: not_(not_(p)), lambda p: p),
    Rule("not_eq", lambda x, y: not_(eq(x, y)), lambda x, y: ne(x, y)),
    Rule("not_ne", lambda x, y: not_(ne(x, y)), lambda x, y: eq(x, y)),
    Rule("and_true", lambda p: and_(p, True), lambda p: p, kinds=BOOL),
    Rule("and_false", lambda p: and_(p, False), lambda p: False, kinds=BOOL),
    Rule("and_same", lambda p: and_(p, p), lambda p: p),
    Rule("or_true", lambda p: or_(p, True), lambda p: True, kinds=BOOL),
    Rule("or_false", lambda p: or_(p, False), lambda p: p, kinds=BOOL),
    Rule("or_same", lambda p: or_(p, p), lambda p: p),
    Rule("select_true", lambda x, y: select(True, x, y), lambda x, y: x),
    Rule("select_false", lambda x, y: select(False, x, y), lambda x, y: y),
    Rule("select_same", lambda x, p: select(p, x, x), lambda x, p: x, predicates=("p",)),
    Rule("select_not", lambda x, y, p: select(not_(p), x, y), lambda x, y, p: select(p, y, x), predicates=("p",)),
    Rule("select_bools", lambda p: select(p, True, False), lambda p: p, predicates=("p",)),
    Rule("select_select", lambda x, y, z, p: select(p, select(p, x, y), z),
         lambda x, y, z, p: select(p, x, z), predicates=("p",)),
    Rule("select_else_select", lambda x, y, z, p: select(p, x, select(p, y, z)),
         lambda x, y, z, p: select(p, x, z), predicates=("p",)),
)  # fmt: skip


def is_lossless(source: DType, target: DType) -> bool:
    """Whether every value of one dtype is a value of the other."""
    if source == target or source.kind == "bool":
        return True
    if target.kind == "bool" or (source.is_float and not target.is_float):
        return False
    if source.is_float:
        return target.itemsize > source.itemsize  # neither of two 16-bit formats holds the other
    if target.is_float:
        return 8 * source.itemsize <= target.precision
    if source.kind == target.kind:
        return target.itemsize >= source.itemsize
    return source.kind == "uint" and target.itemsize > source.itemsize


@structural(Cast)
def drop_cast(node: Node, op: Cast) -> Node | None:
    """A cast to the operand's own dtype is the operand."""
    (x,) = node.inputs
    return x if x.type == node.type else None


@structural(Cast)
def merge_casts(node: Node, op: Cast) -> Node | None:
    """Casting to a dtype that holds every value, then on, is one cast.

    Not where an integer would reach a smaller integer by way of floats: that saturates, the direct cast wraps.
    """
    (middle,) = node.inputs
    if not isinstance(middle.op, Cast):
        return None
    (x,) = middle.inputs
    source, between, target = x.type.dtype, middle.op.dtype, op.dtype
    saturates = source.is_integer and between.is_float and target.is_integer
    if not is_lossless(source, between) or (saturates and not is_lossless(source, target)):
        return None
    return build.cast(x, target)


CASTS = (drop_cast, merge_casts)

RULES = (*FOLDING, *ARITHMETIC, *LOGIC, *CASTS, *MOVEMENT, *PADS, *HOISTING, *CONTRACTION, *CONVOLUTION)


@lru_cache
def simplifying_rules(skip: frozenset[str]) -> RuleSet:
    """Every rule of the pass but those skipped, indexed once a process."""
    return RuleSet(RULES, skip)


def simplify(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """The graph in the normal form of all rules; `skip` names rules to leave out."""
    return rewrite(graph, simplifying_rules(frozenset(skip)))
