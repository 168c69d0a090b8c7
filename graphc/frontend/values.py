"""The values of a trace on concrete arguments, computed when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.ir.graph import reachable
from graphc.ir.interp import evaluate_nodes
from graphc.ir.node import Array, Input, Node, Read


@dataclass
class Values:
    """What nodes are: `known` holds the inputs and what was computed so far, `state` the Variables by name."""

    known: dict[Node, Array]
    state: Mapping[str, Array]

    def of(self, node: Node) -> Array | None:
        """A node's value; None where it has none, inside of loops and of what `gr.vmap` maps."""
        if node not in self.known:
            for leaf in reachable([node], known=self.known):
                if isinstance(leaf.op, Read) and leaf.op.variable in self.state:
                    self.known[leaf] = self.state[leaf.op.variable]
                elif isinstance(leaf.op, (Input, Read)):
                    return None
            (self.known[node],) = evaluate_nodes([node], self.known)
        return self.known[node]

    def alike(self, node: Node, other: Node) -> None:
        """Have a node the value of another one, if that has one."""
        value = self.of(other)
        if value is not None:
            self.known[node] = value
