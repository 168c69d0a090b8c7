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
from graphc.ir.graph import Graph, bodies
from graphc.ir.interp import evaluate, observed
from graphc.ir.node import Array, Input, Leaf, Node, Read, Scope
from graphc.ir.types import TupleType
from graphc.ops.base import Movement
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
OTHERWISE = "numbers that grow from step to step: a smaller learning rate, or clip_global_norm=, keeps them small"


class Fault(Exception):
    """The first bad value that was met; it ends the search."""

    def __init__(self, node: Node, bad: Array, value: Array, operands: Sequence[Array], turn: int | None):
        self.node, self.bad, self.value, self.operands, self.turn = node, bad, value, operands, turn


class Search:
    """Looks at each value that the interpreter computes, in the order of the program."""

    def __init__(self, graph: Graph, kind: Numerics):
        self.outer, self.kind = graph.scope, kind
        self.turns: dict[Scope, Counter[Node]] = {}  # how often each node of a body was computed in this loop

    def look(self, node: Node, operands: Sequence[Array], value: Array) -> None:
        """Raise `Fault` where the value is bad."""
        if isinstance(node.type, TupleType):
            for body in bodies(node.op).values():
                self.turns.pop(body.scope, None)
            return
        turn = None
        if node.scope is not self.outer:
            turns = self.turns.setdefault(node.scope, Counter())
            turn, turns[node] = turns[node], turns[node] + 1
        bad = bad_elements(self.kind, node, value, operands)
        if bad.any():
            raise Fault(node, bad, value, operands, turn)


def first_bad(
    entry: TracedEntry, kind: Numerics, inputs: Sequence[Array], state: Mapping[str, Array], where: str
) -> NumericsError:
    """The error about the first number that goes bad in a step on some arguments and a state.

    `where` says which step it was. Where the interpreter meets none (it adds up in another order), the error says so.
    """
    graph = optimise(entry.graph, pipeline=TIDY)
    try:
        with observed(Search(graph, kind).look):
            evaluate(graph, inputs, state)
    except Fault as fault:
        return error_of(fault, entry, where)
    wrong = "NaN" if kind == "nan" else "NaN or infinite"
    return NumericsError(
        f"{entry.name}{where}: a number became {wrong}",
        operands=[Operand("entry", entry.name, entry.site)],
        site=user_site(),
        help="NumPy's order of operations keeps them finite here: they are close to the limits of their dtype",
    )


def error_of(fault: Fault, entry: TracedEntry, where: str) -> NumericsError:
    """What is known of a bad value, and of what it was computed from."""
    node, site = fault.node, fault.node.scope.site_of(fault.node)
    place = tuple(int(i) for i in np.unravel_index(int(np.argmax(fault.bad)), fault.bad.shape))
    what = "NaN" if np.isnan(fault.value[place]) else "an infinity"
    layer = f" in {entry.paths[node]}" if node in entry.paths else ""
    turn = "" if fault.turn is None else f", in round {fault.turn} of its loop"
    count = f"{int(fault.bad.sum())} of {fault.bad.size}" + (f", first at {list(place)}" if place else "")
    operands = [
        seen(role, x, value, fault, place)
        for role, x, value in zip(roles(len(node.inputs)), node.inputs, fault.operands, strict=True)
    ]
    given = given_nan(fault, entry.graph.scope)
    mnemonic = node.op.mnemonic()
    return NumericsError(
        f"{entry.name}{where}: {mnemonic}{layer} gives {what}{turn}",
        operands=[*operands, Operand("result", f"{node.type}: {count}")],
        site=site,
        help=f"{given} holds NaN before the step" if given else HELP.get(mnemonic, OTHERWISE),
    )


def seen(role: str, node: Node, value: Array, fault: Fault, place: tuple[int, ...]) -> Operand:
    """An operand, with its element at the bad place; where it has another shape, between what its elements lie.

    Its line is told where it is computed on another one.
    """
    if value.shape == fault.value.shape:
        note = f"{value[place]} there" if place else f"{value[()]}"
    else:
        note = f"from {np.min(value)} to {np.max(value)}" if value.size else "empty"
    known = describe(role, node)
    if isinstance(node.op, Leaf):
        return Operand(role, f"{known.value}, {note}")
    if known.site == fault.node.scope.site_of(fault.node):
        return Operand(role, f"{node.type}, {note}")
    return Operand(role, f"{known.value}, {note}", known.site)


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
