"""The values of a trace on concrete arguments, computed when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.ir.graph import reachable
from graphc.ir.interp import evaluate_nodes
from graphc.ir.node import Array, Node, Read


@dataclass
class Values:
    """What nodes are: `known` holds the inputs and what was computed so far, `state` the Variables by name."""

    known: dict[Node, Array]
    state: Mapping[str, Array]

    def of(self, node: Node) -> Array:
        """A node's value."""
        if node not in self.known:
            for leaf in reachable([node]):
                if isinstance(leaf.op, Read):
                    self.known[leaf] = self.state[leaf.op.variable]
            (self.known[node],) = evaluate_nodes([node], self.known)
        return self.known[node]
