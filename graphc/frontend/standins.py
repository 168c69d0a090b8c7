"""Leaves that stand for arguments while a function is traced, and the arguments put in their places afterwards.

So a use of the same value outside the function stays a constant to its derivatives.
"""

from __future__ import annotations

from typing import Any

from graphc.frontend.printing import over
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import Recording, current
from graphc.frontend.structure import map_leaves
from graphc.frontend.tensor import Tensor
from graphc.ir.graph import reachable
from graphc.ir.node import Input, Node


class StandIns:
    """Placeholders and what they stand for, in the trace in progress."""

    def __init__(self) -> None:
        self.recording: Recording = current()
        self.new: dict[Node, Node] = {}
        self.seen = len(self.recording.results)  # the layers that were called before

    def of(self, value: Any) -> Any:
        """A nested value with a placeholder for each leaf."""
        return map_leaves(lambda leaf: Tensor(self.placeholder(as_tensor(leaf).node)), value)

    def placeholder(self, actual: Node) -> Node:
        """A leaf that stands for a node."""
        made = self.recording.scope.placeholder(actual.type)
        self.new[made] = actual
        if self.recording.known is not None:
            self.recording.known.alike(made, actual)
        return made

    def node(self, root: Node) -> Node:
        """A node over the arguments."""
        scope = self.recording.scope
        for node in reachable([root], known=self.new):
            operands = tuple([self.new[i] for i in node.inputs])
            with scope.at(scope.site_of(node)):
                self.new[node] = node if operands == node.inputs else scope.typed(node.op, node.type, *operands)
            self.recording.resemble(self.new[node], node)
        return self.new[root]

    def tree(self, value: Any) -> Any:
        """A nested value over the arguments."""
        return map_leaves(lambda leaf: Tensor(self.node(as_tensor(leaf).node)), value)

    def state(self) -> None:
        """What the function assigned, and what its layers, taps and prints gave, over the arguments."""
        results, taps, prints = self.recording.results, self.recording.taps, self.recording.prints
        results[self.seen :] = [(path, Tensor(self.node(tensor.node))) for path, tensor in results[self.seen :]]
        taps.update({name: Tensor(self.node(tensor.node)) for name, tensor in taps.items()})
        prints[:] = [over(made, self.node) for made in prints]
        for variable, values in self.recording.history.items():
            values[:] = [self.node(value) for value in values]
            self.recording.values[variable] = values[-1]


def stands_alone(node: Node) -> bool:
    """Whether a value depends on the entry's arguments and state only, not on a loop's round or a stand-in."""
    return not any(isinstance(n.op, Input) and n.op.name.startswith("#") for n in reachable([node]))
