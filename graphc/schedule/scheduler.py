"""Scheduling a graph: which buffer every value lies in, and the order of the kernels that compute them.

Groups become kernels. The state is updated in place where no reader of the old value comes later; it is an entry's
Variables, or what a loop's body carries from round to round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Node, Read
from graphc.ir.types import TensorType, TupleType
from graphc.ops.control import Item
from graphc.ops.indexing import Scatter
from graphc.ops.movement import Concat
from graphc.passes.fuse import Group, fuse, is_row_reduction
from graphc.passes.roles import Role, role, through_aliases
from graphc.passes.sequence import sequence
from graphc.runtime.targets import Target
from graphc.schedule.access import Access, Buffer
from graphc.schedule.control import OPERANDS, STEPS, Flow, Interface
from graphc.schedule.kernel import Kernel, Load, Loop, Stmt, Store
from graphc.schedule.lower import at, axes_of
from graphc.schedule.nests import lower_group, sites_of
from graphc.schedule.pieces import Place, part, placeable, placed, places
from graphc.schedule.steps import Step


@dataclass
class Task:
    """A kernel to be: a group, or a copy, with what must run before it."""

    serial: int
    group: Group | None
    copy: tuple[Node, Buffer, Buffer | None] | None = None  # node, target, and where to read it if not where it lies
    after: set[int] = field(default_factory=set)


class Scheduler:
    """The decisions about one graph while they are made."""

    def __init__(self, graph: Graph, interface: Interface, target: Target, prefix: str = ""):
        """`prefix` is what the names of the graph's own buffers start with."""
        self.graph, self.interface, self.target, self.prefix = graph, interface, target, prefix
        self.state = interface.state
        self.groups = fuse(graph)
        self.maker = {n: g for g in self.groups for n in g.outputs}
        self.buffers: dict[Node, tuple[Buffer, ...]] = {}
        self.data: dict[Buffer, bytes] = {}
        self.tasks = {g: Task(i, g) for i, g in enumerate(self.groups)}
        self.readers = readers(self.tasks.values())
        self.copies: list[Task] = []
        self.saved: dict[Node, Buffer] = {}
        self.results: dict[Node, tuple[Buffer, ...]] = {}  # of control nodes, those that nothing reads too
        self.entering: dict[Node, list[Buffer]] = {}  # carries that start with what a kernel computes
        self.starting: dict[Node, list[tuple[Node, Buffer]]] = {}  # carries that start with a copy
        self.parts: dict[Buffer, tuple[Place, ...]] = {}  # where pieces of concatenations lie

    def run(self) -> tuple[Step, ...]:
        """All decisions, in order."""
        self.buffers |= {n: (b,) for n, b in zip(self.graph.inputs, self.interface.inputs, strict=True)}
        for node in self.graph.nodes():
            self.place_leaf(node)
        self.depend_on_operands()
        for node, buffer in zip(self.graph.outputs, self.interface.outputs, strict=True):
            self.deliver(node, buffer)
        self.save_old_values()
        for name, node in self.graph.updates:
            self.update(name, node)
        self.place_results()
        return tuple(s for i, task in enumerate(self.ordered()) for s in self.steps(task, i))

    def place_results(self) -> None:
        """What groups compute gets a buffer of its own where it has none to be read from."""
        flows = [g for g in self.groups if is_flow(g)]
        kernels = [g for g in self.groups if not is_flow(g)]
        for group in flows:
            self.place_items(group)
        bound = {source for group in flows for source in self.bind(group)}
        pieces = {g: self.pieces_of(g) for g in kernels}
        read = bound | {s for g in kernels for s in g.sources if s not in pieces[g]}
        read |= {t.copy[0] for t in self.copies if t.copy is not None}
        elsewhere = {n for nodes in pieces.values() for n in nodes} | self.entering.keys()
        for group in kernels:
            for i, node in enumerate(group.outputs):
                known = self.buffers.get(node, ())
                unplaced = not known and (node in read or node not in elsewhere)
                if unplaced or (node in bound and all(b.panel for b in known)):
                    known = (*known, self.own(f"t{node.serial}.{i}", node.type))
                self.buffers[node] = (*sorted(known, key=lambda b: b.panel), *self.entering.get(node, []))
        for group in kernels:
            self.place_pieces(group, pieces[group])

    def pieces_of(self, group: Group) -> frozenset[Node]:
        """The operands of a concatenation that the kernels that compute them write into it.

        Not where it is the new value of state: whoever reads the old one may come later than those kernels. Nor where
        the concatenation reads them in another way too, as through a view.
        """
        node = group.anchor
        if node is None or not isinstance(node.op, Concat) or node.type.rank == 0:
            return frozenset()
        if any(b in self.state.values() for b in self.buffers.get(node, ())):
            return frozenset()
        pieces = {x for x in node.inputs if x in self.maker and placeable(self.maker[x])}
        inside = frozenset(group.nodes)
        others = [x for n in group.nodes for x in n.inputs if n is not node or x not in pieces]
        return frozenset(pieces.difference(*(behind(x, inside) for x in others)))

    def place_pieces(self, group: Group, pieces: frozenset[Node]) -> None:
        """Where kernels store pieces of a concatenation."""
        node = group.anchor
        if node is None or not pieces:
            return
        for position, (operand, where) in enumerate(zip(node.inputs, places(node, self.buffers[node]), strict=True)):
            if operand in pieces:
                piece = part(node, position)
                self.parts[piece] = where
                self.buffers[operand] = (*self.buffers[operand], piece)

    def place_items(self, group: Group) -> None:
        """Each result of a control node goes where it is wanted, or to a buffer of its own."""
        node = group.anchor
        assert node is not None and isinstance(node.type, TupleType)
        items = {n.op.index: n for n in group.nodes if isinstance(n.op, Item)}
        results: list[Buffer] = []
        for i, type_ in enumerate(node.type.items):
            known = self.buffers.get(items[i], ()) if i in items else ()
            results += known or [self.own(f"t{node.serial}.{i}", type_)]
            if i in items:
                self.buffers[items[i]] = (results[-1],)
        self.results[node] = tuple(results)

    def bind(self, group: Group) -> Iterator[Node]:
        """Say how the carries of a control node get their first values; yields what it reads in memory besides."""
        node = group.anchor
        assert node is not None
        carried = dict(zip(OPERANDS[type(node.op)](node.op).carried, self.results[node], strict=False))
        starting = self.starting[node] = []
        for position, operand in enumerate(node.inputs):
            source, carry = through_aliases(operand), carried.get(position)
            if carry is None:
                yield source
            elif source in self.maker and not is_flow(self.maker[source]):
                self.entering.setdefault(source, []).append(carry)
            else:
                starting.append((source, carry))

    def own(self, name: str, type_: TensorType) -> Buffer:
        """A buffer of the arena for a value of this graph."""
        return Buffer(self.prefix + name, type_, "arena")

    def named_scratch(self, kernel: Kernel, position: int) -> Kernel:
        """The kernel with a scratch buffer of its own."""
        names = {b: self.own(f"scratch{position}.{i}", b.type) for i, b in enumerate(kernel.scratch())}
        return kernel.renamed(names) if names else kernel

    def place_leaf(self, node: Node) -> None:
        """Variables and constant data are in memory from the start."""
        match node.op:
            case Read(variable=name):
                self.buffers[node] = (self.state[name],)
            case Constant(data=content) if role(node) is Role.LEAF:
                buffer = Buffer(f"{self.prefix}data{node.serial}", node.type, "data")
                self.buffers[node], self.data[buffer] = (buffer,), content

    def depend_on_operands(self) -> None:
        """A kernel runs after those that make what it reads."""
        for group, task in self.tasks.items():
            task.after |= {self.tasks[self.maker[s]].serial for s in group.sources if s in self.maker}

    def deliver(self, node: Node, buffer: Buffer) -> None:
        """A result goes straight to its buffer where a group makes it, else it is copied at the end.

        A kernel can write it to many buffers, control flow to one.
        """
        source = through_aliases(node)
        if source in self.maker and not (source in self.buffers and is_flow(self.maker[source])):
            self.buffers[source] = (*self.buffers.get(source, ()), buffer)
        else:
            self.copy(source, buffer)

    def copy(self, source: Node, buffer: Buffer) -> None:
        """Copy a node to a buffer, once it is made (or saved)."""
        made = {self.tasks[self.maker[source]].serial} if source in self.maker else set()
        origin = self.saved.get(source)
        if origin is not None and origin is not buffer:
            made |= {t.serial for t in self.copies if t.copy is not None and t.copy[1] is origin}
        else:
            origin = None
        self.copies.append(Task(len(self.groups) + len(self.copies), None, (source, buffer, origin), made))

    def update(self, name: str, node: Node) -> None:
        """A Variable's new value is written in place, after the last reader of the old one, where that is possible."""
        if is_read_of(node, name):
            return
        source, buffer = through_aliases(node), self.state[name]
        readers = self.readers_of(name)
        group = self.maker.get(source)
        if group is None or not self.can_overwrite(name, group, readers):
            self.update_by_copy(name, source, readers)
            return
        self.buffers[source] = (*self.buffers.get(source, ()), buffer)
        task = self.tasks[group]
        task.after |= {t.serial for t in readers if t is not task}

    def update_by_copy(self, name: str, source: Node, readers: list[Task]) -> None:
        """A kernel of its own copies the new value at the end, after the last reader of the old one."""
        self.copy(source, self.state[name])
        self.copies[-1].after |= {t.serial for t in readers if t is not self.copies[-1]}

    def save_old_values(self) -> None:
        """Where one Variable takes another's old value, that value is saved first: both may change."""
        for name, node in self.graph.updates:
            source = through_aliases(node)
            if isinstance(source.op, Read) and not is_read_of(node, name) and source not in self.saved:
                self.saved[source] = self.own(f"saved.{source.serial}", source.type)
                self.copy(source, self.saved[source])

    def readers_of(self, name: str) -> list[Task]:
        """The kernels that read a Variable's old value."""
        copies = [t for t in self.copies if t.copy is not None and is_read_of(t.copy[0], name) and t.copy[2] is None]
        return [*self.readers.get(name, ()), *copies]

    def can_overwrite(self, name: str, group: Group, readers: Iterable[Task]) -> bool:
        """Whether the group may write the Variable: no reader comes later, and it reads an element only to write it."""
        task = self.tasks[group]
        if is_flow(group) or any(self.reaches(task, reader) for reader in readers if reader is not task):
            return False
        return task not in readers or reads_in_place(group, name)

    def reaches(self, start: Task, end: Task) -> bool:
        """Whether `end` must run after `start`."""
        by_serial = self.by_serial()
        stack, seen = [end.serial], set()
        while stack:
            serial = stack.pop()
            if serial == start.serial:
                return True
            if serial not in seen:
                seen.add(serial)
                stack.extend(by_serial[serial].after)
        return False

    def by_serial(self) -> dict[int, Task]:
        """All tasks by number."""
        return {t.serial: t for t in (*self.tasks.values(), *self.copies)}

    def ordered(self) -> list[Task]:
        """Tasks in an order that respects what must be before what."""
        tasks = self.by_serial()
        order = [tasks[serial] for serial in sequence({s: t.after for s, t in tasks.items()})]
        if len(order) < len(tasks):
            raise InternalError(f"{self.graph.name}: kernels depend on one another in a circle")
        return order

    def steps(self, task: Task, position: int) -> tuple[Step, ...]:
        """What a task, at its position in order, comes to: a kernel if any, or copies and the step around others."""
        if task.group is None or not is_flow(task.group):
            kernel = self.named_scratch(placed(self.kernel(task), self.parts), position)
            return (kernel,) if kernel.body else ()
        node = task.group.anchor
        assert node is not None
        copies = [self.copied(source, self.buffers[source][0], carry) for source, carry in self.starting[node]]
        operands = tuple(self.buffers[through_aliases(x)][0] for x in node.inputs)
        name = f"{self.prefix}{node.op.mnemonic()}{node.serial}."
        flow = Flow(node, name, operands, self.results[node], self.old(task.group.sources), self.schedule)
        return (*copies, STEPS[type(node.op)](flow, node.op))

    def schedule(self, body: Graph, interface: Interface, prefix: str) -> tuple[Step, ...]:
        """The steps of a body of one of the graph's nodes."""
        scheduler = Scheduler(body, interface, self.target, prefix)
        steps = scheduler.run()
        self.data |= scheduler.data
        return steps

    def kernel(self, task: Task) -> Kernel:
        """The kernel of a task."""
        if task.group is not None:
            return replace(lower_group(task.group, self.buffers, self.target), reads_old=self.old(task.group.sources))
        assert task.copy is not None
        node, buffer, origin = task.copy
        kernel = self.copied(node, origin or self.buffers[node][0], buffer)
        return kernel if origin is None else replace(kernel, reads_old=())

    def copied(self, node: Node, source: Buffer, target: Buffer) -> Kernel:
        """Copy a node's value from one buffer to another."""
        kernel = copy_kernel(node.type, source, target)
        return replace(kernel, sites=sites_of((node,)), reads_old=self.old((node,)))

    def old(self, nodes: Iterable[Node]) -> tuple[str, ...]:
        """The names of the buffers of state among what is read."""
        return tuple(self.state[n.op.variable].name for n in nodes if isinstance(n.op, Read))


def readers(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """The tasks that read each Variable, in order."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        for source in task.group.sources if task.group is not None else ():
            if isinstance(source.op, Read):
                found.setdefault(source.op.variable, []).append(task)
    return found


def is_flow(group: Group) -> bool:
    """Whether the group is control flow, with steps of its own."""
    return group.anchor is not None and role(group.anchor) is Role.CONTROL


def is_read_of(node: Node, name: str) -> bool:
    """Whether the node is the Variable's old value."""
    return isinstance(node.op, Read) and node.op.variable == name


def reads_in_place(group: Group, name: str) -> bool:
    """Whether the group reads the Variable only at the element it writes, in one pass; or only to scatter into it.

    One reduction of rows is a pass before that, which may read others.
    """
    inside = frozenset(group.nodes)
    reductions = [n for n in group.nodes if is_row_reduction(n)]
    if len(reductions) > 1 or any(is_read_of(n, name) for r in reductions for n in behind(r, inside)):
        return False
    one_pass = group.anchor is None or role(group.anchor) is not Role.ASSEMBLE
    for node in group.nodes:
        for position, operand in enumerate(node.inputs):
            same = role(node) is Role.MAP and operand.type.shape == node.type.shape == group.space and one_pass
            in_place = same and role(operand) is not Role.VIEW
            grows = isinstance(node.op, Scatter) and position == 0 and is_read_of(through_aliases(operand), name)
            if not (in_place or grows) and any(is_read_of(n, name) for n in behind(operand, inside)):
                return False
    return True


def behind(node: Node, inside: frozenset[Node]) -> dict[Node, None]:
    """The node and what lies behind it: behind views and aliases, and behind what the group itself computes."""
    found: dict[Node, None] = {}
    stack = [node]
    while stack:
        top = stack.pop()
        if top not in found and (top in inside or role(top) in (Role.VIEW, Role.ALIAS)):
            stack.extend(top.inputs)
        found[top] = None
    return found


def copy_kernel(type_: TensorType, source: Buffer, target: Buffer) -> Kernel:
    """Copy one buffer to another: as one row where neither is packed."""
    shape = type_.shape if source.panel or target.panel or not type_.shape else (type_.size,)
    axes = axes_of(shape)
    load = Load(1, Access(source, shape, at(axes)))
    body: tuple[Stmt, ...] = (load, Store(Access(target, shape, at(axes)), 1))
    for i, axis in enumerate(reversed(axes)):
        body = (Loop(axis, "serial" if i else "lanes", body),)
    return Kernel("copy", body)
