"""From a stretch of a trace to the bodies of a control node.

The stretch was traced where it stands, on stand-ins. What depends on them goes into a body; what it takes from before
is captured: an operand of the node. Views of captured values, and numbers, are made in the body, since they cost
nothing there and would be arrays of their own outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from graphc.errors import Operand, TraceError
from graphc.frontend.recording import Recording
from graphc.ir import build
from graphc.ir.graph import Graph, reachable
from graphc.ir.node import Constant, Input, Leaf, Node, Op, Read, Scope
from graphc.ops.base import Generator
from graphc.ops.control import carry_name
from graphc.ops.loops import copied
from graphc.ops.movement import Broadcast, Reshape, Transpose
from graphc.sites import user_site


class Closure:
    """The nodes that roots need, sorted into those of a body and those captured from outside, in order.

    A node is of the body if it depends on a stand-in, or where `since` is given if it is no older than that.
    """

    def __init__(
        self, recording: Recording, roots: Sequence[Node], stand_ins: Sequence[Node], since: int | None = None
    ):
        self.recording, self.stand_ins = recording, list(stand_ins)
        self.body: set[Node] = set(stand_ins)
        for node in reachable(roots):
            young = since is not None and node.serial >= since and not isinstance(node.op, Leaf)
            if young or any(x in self.body for x in node.inputs):
                self.body.add(node)
        self.used = self.needed(roots)
        self.undecided = [node for node in self.used if node in recording.undecided]
        self.captured = [node for node in self.used if node not in self.body and not is_free(node)]

    def needed(self, roots: Sequence[Node]) -> list[Node]:
        """What the body has or takes, in order of creation."""
        found: set[Node] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack.extend(node.inputs if node in self.body or is_free(node) else ())
        return sorted(found, key=lambda n: n.serial)

    def graph(
        self, name: str, inputs: Mapping[Node, str], carries: Sequence[Node],
        outputs: Sequence[Node], news: Sequence[Node],
    ) -> Graph:  # fmt: skip
        """A body: captured nodes are its first inputs, then the given ones by name; stand-ins of carries are reads."""
        scope = Scope()
        known = {node: scope.typed(Input(f"c{i}"), node.type) for i, node in enumerate(self.captured)}
        known |= {node: scope.typed(Input(label), node.type) for node, label in inputs.items()}
        leaves = tuple(known.values())
        known |= {node: scope.typed(Read(carry_name(i)), node.type) for i, node in enumerate(carries)}
        copied([*outputs, *news], known, scope)
        for old, new in known.items():
            self.recording.resemble(new, old)
        updates = tuple((carry_name(i), known[node]) for i, node in enumerate(news))
        return Graph(name, scope, leaves, tuple(known[node] for node in outputs), updates)

    def results(self, op: Op, *operands: Node) -> list[Node]:
        """The results of the control node; what is not known of the layers in a body is not known of the node."""
        node = self.recording.node(op, *operands)
        found = build.items(node)
        for old in self.undecided:
            self.recording.undecided.setdefault(node, self.recording.undecided[old])
        return found


def is_free(node: Node) -> bool:
    """Whether a body makes the value itself, wherever its operands come from."""
    if isinstance(node.op, Constant):
        return not node.type.shape
    return isinstance(node.op, (Broadcast, Reshape, Transpose, Generator))


@contextmanager
def traced_body(recording: Recording, what: str, *indices: Node) -> Iterator[None]:
    """Operations inside belong to a body; random numbers differ with the indices. Raises where state is assigned."""
    before = {variable: len(values) for variable, values in recording.history.items()}
    recording.indices.extend(indices)
    recording.bodies += 1
    try:
        yield
    finally:
        recording.bodies -= 1
        del recording.indices[len(recording.indices) - len(indices) :]
    for variable, values in recording.history.items():
        if len(values) > before.get(variable, 1):
            name = variable.name or variable.default_name
            raise TraceError(
                f"{what}: a Variable is assigned in a body",
                operands=[Operand("variable", f"{name}:  {variable.type}", variable.site)],
                site=user_site(),
                help="make it a carry: start with its value, give the new one back, and .assign() the last one after",
            )
