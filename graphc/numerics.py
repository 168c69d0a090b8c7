"""The error of a number that went bad: which operation made the first one, of what, and where the user wrote that.

Compiled code says only that there was one. The interpreter runs the step again, on the state that it left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from graphc.errors import NumericsError, Operand
from graphc.frontend.recording import describe, roles
from graphc.frontend.trace import TracedEntry
from graphc.ir.interp import evaluate, observed
from graphc.ir.node import Array, Input, Leaf, Node, Read, Scope
from graphc.ir.types import TupleType
from graphc.ops.base import Movement
from graphc.ops.control import Scan, WhileLoop
from graphc.passes.check import bad_elements
from graphc.passes.pipeline import TIDY, optimise
from graphc.runtime.signature import Numerics
from graphc.sites import user_site

#: What to do about it, by the operation.
HELP = {
    "log": "log is finite above 0: gr.maximum(x, 1e-7) keeps x there; losses on logits need no log of probabilities",
    "sqrt": "sqrt needs numbers of at least 0, and its derivative above 0: add a small constant before it",
    "rsqrt": "rsqrt needs numbers above 0: add a small constant before it",
    "div": "keep the divisor away from 0: add a small constant, or choose with gr.where before dividing",
    "exp": "exp overflows: subtract the largest element first, as nn.softmax and nn.logsumexp do",
}
#: What to do where an operand is infinite, by what was looked for.
INFINITE: dict[Numerics, str] = {
    "nan": 'there is an infinity before: check="finite" stops where it arises',
    "finite": "infinities that were given, such as a mask's, cancel or meet 0: choose after this, not before",
}
OTHERWISE = "numbers that grow from step to step: a smaller learning rate, or clip_global_norm=, keeps them small"


class Fault(Exception):
    """The first bad value that was met; it ends the search."""

    def __init__(self, node: Node, bad: Array, value: Array, operands: Sequence[Array], rounds: list[int]):
        self.node, self.bad, self.value, self.operands, self.rounds = node, bad, value, operands, rounds
        #: Where the first bad element is.
        self.place = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        self.site = node.scope.site_of(node)


class Search:
    """Looks at each value that the interpreter computes, in the order of the program."""

    def __init__(self, kind: Numerics):
        self.kind = kind
        #: The control flow that is running, outermost first, and how often each node of it was computed so far.
        self.running: list[tuple[Node | None, Counter[Node]]] = [(None, Counter())]

    def before(self, node: Node) -> None:
        """What follows may be of a body."""
        if isinstance(node.type, TupleType):
            self.running.append((node, Counter()))

    def after(self, node: Node, operands: Sequence[Array], value: Array) -> None:
        """Raise `Fault` where the value is bad."""
        if isinstance(node.type, TupleType):
            self.running.pop()
        else:
            bad = bad_elements(self.kind, node, value, operands)
            if bad.any():
                raise Fault(node, bad, value, operands, self.rounds(node))
        self.running[-1][1][node] += 1

    def rounds(self, node: Node) -> list[int]:
        """The rounds that loops are in, outermost first, while a node of the innermost body is computed."""
        found = []
        for around, computed in reversed(self.running):
            if around is not None and isinstance(around.op, Scan | WhileLoop):
                found.append(computed[node])
            node = around or node
        return found[::-1]


def first_bad(
    entry: TracedEntry, kind: Numerics, inputs: Sequence[Array], state: Mapping[str, Array], where: str
) -> NumericsError:
    """The error about the first number that goes bad in a step on some arguments and a state.

    `where` says which step it was. Where the interpreter meets none (it adds up in another order), the error says so.
    """
    graph = optimise(entry.graph, pipeline=TIDY)
    try:
        with observed(Search(kind)):
            evaluate(graph, inputs, state)
    except Fault as fault:
        return error_of(fault, entry, kind, where)
    wrong = "NaN" if kind == "nan" else "NaN or infinite"
    return NumericsError(
        f"{entry.name}{where}: a number became {wrong}",
        operands=[Operand("entry", entry.name, entry.site)],
        site=user_site(),
        help="NumPy's order of operations keeps them finite here: they are close to the limits of their dtype",
    )


def error_of(fault: Fault, entry: TracedEntry, kind: Numerics, where: str) -> NumericsError:
    """What is known of a bad value, and of what it was computed from."""
    node, outer = fault.node, entry.graph.scope
    what = "NaN" if np.isnan(fault.value[fault.place]) else "an infinity"
    layer = f" in {entry.paths[node]}" if node in entry.paths else ""
    rounds = ", ".join(map(str, fault.rounds))
    turn = f", in round{'s' * (len(fault.rounds) > 1)} {rounds} of its loop" if rounds else ""
    count = f"{int(fault.bad.sum())} of {fault.bad.size}" + (f", first at {list(fault.place)}" if fault.place else "")
    operands = [
        seen(role, x, value, fault, outer)
        for role, x, value in zip(roles(len(node.inputs)), node.inputs, fault.operands, strict=True)
    ]
    return NumericsError(
        f"{entry.name}{where}: {node.op.mnemonic()}{layer} gives {what}{turn}",
        operands=[*operands, Operand("result", f"{node.type}: {count}")],
        site=fault.site,
        help=advice(fault, kind, outer),
    )


def seen(role: str, node: Node, value: Array, fault: Fault, outer: Scope) -> Operand:
    """An operand, with its element at the bad place; where it has another shape, between what its elements lie.

    It is named where the user has a name for it, with its line where that is another one.
    """
    if value.shape == fault.value.shape:
        note = f"{value[fault.place]} there" if fault.place else f"{value[()]}"
    else:
        note = span(value)
    known, leaf = describe(role, node), isinstance(node.op, Leaf)
    if node.scope is not outer if leaf else known.site == fault.site:
        return Operand(role, f"{node.type}, {note}")
    return Operand(role, f"{known.value}, {note}", None if leaf else known.site)


def span(value: Array) -> str:
    """Between what an array's elements lie, and how many are NaN."""
    nan = value != value
    numbers = value[~nan]
    between = f"from {np.min(numbers)} to {np.max(numbers)}" if numbers.size else "no number"
    return f"{between}, {int(nan.sum())} of {value.size} NaN" if nan.any() else between


def advice(fault: Fault, kind: Numerics, outer: Scope) -> str:
    """What to do about a bad value."""
    given = given_nan(fault, outer)
    if given is not None:
        return f"{given} holds NaN before the step"
    floats = [x for x, of in zip(fault.operands, fault.node.inputs, strict=True) if of.type.dtype.is_float]
    if any(np.isinf(x).any() for x in floats):
        return INFINITE[kind]
    return HELP.get(fault.node.op.mnemonic(), OTHERWISE)


def given_nan(fault: Fault, scope: Scope) -> str | None:
    """The argument or the Variable, among what a bad value was computed from, that was NaN from the start."""
    for node, value in zip(fault.node.inputs, fault.operands, strict=True):
        while isinstance(node.op, Movement) and node.inputs:
            node = node.inputs[0]
        if node.scope is scope and node.type.dtype.is_float and np.isnan(value).any():
            match node.op:
                case Input(name=name):
                    return f"the argument {name}"
                case Read(variable=name):
                    return f"the Variable {name}"
    return None
