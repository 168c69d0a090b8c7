"""The laws of a fusion: what a kernel reads another one makes, never in a circle; what it absorbs, only it needs.

Run under `GRAPHC_VERIFY`. networkx answers the two questions about graphs; it is imported here alone, since that takes
longer than compiling a small network.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import InternalError
from graphc.ir.graph import Graph, reachable, users
from graphc.ir.node import Node
from graphc.passes.fuse import Group
from graphc.passes.roles import Role, role, through_aliases


def verify_groups(graph: Graph, groups: Sequence[Group]) -> None:
    """Raise `InternalError` where groups can't be computed one after the other, or hide what others need."""
    makers: dict[Node, int] = {}
    for number, group in enumerate(groups):
        for node in group.outputs:
            if node in makers:
                raise InternalError(f"{node!r} is stored by two groups")
            makers[node] = number
    for node in (*(through_aliases(r) for r in graph.roots), *(s for g in groups for s in g.sources)):
        if node not in makers and role(node) is not Role.LEAF:
            raise InternalError(f"{node!r} is read, and no group stores it")
    verify_order(groups, makers)
    verify_absorbed(graph, groups)


def verify_order(groups: Sequence[Group], makers: dict[Node, int]) -> None:
    """Groups and what they read form no circle."""
    import networkx as nx

    quotient = nx.DiGraph()
    quotient.add_nodes_from(range(len(groups)))
    quotient.add_edges_from(
        (makers[source], number) for number, group in enumerate(groups) for source in group.sources if source in makers
    )
    if not nx.is_directed_acyclic_graph(quotient):
        circle = " -> ".join(str(edge[0]) for edge in nx.find_cycle(quotient))
        raise InternalError(f"groups {circle} depend on one another in a circle")


def verify_absorbed(graph: Graph, groups: Sequence[Group]) -> None:
    """What only one group computes, and does not store, is post-dominated by what that group stores."""
    import networkx as nx

    end = "the end"
    backwards = nx.DiGraph()
    backwards.add_node(end)
    backwards.add_edges_from((end, root) for root in graph.roots)
    for node, readers in users(graph.nodes()).items():
        backwards.add_edges_from((reader, node) for reader in readers)
    dominator = nx.immediate_dominators(backwards, end)
    for group in groups:
        anchor = group.anchor
        if anchor is None or role(anchor) is not Role.REDUCE:
            continue
        before = set(reachable(anchor.inputs))
        for node in group.nodes:
            if node in before and node not in group.outputs and is_private(node, groups):
                above = dominator.get(node, end)
                while above is not anchor and above is not end:
                    above = dominator[above]
                if above is end:
                    raise InternalError(f"{node!r} is absorbed by {anchor!r}, and others need it")


def is_private(node: Node, groups: Sequence[Group]) -> bool:
    """Whether one group alone computes the node."""
    return sum(node in group.nodes for group in groups) == 1
