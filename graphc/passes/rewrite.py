"""The rewrite engine: rules, and one driver that applies them bottom-up until nothing changes.

A `Rule` is a pair of ordinary functions. Tracing the left one over wildcards gives its pattern; the right one, called
on the nodes that the wildcards met, builds the replacement; both, called on arrays, are the rule's own test. What a
pattern can't say (permutations, shapes, dimension numbers) is a `Structural` rule: a function of the node and its op.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from graphc.errors import InternalError
from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Node, Op
from graphc.ir.types import DType
from graphc.ops.elementwise import Add, Div, Max, Min, Mul, Neg, Sub
from graphc.ops.logic import And, Eq, Ne, Or, Xor
from graphc.ops.movement import Broadcast

Number: TypeAlias = float | int | bool
Bindings: TypeAlias = dict[str, Any]  # parameter -> Node, or Number where it stands for a constant

COMMUTATIVE: frozenset[type[Op]] = frozenset({Add, Mul, Min, Max, And, Or, Xor, Eq, Ne})


class Pattern:
    """What a rule's left side becomes when it is traced; Python's operators build more of it."""

    def __add__(self, other: Any) -> Pattern:
        return Application(Add(), (self, pattern(other)))

    def __radd__(self, other: Any) -> Pattern:
        return Application(Add(), (pattern(other), self))

    def __sub__(self, other: Any) -> Pattern:
        return Application(Sub(), (self, pattern(other)))

    def __rsub__(self, other: Any) -> Pattern:
        return Application(Sub(), (pattern(other), self))

    def __mul__(self, other: Any) -> Pattern:
        return Application(Mul(), (self, pattern(other)))

    def __rmul__(self, other: Any) -> Pattern:
        return Application(Mul(), (pattern(other), self))

    def __truediv__(self, other: Any) -> Pattern:
        return Application(Div(), (self, pattern(other)))

    def __rtruediv__(self, other: Any) -> Pattern:
        return Application(Div(), (pattern(other), self))

    def __neg__(self) -> Pattern:
        return Application(Neg(), (self,))

    def match(self, node: Node, bound: Bindings) -> bool:
        """Whether the node is an instance; what the wildcards stand for is added to `bound`."""
        raise NotImplementedError

    def admits(self, op: type[Op]) -> bool:
        """Whether a node of this op class can be an instance."""
        raise NotImplementedError

    def variants(self) -> list[Pattern]:
        """The pattern with the operands of commutative ops in either order."""
        return [self]


@dataclass(frozen=True)
class Wildcard(Pattern):
    """Any node; the same one wherever the name stands."""

    name: str

    def match(self, node: Node, bound: Bindings) -> bool:
        return bound.setdefault(self.name, node) is node

    def admits(self, op: type[Op]) -> bool:
        return True


@dataclass(frozen=True)
class ConstantWildcard(Pattern):
    """Any constant with one value throughout, bound as a Python number."""

    name: str

    def match(self, node: Node, bound: Bindings) -> bool:
        value = uniform_value(node)
        return value is not None and bound.setdefault(self.name, value) == value

    def admits(self, op: type[Op]) -> bool:
        return op in (Constant, Broadcast)


@dataclass(frozen=True)
class Literal(Pattern):
    """The constant of exactly this value, in the node's dtype: 0.0 is not −0.0."""

    value: Number

    def match(self, node: Node, bound: Bindings) -> bool:
        data = uniform_data(node)
        return data is not None and data == literal_data(self.value, node.type.dtype)

    def admits(self, op: type[Op]) -> bool:
        return op in (Constant, Broadcast)


@dataclass(frozen=True)
class Application(Pattern):
    """An op, attributes included, applied to patterns."""

    op: Op
    operands: tuple[Pattern, ...]

    def match(self, node: Node, bound: Bindings) -> bool:
        if type(node.op) is not type(self.op) or node.op != self.op:
            return False
        return all(operand.match(value, bound) for operand, value in zip(self.operands, node.inputs, strict=True))

    def admits(self, op: type[Op]) -> bool:
        return op is type(self.op)

    def variants(self) -> list[Pattern]:
        orders = [self.operands, self.operands[::-1]] if type(self.op) in COMMUTATIVE else [self.operands]
        choices = (itertools.product(*(p.variants() for p in order)) for order in orders)
        return list(dict.fromkeys(Application(self.op, c) for c in itertools.chain(*choices)))


def pattern(value: Any) -> Pattern:
    """A pattern as it is, a number as the literal it matches."""
    return value if isinstance(value, Pattern) else Literal(value)


def uniform_data(node: Node) -> bytes | None:
    """The bytes of the one value a scalar constant, or a broadcast of one, has everywhere; else None."""
    source = node.inputs[0] if type(node.op) is Broadcast else node
    return source.op.data if isinstance(source.op, Constant) and not source.type.shape else None


def uniform_value(node: Node) -> Number | None:
    """That value as a Python number."""
    data = uniform_data(node)
    return None if data is None else np.frombuffer(data, node.type.dtype.numpy).item()


def literal_data(value: Number, dtype: DType) -> bytes | None:
    """The bytes of a Python number in a dtype; None where the dtype does not hold it."""
    if isinstance(value, bool) != (dtype.kind == "bool") or (dtype.kind == "uint" and value < 0):
        return None
    if dtype.is_integer and value != int(value):
        return None
    return np.array(value).astype(dtype.numpy).tobytes()


def apply(op: Op, *operands: Any) -> Any:
    """An op applied to patterns, nodes or arrays alike; a number among nodes becomes a constant beside them."""
    if any(isinstance(x, Pattern) for x in operands):
        return Application(op, tuple(pattern(x) for x in operands))
    nodes = [x for x in operands if isinstance(x, Node)]
    if not nodes:
        return op.eval(*operands)
    return nodes[0].scope.node(op, *(as_node(x, nodes[0]) for x in operands))


def as_node(value: Any, like: Node) -> Node:
    """A node as it is, a number as the constant of another node's type."""
    if isinstance(value, Node):
        return value
    return build.constant(like.scope, value, like.type.dtype, like.type.shape)


def function(op: Op) -> Callable[..., Any]:
    """The function a rule calls for an op that has no operator: `select = function(Select())`."""
    return lambda *operands: apply(op, *operands)


class Rewriter(Protocol):
    """What the driver applies. A call gives None where the node is no instance; `admits` tells for op classes alone."""

    @property
    def name(self) -> str: ...
    def admits(self, op: type[Op], operands: Sequence[type[Op]]) -> bool: ...
    def __call__(self, node: Node) -> Node | None: ...


@dataclass(frozen=True)
class Rule:
    """left(x, …) = right(x, …). `exact`: the same bits (any NaN is one); else equal up to rounding.

    Parameters in `constants` match constants and reach both sides as numbers, those in `predicates` are booleans.
    `kinds` limits the dtype kinds the first parameter may have; `when` tests what the parameters are bound to.
    """

    name: str
    left: Callable[..., Any]
    right: Callable[..., Any]
    exact: bool = True
    kinds: tuple[str, ...] = ("float", "int", "uint", "bool")
    constants: tuple[str, ...] = ()
    predicates: tuple[str, ...] = ()
    when: Callable[..., bool] | None = field(default=None, kw_only=True)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names that both sides share, in order."""
        return tuple(inspect.signature(self.left).parameters)

    @cached_property
    def patterns(self) -> tuple[Application, ...]:
        """The traced left side, in every order of commutative operands."""
        wildcards = (ConstantWildcard(p) if p in self.constants else Wildcard(p) for p in self.parameters)
        variants = self.left(*wildcards).variants()
        return tuple(v for v in variants if isinstance(v, Application))

    def admits(self, op: type[Op], operands: Sequence[type[Op]]) -> bool:
        return any(
            p.admits(op) and all(q.admits(x) for q, x in zip(p.operands, operands, strict=True)) for p in self.patterns
        )

    def __call__(self, node: Node) -> Node | None:
        for candidate in self.patterns:
            bound: Bindings = {}
            if candidate.match(node, bound) and self.holds_for(bound):
                return as_node(self.right(*(bound[p] for p in self.parameters)), node)
        return None

    def holds_for(self, bound: Bindings) -> bool:
        """Whether what the wildcards met is of the kind and the values the rule holds for."""
        first = bound[self.parameters[0]]
        if isinstance(first, Node) and first.type.dtype.kind not in self.kinds:
            return False
        return self.when is None or self.when(*(bound[p] for p in self.parameters))


@dataclass(frozen=True)
class Structural:
    """A rule that looks at types and attributes: it gets the node and its op; `ops` are op classes or kinds of them."""

    function: Callable[[Node, Any], Node | None]
    ops: tuple[type[Op], ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    def admits(self, op: type[Op], operands: Sequence[type[Op]]) -> bool:
        return issubclass(op, self.ops)

    def __call__(self, node: Node) -> Node | None:
        return self.function(node, node.op)


AnyOp = TypeVar("AnyOp", bound=Op)


def structural(*ops: type[AnyOp]) -> Callable[[Callable[[Node, AnyOp], Node | None]], Structural]:
    """Make a function `(node, op) -> Node | None` a rule for nodes of these op classes."""
    return lambda function: Structural(function, ops)


class RuleSet:
    """Rules indexed by the op classes of a node and its operands; `skip` names rules to leave out."""

    def __init__(self, rules: Iterable[Rewriter], skip: Collection[str] = ()):
        self.rules: tuple[Rewriter, ...] = tuple(r for r in rules if r.name not in skip)
        self._by_classes: dict[tuple[type[Op], ...], tuple[Rewriter, ...]] = {}

    def of(self, node: Node) -> tuple[Rewriter, ...]:
        """The rules that a node of its op, over operands of their ops, may be an instance of, in order."""
        classes = (type(node.op), *[type(x.op) for x in node.inputs])
        found = self._by_classes.get(classes)
        if found is None:
            found = tuple(r for r in self.rules if r.admits(classes[0], classes[1:]))
            self._by_classes[classes] = found
        return found

    def step(self, node: Node) -> Node:
        """The first replacement that a rule makes, else the node; raises `InternalError` where the type changes."""
        for rule in self.of(node):
            replacement = rule(node)
            if replacement is None or replacement is node:
                continue
            if replacement.type != node.type:
                raise InternalError(f"rewrite rule {rule.name} turns {node!r} into {replacement!r}: another type")
            return replacement
        return node


def rewrite(graph: Graph, rules: RuleSet) -> Graph:
    """The graph with every node in the normal form that the rules lead to.

    Iterative, and each distinct node is rewritten once: time is linear in the nodes met. Raises `InternalError` where
    a rule changes a type or where rules run in a circle.
    """
    normal = normal_forms(graph.nodes(), rules)
    return graph.with_roots((normal[n] for n in graph.outputs), ((v, normal[n]) for v, n in graph.updates))


def normal_forms(nodes: Sequence[Node], rules: RuleSet) -> dict[Node, Node]:
    """The normal form of every node met: operands first, then the node over them, then what it turns into."""
    normal: dict[Node, Node] = {}
    successor: dict[Node, Node] = {}  # a node that a rule or a rewritten operand has changed -> what it became
    opened: set[Node] = set()  # while not in `normal`: the path from a node of `nodes` to the one at work
    stack = list(reversed(nodes))
    while stack:
        node = stack[-1]
        if node in normal:
            stack.pop()
            continue
        target = successor.get(node)
        pending = [n for n in (node.inputs if target is None else (target,)) if n not in normal]
        if pending:
            opened.add(node)
            if any(n in opened for n in pending):
                raise InternalError(f"rewrite rules run in a circle at {node!r}, which leads to {pending}")
            stack.extend(reversed(pending))
        elif target is not None:
            normal[node] = normal[target]
        else:
            changed = advance(node, normal, rules)
            (normal if changed is node else successor)[node] = changed
    return normal


def advance(node: Node, normal: dict[Node, Node], rules: RuleSet) -> Node:
    """One step: the node over its operands' normal forms, or, where those are its operands, what a rule makes of it."""
    operands = tuple([normal[i] for i in node.inputs])
    with node.scope.at(node.scope.site_of(node)):
        if operands != node.inputs:
            return node.scope.typed(node.op, node.type, *operands)
        return rules.step(node)
