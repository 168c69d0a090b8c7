"""The laws of a fusion: what a kernel reads another one stores, never in a circle; what it keeps, nobody else needs.

Run under `GRAPHC_VERIFY`. networkx answers whether there is a circle; it is imported where it is asked, since
that takes longer than compiling a small network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from graphc.errors import InternalError
from graphc.ir.graph import Graph, users
from graphc.ir.node import Node
from graphc.passes.fuse import Group
from graphc.passes.roles import Role, results, role, through_aliases


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
    verify_hidden(graph, groups)


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


def verify_hidden(graph: Graph, groups: Sequence[Group]) -> None:
    """What a group computes and does not store, only groups that compute it too read."""
    computed = {group: frozenset(group.nodes) for group in groups}
    stored = {n for group in groups for n in group.outputs}
    readers = users(graph.nodes())
    roots = results(graph)
    for group, inside in computed.items():
        for node in inside.difference(group.outputs):
            if sum(node in others for others in computed.values()) > 1:
                continue
            outside = [r for r in readers_behind(node, readers, stored) if r not in inside]
            if outside or node in roots:
                raise InternalError(f"{node!r} is computed in one kernel and not stored, and {outside} need it")


def readers_behind(node: Node, readers: Mapping[Node, Sequence[Node]], stored: Collection[Node]) -> Iterator[Node]:
    """The nodes that read a value, seen through views that no kernel stores."""
    stack = list(readers[node])
    while stack:
        reader = stack.pop()
        if role(reader) is Role.VIEW and reader not in stored:
            stack.extend(readers[reader])
        else:
            yield reader
