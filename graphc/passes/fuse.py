"""Fusion: which nodes are computed together, so that what is between them never touches memory.

Going through the nodes in order, each joins the group that computes its operands, where the shapes allow it and the
graph of groups stays acyclic. A contraction or a reduction is the anchor of its group: what follows elementwise is its
epilogue. A reduction also absorbs what leads to it and to nothing else (that is, what it post-dominates). Last, what a
few cheap operations give again from stored values is left to its readers rather than stored too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphc import config
from graphc.ir.dim import Size
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.base import Reduction
from graphc.ops.cost import code
from graphc.ops.movement import Concat
from graphc.ops.window import WindowArgMax, Windowed, WindowMax
from graphc.passes.roles import CHEAP, Edge, Role, edges, in_memory, results, role

#: How many operations a reader may repeat rather than load the result.
SINK_COST = 3

#: How much code a group may be, in common operations: LLVM's time for a function grows faster than the function does.
MOST_CODE = 128

#: What nothing else joins in its group.
ALONE = (Role.ASSEMBLE, Role.CONTROL)


@dataclass(frozen=True)
class Group:
    """Nodes computed by one kernel. `space` is the shape its loops run over: the anchor's result, or the rows."""

    anchor: Node | None
    space: tuple[Size, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]  # what others read, so what the kernel stores
    sources: tuple[Node, ...]  # what it reads from memory


@dataclass
class Draft:
    """A group while it grows."""

    serial: int
    anchor: Node | None
    space: tuple[Size, ...]
    nodes: list[Node]
    before: set[int] = field(default_factory=set)  # serials of drafts this one depends on, directly or not
    has_rows: bool = False  # holds a reduction along its last axis
    code: int = 0  # how much its nodes are


class Fusion:
    """The state of one fusion: drafts, and which draft each node is in."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes = graph.nodes()
        self.stored = stored_views(graph, self.nodes)
        self.edges: dict[Node, list[Edge]] = {n: list(edges(n, self.stored)) for n in self.nodes}
        self.absorbed = absorbed_nodes(graph, self.nodes, self.edges, self.stored)
        self.drafts: dict[int, Draft] = {}
        self.home: dict[Node, Draft] = {}
        self.sunk: set[Node] = set()

    def run(self) -> tuple[Group, ...]:
        """Place every node; read the groups off."""
        for node in self.nodes:
            if node not in self.absorbed and self.is_computed(node):
                self.place(node)
        self.merge_scalars()
        self.sink()
        return self.finish()

    def is_computed(self, node: Node) -> bool:
        """Whether some kernel must compute the node (views are computed by their users)."""
        return role(node) not in (Role.LEAF, Role.VIEW, Role.ALIAS) or node in self.stored

    def place(self, node: Node) -> None:
        """Put a node into the best group there is, or a new one."""
        if role(node) is Role.MAP:
            self.place_map(node)
        elif role(node) is Role.ITEM:
            self.join(node, self.home[node.inputs[0]])
        elif is_row_reduction(node):
            self.join(node, self.rows_draft(node))
        elif (twin := self.same_windows(node)) is not None:
            self.join(node, twin)
        else:
            self.join(node, self.new_draft(node, anchor=role(node) is not Role.VIEW))

    def place_map(self, node: Node) -> None:
        """An elementwise node joins the latest group of its operands that may take it, and pulls the others in."""
        draft: Draft | None = None
        for candidate in self.candidates(node):
            if self.accepts(candidate, node):
                draft = candidate
                break
        if draft is None:
            draft = self.new_draft(node, anchor=False)
        self.join(node, draft)
        for candidate in self.candidates(node):
            if candidate is not draft and self.mergeable(candidate, draft):
                draft = self.merge(candidate, draft)

    def rows_draft(self, node: Node) -> Draft:
        """The group of rows that a reduction along the last axis joins: its operand's, if that one has no anchor."""
        space = node.inputs[0].type.shape
        for candidate in self.candidates(node):
            if candidate.anchor is None and candidate.space == space and self.accepts(candidate, node):
                candidate.has_rows = True
                return candidate
        draft = Draft(node.serial, None, space, [], has_rows=True)
        self.drafts[draft.serial] = draft
        return draft

    def same_windows(self, node: Node) -> Draft | None:
        """The group that has the maxima of the windows whose maxima's places the node is."""
        if not isinstance(node.op, WindowArgMax):
            return None
        wanted = WindowMax(*node.op.geometry())
        anchors = ((d, d.anchor) for d in self.drafts.values() if d.anchor is not None and d.code < MOST_CODE)
        return next((d for d, anchor in anchors if anchor.op == wanted and anchor.inputs == node.inputs), None)

    def candidates(self, node: Node) -> list[Draft]:
        """The groups of the node's operands, those made last first."""
        found = {d.serial: d for e in self.sources(node) if (d := self.home.get(e.source))}
        return [found[s] for s in sorted(found, reverse=True)]

    def sources(self, node: Node) -> list[Edge]:
        """What the node reads, seen through nodes that their readers compute; each way of reading once."""
        found: dict[Edge, None] = {}
        passed: set[Node] = set()
        stack = [(edge, False) for edge in reversed(self.edges[node])]
        while stack:
            edge, through = stack.pop()
            if edge.source in self.absorbed or edge.source in self.sunk:
                if edge.source not in passed:
                    passed.add(edge.source)
                    stack += [(e, True) for e in reversed(self.edges[edge.source])]
            else:
                found[edge._replace(relation="pull") if through and edge.relation != "memory" else edge] = None
        return list(found)

    def accepts(self, draft: Draft, node: Node) -> bool:
        """Whether the node may be computed in the group: there is room, shapes fit, and no cycle comes about."""
        level = self.level(draft, node)
        if level is None or draft.code + code(node.op) > MOST_CODE:
            return False
        for edge in self.sources(node):
            home = self.home.get(edge.source)
            if home is draft:
                source_level = self.level(draft, edge.source)
                fits = source_level == level if edge.relation == "same" else (source_level, level) == ("row", "full")
                if edge.relation not in ("same", "row") or (not fits and not self.reduces(node, source_level)):
                    return False
            elif home is not None and draft.serial in home.before:
                return False
        return True

    @staticmethod
    def reduces(node: Node, source_level: str | None) -> bool:
        """Whether the node turns full values into row values."""
        return is_row_reduction(node) and source_level == "full"

    def level(self, draft: Draft, node: Node) -> str | None:
        """Where in the group's loops the node is computed: for each element, for each row, or not at all."""
        shape = node.type.shape
        if draft.anchor is not None and role(draft.anchor) in ALONE:
            return None
        if is_row_reduction(node):
            return "row" if draft.anchor is None and node.inputs[0].type.shape == draft.space else None
        if shape == draft.space:
            return "full"
        row = draft.anchor is None and draft.has_rows and shape == draft.space[:-1]
        return "row" if row else None

    def mergeable(self, a: Draft, b: Draft) -> bool:
        """Whether two groups can be one: same loops, at most one anchor, room, no path between them through a third."""
        if a.serial not in self.drafts or b.serial not in self.drafts or a.space != b.space:
            return False
        if a.code + b.code > MOST_CODE:
            return False
        if any(d.anchor is not None and role(d.anchor) in ALONE for d in (a, b)):
            return False
        if a.anchor is not None and (b.anchor is not None or b.has_rows):
            return False
        if b.anchor is not None and a.has_rows:
            return False
        pair = {a.serial, b.serial}
        for draft in self.drafts.values():
            if draft.serial not in pair and draft.before & pair and (draft.serial in a.before | b.before):
                return False
        return all(
            edge.relation == "same" or (edge.relation == "row" and (a.has_rows or b.has_rows))
            for one, other in ((a, b), (b, a))
            for node in one.nodes
            for edge in self.sources(node)
            if self.home.get(edge.source) is other
        )

    def merge(self, a: Draft, b: Draft) -> Draft:
        """One group of two; the one with the anchor, or the later one, stays."""
        stay, go = (a, b) if a.anchor is not None else (b, a)
        for node in go.nodes:
            self.home[node] = stay
        stay.nodes = sorted({*stay.nodes, *go.nodes}, key=lambda n: n.serial)
        stay.has_rows |= go.has_rows
        stay.code += go.code
        stay.before = (stay.before | go.before) - {stay.serial, go.serial}
        del self.drafts[go.serial]
        for draft in self.drafts.values():
            if draft is not stay and draft.before & {stay.serial, go.serial}:
                draft.before = (draft.before - {go.serial}) | {stay.serial} | stay.before
        return stay

    def new_draft(self, node: Node, anchor: bool) -> Draft:
        """A group of its own."""
        draft = Draft(node.serial, node if anchor else None, node.type.shape, [])
        self.drafts[draft.serial] = draft
        return draft

    def join(self, node: Node, draft: Draft) -> None:
        """Put the node into the group; the group now depends on whatever the node reads."""
        draft.nodes.append(node)
        draft.code += code(node.op)
        self.home[node] = draft
        before: set[int] = set()
        for edge in self.sources(node):
            home = self.home.get(edge.source)
            if home is not None and home is not draft:
                before |= {home.serial} | home.before
        if before - draft.before:
            draft.before |= before
            for other in self.drafts.values():
                if draft.serial in other.before:
                    other.before |= before

    def merge_scalars(self) -> None:
        """Scalars (step counters, bias corrections) are computed together where that makes no cycle."""
        scalars = [d for d in self.drafts.values() if d.space == () and d.anchor is None]
        for i, draft in enumerate(scalars):
            for later in scalars[i + 1 :]:
                if self.mergeable(draft, later):
                    scalars[scalars.index(later)] = self.merge(draft, later)
                    break

    def sink(self) -> None:
        """What takes a few cheap operations on stored values is computed by each reader rather than stored too."""
        roots = results(self.graph)
        readers: dict[Node, list[tuple[Draft | None, str]]] = {}
        for node in self.nodes:
            if self.is_computed(node) or role(node) is Role.ALIAS:
                for edge in self.edges[node]:
                    relation = "memory" if self.is_piece(edge.source, node) else edge.relation
                    readers.setdefault(edge.source, []).append((self.home.get(node), relation))
        outside = {n for n, draft in self.home.items() if any(by is not draft for by, _ in readers.get(n, ()))}
        for node in reversed(self.nodes):
            movable = node in outside and node not in roots and type(node.op) in CHEAP and node.type.shape != ()
            if movable and all(relation != "memory" for _, relation in readers[node]):
                chain = self.recomputed(node, (outside | roots) - self.sunk - {node})
                if chain is not None and len(chain) <= SINK_COST:
                    self.sunk |= chain

    def is_piece(self, node: Node, reader: Node) -> bool:
        """Whether the node comes out of a kernel that can write it straight into the concatenation that reads it."""
        if not isinstance(reader.op, Concat) or node not in reader.inputs:
            return False
        return any(edge.source in self.home for edge in self.edges[node])

    def recomputed(self, node: Node, stored: set[Node]) -> set[Node] | None:
        """What must be computed again to have the node from stored values; None where that can't be."""
        chain: set[Node] = set()
        stack = [node]
        while stack:
            top = stack.pop()
            if top in stored or top in chain or role(top) is Role.LEAF:
                continue
            if type(top.op) not in CHEAP:
                return None
            chain.add(top)
            stack += [e.source for e in self.edges[top]]
        return chain

    def finish(self) -> tuple[Group, ...]:
        """The groups, each with what it stores and what it reads."""
        read: set[Node] = results(self.graph)
        reads: dict[int, dict[Node, None]] = {}
        for serial, draft in self.drafts.items():
            sources = reads[serial] = {}
            for node in draft.nodes:
                for edge in self.sources(node):
                    if self.home.get(edge.source) is not draft:
                        sources[edge.source] = None
                        read.add(edge.source)
        return tuple(
            Group(
                draft.anchor, draft.space, self.computed_by(draft),
                tuple(n for n in draft.nodes if n in read), tuple(reads[serial]),
            )
            for serial, draft in sorted(self.drafts.items())
            if any(n in read for n in draft.nodes)
        )  # fmt: skip

    def computed_by(self, draft: Draft) -> tuple[Node, ...]:
        """The group's nodes with what they absorbed and what others left to them, operands first."""
        found: set[Node] = set()
        stack = [n for n in draft.nodes if n not in self.sunk]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                sources = (e.source for e in self.edges[node])
                stack += [s for s in sources if s in self.absorbed or s in self.sunk]
        return tuple(sorted(found, key=lambda n: n.serial))


def fuse(graph: Graph) -> tuple[Group, ...]:
    """Partition the graph's computed nodes into groups, in order of their first node; checked under GRAPHC_VERIFY."""
    groups = Fusion(graph).run()
    if config.verify():
        from graphc.passes.verify_groups import verify_groups

        verify_groups(graph, groups)
    return groups


def is_row_reduction(node: Node) -> bool:
    """Whether the node reduces exactly its operand's last axis."""
    op = node.op
    return isinstance(op, Reduction) and op.axes == (node.inputs[0].type.rank - 1,)


def stored_views(graph: Graph, nodes: list[Node]) -> frozenset[Node]:
    """Views that must be written to memory after all: results, and operands that are read out of order."""
    wanted = set(graph.roots)
    for node in nodes:
        wanted.update(node.inputs[i] for i in in_memory(node))
    return frozenset(n for n in wanted if role(n) is Role.VIEW)


def absorbed_nodes(
    graph: Graph, nodes: list[Node], reads: dict[Node, list[Edge]], stored: frozenset[Node]
) -> dict[Node, Node]:
    """For each elementwise node that only one reduction (over more than rows) needs: that one, while it has room."""
    room: dict[Node, int] = {}
    roots = results(graph)
    readers: dict[Node, set[Node | None]] = {}
    absorbed: dict[Node, Node] = {}
    for node in reversed(nodes):
        if role(node) is Role.MAP and node not in roots:
            by = readers.get(node, set())
            anchor = next(iter(by)) if len(by) == 1 else None
            if anchor is not None and room.get(anchor, MOST_CODE) >= code(node.op) and is_absorbable(node, anchor):
                absorbed[node], room[anchor] = anchor, room.get(anchor, MOST_CODE) - code(node.op)
        takes = role(node) is Role.WINDOW or (role(node) is Role.REDUCE and not is_row_reduction(node))
        owner = node if takes else absorbed.get(node)
        if role(node) is not Role.VIEW or node in stored:
            for edge in reads[node]:
                readers.setdefault(edge.source, set()).add(owner if edge.relation != "memory" else None)
    return absorbed


def is_absorbable(node: Node, anchor: Node) -> bool:
    """Whether a reduction may compute what it reads itself: at no great cost where it reads an element repeatedly."""
    return not isinstance(anchor.op, Windowed) or not anchor.op.overlaps or type(node.op) in CHEAP
