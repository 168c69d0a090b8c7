"""What rounds of a scan need not do one by one is done for all of them at once, before the loop or after it.

Before: what follows from the slices alone, where a contraction with a constant is in it (x[t]·W for all t is one large
matrix product). After: outputs that no later round needs, where a contraction is in them; and sums over the rounds of
contractions (the gradient of a weight: Σ h[t]ᵀ·d[t] over t is one matrix product, of the stacked operands).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphc.ir import build
from graphc.ir.graph import Graph, depending, reachable, users
from graphc.ir.node import Constant, Leaf, Node, Op
from graphc.ops.base import after_first
from graphc.ops.contraction import DotGeneral
from graphc.ops.control import Control, Item, Scan, reads
from graphc.ops.elementwise import Add
from graphc.ops.loops import copied
from graphc.ops.movement import Broadcast, Reshape, Slice, Transpose
from graphc.ops.reduction import ReduceSum
from graphc.passes.loops import rewrite_control, rounds
from graphc.vectorise import counterparts

VIEWS: tuple[type[Op], ...] = (Broadcast, Reshape, Slice, Transpose)
#: What a sum over rounds goes through on its way to the contractions.
LINEAR: tuple[type[Op], ...] = (Add, Reshape, Transpose)


def distribute(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """The graph with its scans' rounds relieved of what can be done for all rounds at once."""
    return rewrite_control(graph, distributed)


def distributed(node: Node, operands: Sequence[Node], read: frozenset[int]) -> list[Node]:
    """The results of a control node; what is no scan, or does nothing of the kind, stays.

    So does a scan that is to keep carries only: what is done after it needs memory for all its rounds.
    """
    if isinstance(node.op, Scan) and not node.op.checkpoint:
        plan = Plan(node.op)
        if plan.early or plan.late or plan.sums:
            return Distribution(plan, node, operands).results()
    return build.items(node.scope.node(node.op, *operands))


class Plan:
    """What of a body to do when. Sets are asked for membership alone."""

    def __init__(self, op: Scan):
        self.op, self.body = op, op.body
        self.nodes = self.body.nodes()
        self.news = [new for _, new in self.body.updates]
        self.places = dict(reads(self.body))
        self.readers = users(self.nodes)
        inputs = self.body.inputs
        slices = inputs[op.consts : op.consts + op.slices]
        self.moving = depending(self.nodes, (*inputs[op.consts :], *self.places))
        self.early = self.before(slices)
        self.sums = {i: self.term(i) for i in range(op.carries) if self.is_sum(i)}
        self.late = self.after()

    def before(self, slices: Sequence[Node]) -> list[Node]:
        """The values to compute before the loop: contractions of slices with constants, and what follows from these."""
        stateful = depending(self.nodes, (*self.body.inputs[self.op.consts + self.op.slices :], *self.places))
        free = depending(self.nodes, slices) - stateful
        heavy: set[Node] = set()
        for node in self.nodes:
            if node in free and (self.is_gain(node) or any(x in heavy for x in node.inputs)):
                heavy.add(node)
        heavy -= depending(self.nodes, [n for n in self.nodes if isinstance(n.op, (Control, Item))])
        ends = [n for n in self.nodes if n in heavy and self.is_end(n, heavy)]
        return list(dict.fromkeys(behind_views(n, heavy) for n in ends))

    def is_gain(self, node: Node) -> bool:
        """Whether a node contracts something that changes from round to round with something that does not."""
        return isinstance(node.op, DotGeneral) and sum(x in self.moving for x in node.inputs) == 1

    def is_end(self, node: Node, inside: Collection[Node]) -> bool:
        """Whether something outside of a set reads the node."""
        return node in self.body.roots or any(r not in inside for r in self.readers[node])

    def is_sum(self, i: int) -> bool:
        """Whether a carry is a sum over rounds of contractions, which no round looks at."""
        new = self.news[i]
        leaf = next((n for n, place in self.places.items() if place == i), None)
        if not isinstance(new.op, Add) or leaf is None or sum(x is leaf for x in new.inputs) != 1:
            return False
        alone = self.readers[leaf] == [new] and not self.readers[new] and list(self.body.roots).count(new) == 1
        return alone and leaf not in self.body.outputs and self.ends_in_contractions(self.term(i))

    def term(self, i: int) -> Node:
        """What each round adds to a carry that is a sum."""
        return next(x for x in self.news[i].inputs if self.places.get(x) != i)

    def ends_in_contractions(self, term: Node) -> bool:
        """Whether a term is a sum of contractions of values that change, and of sums over what these contract."""
        stack, dots, sums = [term], [], []
        while stack:
            node = stack.pop()
            if isinstance(node.op, LINEAR):
                stack.extend(node.inputs)
            elif isinstance(node.op, DotGeneral) and all(x in self.moving for x in node.inputs):
                dots.append(node)
            elif isinstance(node.op, ReduceSum):
                sums.append(node)
            else:
                return False
        contracted = {source(x) for n in self.nodes if isinstance(n.op, DotGeneral) for x in n.inputs}
        return all(source(n.inputs[0]) in contracted for n in sums)

    def after(self) -> set[Node]:
        """The values of outputs to compute after the loop: contractions with constants, and what follows from these."""
        terms = self.sums.values()
        carried = [new for i, new in enumerate(self.news) if i not in self.sums]
        known = (*self.early, *terms)
        needed = set(reachable([*carried, *operands_of(terms)], known=self.early))
        late: set[Node] = set()
        for node in reachable(self.body.outputs, known=known):
            movable = node not in needed and not isinstance(node.op, (Leaf, Control, Item))
            if movable and (self.is_gain(node) or any(x in late for x in node.inputs)):
                late.add(node)
        return late


class Distribution:
    """A scan made anew, after a plan."""

    def __init__(self, plan: Plan, node: Node, operands: Sequence[Node]):
        self.plan, self.op, self.scope = plan, plan.op, node.scope
        self.operands = operands
        consts, self.inits, xs = self.op.split(operands)
        body = self.op.body
        self.outside = dict(zip(body.inputs[: self.op.consts], consts, strict=True))
        self.stacks = dict(zip(body.inputs[self.op.consts : self.op.consts + self.op.slices], xs, strict=True))

    def results(self) -> list[Node]:
        """All results of the scan."""
        plan, body = self.plan, self.op.body
        slices = [n for n in reachable(plan.early) if n in self.stacks]
        self.stacks |= zip(plan.early, self.spread(plan.early, slices), strict=True)
        terms = list(plan.sums.values())
        last = [y for y in body.outputs if y in plan.late]
        stacked = [*(y for y in body.outputs if y not in plan.late), *self.frontier([*terms, *last])]
        outputs = [y for y in dict.fromkeys(stacked) if y not in self.stacks]
        carried = [i for i in range(self.op.carries) if i not in plan.sums]
        given = {node: self.stacks[node] for node in plan.early}
        found = rounds(self.op, self.operands, carried, outputs, self.scope, given) if carried or outputs else []
        self.stacks |= zip(outputs, found[len(carried) :], strict=True)
        carries = dict(zip(carried, found, strict=False))
        for i, sum_ in zip(plan.sums, self.totals(terms), strict=True):
            carries[i] = sum_ if is_zero(self.inits[i]) else self.inits[i] + sum_
        self.stacks |= zip(last, self.spread(last, self.frontier(last)), strict=True)
        return [*(carries[i] for i in range(self.op.carries)), *(self.stacks[y] for y in body.outputs)]

    def frontier(self, roots: Iterable[Node]) -> list[Node]:
        """The values of rounds that computing roots outside of the loop takes."""
        terms = set(self.linear(roots))
        found: dict[Node, None] = {}
        stack, seen = list(roots), set()
        while stack:
            node = stack.pop()
            if node in seen or node not in self.plan.moving:
                continue
            seen.add(node)
            inner = node in terms or node in self.plan.late or isinstance(node.op, VIEWS)
            if node not in self.stacks and inner:
                stack.extend(node.inputs)
            else:
                found[node] = None
        return sorted(found, key=lambda n: n.serial)

    def linear(self, roots: Iterable[Node]) -> list[Node]:
        """The sums and contractions that terms consist of."""
        found, stack = [], [n for n in roots if n in self.plan.sums.values()]
        while stack:
            node = stack.pop()
            found.append(node)
            stack.extend(node.inputs if isinstance(node.op, LINEAR) else ())
        return found

    def copies(self, roots: Sequence[Node], frontier: Sequence[Node]) -> tuple[dict[Node, Node], dict[Node, Node]]:
        """The roots for one round, outside of the loop; and what they are for all rounds. The frontier is stacked."""
        known = dict(self.outside)
        batched: dict[Node, Node] = {}
        for node in frontier:
            known[node] = self.scope.placeholder(node.type)
            batched[known[node]] = self.stacks[node]
        copied(roots, known, self.scope)
        return known, counterparts([known[n] for n in roots], batched)

    def spread(self, roots: Sequence[Node], frontier: Sequence[Node]) -> list[Node]:
        """Values of the body for all rounds, stacked."""
        known, all_rounds = self.copies(roots, frontier)
        return [all_rounds[known[n]] for n in roots]

    def totals(self, terms: Sequence[Node]) -> list[Node]:
        """The sums of terms over all rounds."""
        known, all_rounds = self.copies(terms, self.frontier(terms))
        return [total(known[term], all_rounds) for term in terms]


def total(node: Node, all_rounds: Mapping[Node, Node]) -> Node:
    """The sum over rounds of a sum of contractions; leaves stand for what is known of all rounds before the loop."""
    if isinstance(node.op, Leaf):
        return build.sum_(all_rounds[node], (0,))
    op, xs = node.op, [all_rounds.get(x, x) for x in node.inputs]
    match op:
        case DotGeneral():
            left, right = ((0, *after_first(axes)) for axes in (op.lhs_contract, op.rhs_contract))
            return build.dot_general(xs[0], xs[1], left, right, after_first(op.lhs_batch), after_first(op.rhs_batch))
        case ReduceSum():
            return build.sum_(xs[0], (0, *after_first(op.axes)))
    return node.scope.typed(op, node.type, *(total(x, all_rounds) for x in node.inputs))


def behind_views(node: Node, inside: Collection[Node]) -> Node:
    """What a node is a view of, as far as that is in a set."""
    while isinstance(node.op, VIEWS) and node.inputs[0] in inside:
        node = node.inputs[0]
    return node


def source(node: Node) -> Node:
    """What a node is a view of."""
    while isinstance(node.op, VIEWS):
        node = node.inputs[0]
    return node


def operands_of(terms: Iterable[Node]) -> list[Node]:
    """What the contractions of terms contract."""
    found: list[Node] = []
    stack = list(terms)
    while stack:
        node = stack.pop()
        (stack if isinstance(node.op, LINEAR) else found).extend(node.inputs)
    return found


def is_zero(node: Node) -> bool:
    """Whether a node is 0 throughout."""
    while isinstance(node.op, Broadcast):
        node = node.inputs[0]
    return isinstance(node.op, Constant) and not node.op.array(node.type).any()
