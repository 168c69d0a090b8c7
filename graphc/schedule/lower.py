"""Lowering: a group of nodes becomes a kernel. A node's value at an index is pulled from its operands' values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from math import prod

from graphc.ir.dim import Size, known_le
from graphc.ir.node import Constant, Node
from graphc.ops.indexing import Gather, Iota
from graphc.ops.size import SizeOf
from graphc.passes.fuse import Group
from graphc.passes.roles import Role, role, through_aliases
from graphc.schedule.access import Access, Axis, Buffer, Index
from graphc.schedule.kernel import Compute, Fold, Literal, Load, Loop, Position, Range, Reduce, Stmt, Store

Key = tuple[Node, tuple[Index, ...]]


@dataclass
class Frame:
    """The body of one loop while it is written: its axes, its statements, the values known in it."""

    axes: tuple[Axis, ...]
    body: list[Stmt] = field(default_factory=list)
    known: dict[Hashable, int] = field(default_factory=dict)


class Lowering:
    """Writes the statements of one kernel, each at the outermost loop where its operands are known."""

    def __init__(self, group: Group, buffers: Mapping[Node, tuple[Buffer, ...]]):
        """`buffers` says where each node lies that is in memory: where to read it first, then further copies."""
        self.group, self.buffers = group, buffers
        self.inside = frozenset(group.nodes)
        self.frames = [Frame(())]
        self.level_of: dict[int, int] = {}
        self.next_value = 0
        self.flat = False

    # -- frames -----------------------------------------------------------------------------------------------------

    def open(self, *axes: Axis) -> Frame:
        """Start the body of a loop."""
        self.frames.append(Frame(axes))
        return self.frames[-1]

    def close_loop(self, kind: str) -> None:
        """End it, and append the loop to the body around it."""
        frame = self.frames.pop()
        self.frames[-1].body.append(Loop(frame.axes[0], kind, tuple(frame.body)))  # type: ignore[arg-type]

    def close_reduce(self, lanes: bool, folds: list[Fold]) -> None:
        """End the body of a reduction; its results are known around it from now on."""
        frame = self.frames.pop()
        self.frames[-1].body.append(Reduce(frame.axes, lanes, tuple(folds), tuple(frame.body)))
        for fold in folds:
            self.level_of[fold.result] = len(self.frames) - 1

    def fresh(self, level: int) -> int:
        """A new value that is known from a frame on."""
        self.next_value += 1
        self.level_of[self.next_value] = level
        return self.next_value

    def axis_level(self, *indices: Index) -> int:
        """The outermost frame in which every term of the indices is known."""
        level = 0
        for index in indices:
            for term, _ in index.terms:
                if isinstance(term, int):
                    level = max(level, self.level_of[term])
                else:
                    level = max(level, next(i for i, f in enumerate(self.frames) if term in f.axes))
        return level

    # -- values -----------------------------------------------------------------------------------------------------

    def value(self, node: Node, index: tuple[Index, ...]) -> int:
        """The number of the node's value at an index, computed where it is not known yet."""
        stack: list[tuple[Node, tuple[Index, ...]]] = [(node, index)]
        while stack:
            top, at = stack[-1]
            missing = [need for need in self.needs(top, at) if self.lookup(need) is None]
            if missing and self.lookup((top, at)) is None:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            if self.lookup((top, at)) is None:
                self.compute(top, at)
        found = self.lookup((node, index))
        assert found is not None
        return found

    def lookup(self, key: Hashable) -> int | None:
        """The value's number where some open frame knows it."""
        for frame in reversed(self.frames):
            if key in frame.known:
                return frame.known[key]
        return None

    def is_local(self, node: Node) -> bool:
        """Whether this kernel computes the node itself rather than loads it."""
        return node in self.inside or (role(node) is Role.VIEW and node not in self.buffers)

    def needs(self, node: Node, index: tuple[Index, ...]) -> list[Key]:
        """The operands' values (at which index) that the node's value is computed from."""
        if not self.is_local(node):
            return []
        match role(node):
            case Role.MAP:
                return [(operand, index) for operand in node.inputs]
            case Role.VIEW if isinstance(node.op, Gather):
                split = node.op.axis
                rank = node.inputs[1].type.rank
                shared = node.op.shared
                return [(node.inputs[1], (*index[:shared], *index[split : split + rank - shared]))]
            case Role.VIEW if node.inputs:
                return [(node.inputs[0], node.op.pull(index))]  # type: ignore[attr-defined]
        return []

    def compute(self, node: Node, index: tuple[Index, ...]) -> None:
        """Append the statement that gives the value; its operands are known."""
        if not self.is_local(node):
            self.load(node, node, index, index)
            return
        match role(node):
            case Role.MAP:
                operands = tuple(self.known(key) for key in self.needs(node, index))
                level = max((self.level_of[o] for o in operands), default=0)
                result = self.fresh(level)
                self.append(level, (node, index), Compute(result, node.type.dtype, node.op, operands))
            case Role.VIEW if isinstance(node.op, Constant):
                result = self.fresh(0)
                self.append(0, (node, index), Literal(result, node.type.dtype, node.op.data))
            case Role.VIEW if isinstance(node.op, Iota):
                level = self.axis_level(index[node.op.axis])
                result = self.fresh(level)
                self.append(level, (node, index), Range(result, node.type.dtype, index[node.op.axis]))
            case Role.VIEW if isinstance(node.op, SizeOf):
                result = self.fresh(0)
                self.append(0, (node, index), Range(result, node.type.dtype, Index((), node.op.size)))
            case Role.VIEW if isinstance(node.op, Gather):
                self.gather(node, node.op, index)
            case _:
                source = self.needs(node, index)[0]
                value = self.known(source)
                self.frames[self.level_of[value]].known[(node, index)] = value

    def gather(self, node: Node, op: Gather, index: tuple[Index, ...]) -> None:
        """Load the operand at a computed position along one axis."""
        indices, where = self.needs(node, index)[0]
        after = op.axis + indices.type.rank - op.shared
        size = node.inputs[0].type.shape[op.axis]
        place = self.position(indices, where, size)
        at = (*index[: op.axis], place, *index[after:])
        self.load(node, node.inputs[0], index, at, places=1 if known_le(1, size) else size)

    def position(self, indices: Node, index: tuple[Index, ...], size: Size) -> Index:
        """An element of an index array as a place along an axis of some size."""
        value = self.value(indices, index)
        level = self.level_of[value]
        result = self.fresh(level)
        self.frames[level].body.append(Position(result, value, size))
        return Index.of(result)

    def load_fresh(self, access: Access) -> int:
        """Load what a buffer holds by now, here: for read-modify-write."""
        result = self.fresh(len(self.frames) - 1)
        self.frames[-1].body.append(Load(result, access))
        return result

    def flatten(self) -> None:
        """Treat every node as one contiguous row: the group has a single loop over all elements."""
        self.flat = True

    def load(self, node: Node, source: Node, index: tuple[Index, ...], at: tuple[Index, ...], places: Size = 1) -> None:
        """Load `source` at an index as the value of `node`."""
        level = self.axis_level(*at)
        result = self.fresh(level)
        buffer = self.buffers[through_aliases(source)][0]
        self.append(level, (node, index), Load(result, Access(buffer, self.shape(source), at), places))

    def shape(self, node: Node) -> tuple[Size, ...]:
        """The shape a node's buffer is seen in."""
        return (prod(node.type.shape),) if self.flat and node.type.shape else node.type.shape

    def append(self, level: int, key: Key, statement: Stmt) -> None:
        """Put a statement into a frame, and remember the value it gives."""
        self.frames[level].body.append(statement)
        self.frames[level].known[key] = statement.result  # type: ignore[union-attr]

    def known(self, key: Key) -> int:
        """The number of a value that must be known."""
        found = self.lookup(key)
        assert found is not None, key
        return found

    def store(self, node: Node, index: tuple[Index, ...]) -> None:
        """Store the node's value at an index, into each of its buffers; old values that this overwrites are read first.

        A Variable's buffer is among them only where the group reads it at that same index, if at all.
        """
        value = self.value(node, index)
        for operand in self.overwritten(node):
            self.value(operand, index)
        for buffer in self.buffers[node]:
            self.frames[-1].body.append(Store(Access(buffer, self.shape(node), index), value))

    def overwritten(self, node: Node) -> list[Node]:
        """What the group reads from the buffers that the node is stored to."""
        operands = dict.fromkeys(o for n in self.group.nodes for o in n.inputs if not self.is_local(o))
        return [o for o in operands if self.buffers[through_aliases(o)][0] in self.buffers[node]]


def axes_of(shape: tuple[Size, ...]) -> tuple[Axis, ...]:
    """Axes `i0, i1, …` over a shape."""
    return tuple(Axis(f"i{n}", size) for n, size in enumerate(shape))


def at(axes: tuple[Axis, ...]) -> tuple[Index, ...]:
    """The index that is the axes themselves."""
    return tuple(Index.of(a) for a in axes)
