"""The loop nests of each kind of group: rows, reductions, contractions, and results assembled piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod

from graphc.errors import InternalError, Site
from graphc.ir.dim import Size, known_le, minimum, typical
from graphc.ir.node import Node, Op
from graphc.ir.types import TensorType, u8
from graphc.ops.base import ArgReduction
from graphc.ops.contraction import DotGeneral
from graphc.ops.cumulative import CumMax, CumSum, Recurrence
from graphc.ops.elementwise import Div
from graphc.ops.indexing import SCATTERS, Scatter
from graphc.ops.movement import Broadcast, Concat, Pad
from graphc.ops.sorting import Argsort
from graphc.ops.transcendental import Erf, Exp, Log, Sigmoid, Sqrt, Tanh
from graphc.passes.fuse import Group, is_row_reduction
from graphc.passes.roles import Role, role, through_aliases
from graphc.runtime.targets import Target
from graphc.schedule.access import Access, Axis, Buffer, Index
from graphc.schedule.convolution import lower_convolution
from graphc.schedule.kernel import Compute, Contract, Fold, Kernel, Matrix, Stmt, Store
from graphc.schedule.lower import Lowering, at, axes_of
from graphc.schedule.pieces import part
from graphc.schedule.sweeps import assemble_cumulative, assemble_order
from graphc.schedule.tiles import TilePlan, plan_matmul
from graphc.schedule.windows import lower_windows

Buffers = Mapping[Node, tuple[Buffer, ...]]

#: A row of at most this many vectors is held in registers through all stages of its kernel.
BLOCK_VECTORS = 4

#: Ops that take many instructions, for the tile planner's estimate of an epilogue.
COSTLY: frozenset[type[Op]] = frozenset({Div, Sqrt, Exp, Log, Tanh, Sigmoid, Erf})


def lower_group(group: Group, buffers: Buffers, target: Target) -> Kernel:
    """The kernel that computes a group's outputs into their buffers."""
    if group.anchor is None:
        body = lower_rows(group, buffers, target)
    else:
        body = ANCHORS[role(group.anchor)](group, buffers, target)
    return Kernel(label(group), body, sites_of(group.nodes))


def sites_of(nodes: Iterable[Node]) -> tuple[Site, ...]:
    """The user's lines that nodes come from, each once."""
    return tuple(dict.fromkeys(site for n in nodes if (site := n.scope.site_of(n)) is not None))


def label(group: Group) -> str:
    """What the kernel computes: its ops, the anchor first."""
    names = [n.op.mnemonic() for n in group.nodes if role(n) is not Role.VIEW or len(group.nodes) == 1]
    first = [group.anchor.op.mnemonic()] if group.anchor is not None else []
    rest = [n for n in dict.fromkeys(names) if n not in first]
    return "_".join([*first, *rest][:5])


def lower_rows(group: Group, buffers: Buffers, target: Target) -> tuple[Stmt, ...]:
    """Elementwise groups, and rows with reductions along them: one pass over the row for each stage."""
    lowering = Lowering(group, buffers)
    if is_flat(group, buffers):
        lowering.flatten()
        axes: tuple[Axis, ...] = (Axis("i0", prod(group.space)),) if group.space else ()
    else:
        axes = axes_of(group.space)
    if not axes:
        for node in group.outputs:
            lowering.store(node, ())
        return tuple(lowering.frames[0].body)
    for axis in axes[:-1]:
        lowering.open(axis)
    stages = stages_of(group)
    if len(stages) > 1 and fits_block(group, target):
        lowering.open(axes[-1])
        for stage in stages:
            row_stage(lowering, group, axes, stage, block=True)
        lowering.close_loop("block")
    else:
        for stage in stages:
            row_stage(lowering, group, axes, stage, block=False)
    for _ in axes[:-1]:
        lowering.close_loop("serial")
    return tuple(lowering.frames[0].body)


def is_flat(group: Group, buffers: Buffers) -> bool:
    """Whether the group is one loop over contiguous elements: nothing but scalars is broadcast, no matrix is packed."""
    return all(
        (role(n) is Role.MAP and n.type.shape == group.space)
        and all((i.type.shape == group.space and not is_view(i)) or is_splat(i) for i in n.inputs)
        for n in group.nodes
    ) and not any(b.panel or b.place == "part" for n in (*group.sources, *group.outputs) for b in buffers[n])


def is_view(node: Node) -> bool:
    """Whether its users compute where to read, so that a flat index will not do."""
    return role(node) is Role.VIEW and bool(node.type.shape)


def is_splat(node: Node) -> bool:
    """Whether the node is one scalar broadcast everywhere."""
    return isinstance(node.op, Broadcast) and node.op.axes == () and role(node.inputs[0]) is not Role.ALIAS


def fits_block(group: Group, target: Target) -> bool:
    """Whether a whole row fits the registers."""
    lanes = target.lanes(max(n.type.dtype.itemsize for n in group.nodes))
    return isinstance(group.space[-1], int) and 0 < group.space[-1] <= BLOCK_VECTORS * lanes


def stages_of(group: Group) -> list[list[Node]]:
    """The row reductions and outputs by the pass over the row in which they can be computed."""
    inside = frozenset(group.nodes)
    stage: dict[Node, int] = {}

    def of(node: Node) -> int:
        return stage.get(node, 0)

    for node in sorted(reach(group), key=lambda n: n.serial):
        before = max((of(i) for i in node.inputs), default=0)
        stage[node] = before + (1 if node in inside and is_row_reduction(node) else 0)
    passes: dict[int, list[Node]] = {}
    for node in group.nodes:
        if is_row_reduction(node):
            passes.setdefault(stage[node] - 1, []).append(node)
    for node in group.outputs:
        passes.setdefault(stage[node], []).append(node)
    return [passes[s] for s in sorted(passes)]


def reach(group: Group) -> set[Node]:
    """The group's nodes and the views between them."""
    inside = frozenset(group.nodes)
    found: set[Node] = set()
    stack = list(group.nodes)
    while stack:
        node = stack.pop()
        if node not in found and (node in inside or role(node) is Role.VIEW):
            found.add(node)
            stack.extend(node.inputs)
    return found


def row_stage(lowering: Lowering, group: Group, axes: tuple[Axis, ...], nodes: list[Node], block: bool) -> None:
    """One pass over the row: fold the reductions that are due, store the outputs that are known."""
    index = at(axes)
    rows = [n for n in nodes if n.type.shape != group.space or (is_row_reduction(n) and n not in group.outputs)]
    folds = [n for n in nodes if is_row_reduction(n) and lowering.lookup((n, index[:-1])) is None]
    full = [n for n in nodes if n.type.shape == group.space and n not in folds]
    if block:
        for node in full:
            lowering.store(node, index)
        if folds:
            values = [lowering.value(n.inputs[0], index) for n in folds]
            lowering.open()
            finish_folds(lowering, folds, values, index[:-1], lanes=True)
    elif folds or full:
        lowering.open(axes[-1])
        for node in full:
            lowering.store(node, index)
        values = [lowering.value(n.inputs[0], index) for n in folds]
        if folds:
            finish_folds(lowering, folds, values, index[:-1], lanes=True)
        else:
            lowering.close_loop("lanes")
    for node in rows:
        if node in group.outputs and node not in folds:
            lowering.store(node, index[:-1])


def finish_folds(
    lowering: Lowering, nodes: list[Node], values: list[int], index: tuple[Index, ...], lanes: bool
) -> None:
    """Close a reduction's loops; its results are the nodes' values at an index."""
    results = []
    for node, value in zip(nodes, values, strict=True):
        lowering.next_value += 1
        results.append(Fold(lowering.next_value, node.op, node.type.dtype, value))
    lowering.close_reduce(lanes, results)
    for node, fold in zip(nodes, results, strict=True):
        lowering.frames[-1].known[(node, index)] = fold.result


def lower_reduction(group: Group, buffers: Buffers, target: Target) -> tuple[Stmt, ...]:
    """A reduction over any axes. The last axis goes a vector at a time, whether it is reduced or stays."""
    lowering = Lowering(group, buffers)
    anchor = group.anchor
    assert anchor is not None
    source = anchor.inputs[0]
    reduced = reduced_axes(anchor.op)
    axes = axes_of(source.type.shape)
    kept = [a for i, a in enumerate(axes) if i not in reduced]
    over = [a for i, a in enumerate(axes) if i in reduced]
    lanes_kept = bool(kept) and kept[-1] is axes[-1]
    for axis in kept:
        lowering.open(axis)
    result = at(tuple(kept))
    if over:
        lowering.open(*over)
        finish_folds(lowering, [anchor], [lowering.value(source, at(axes))], result, lanes=not lanes_kept)
    else:
        lowering.frames[-1].known[(anchor, result)] = lowering.value(source, at(axes))
    for node in group.outputs:
        lowering.store(node, result)
    for i in range(len(kept)):
        lowering.close_loop("lanes" if lanes_kept and i == 0 else "serial")
    return tuple(lowering.frames[0].body)


def reduced_axes(op: Op) -> tuple[int, ...]:
    """The axes a reduction takes away."""
    return (op.axis,) if isinstance(op, ArgReduction) else op.axes  # type: ignore[attr-defined]


def lower_contraction(group: Group, buffers: Buffers, target: Target) -> tuple[Stmt, ...]:
    """A batch of matmuls, with the rest of the group as the epilogue on the accumulators."""
    lowering = Lowering(group, buffers)
    anchor = group.anchor
    assert anchor is not None and isinstance(anchor.op, DotGeneral)
    op = anchor.op
    lhs, rhs = anchor.inputs
    batches = len(op.lhs_batch)
    axes = axes_of(anchor.type.shape)
    *outer, m, n = axes
    k = lhs.type.shape[op.lhs_contract[0]]
    for axis in outer:
        lowering.open(axis)
    matrices = [
        stored_matrix(buffers, lhs, tuple(outer), transposed=op.lhs_contract == (batches,)),
        stored_matrix(buffers, rhs, tuple(outer), transposed=op.rhs_contract == (batches + 1,)),
    ]
    frame = lowering.open(m, n)
    lowering.next_value += 1
    result = lowering.next_value
    lowering.level_of[result] = len(lowering.frames) - 1
    frame.known[(anchor, at(axes))] = result
    for node in group.outputs:
        lowering.store(node, at(axes))
    frame = lowering.frames.pop()
    plan = tile_plan(target, anchor, matrices, frame.body)
    scratch = None
    if plan.needs_scratch:
        scratch = Buffer("scratch", TensorType(u8, (plan.scratch_bytes(k),)), "arena")
    lowering.frames[-1].body.append(
        Contract(result, anchor.type.dtype, m, n, k, matrices[0], matrices[1], plan, scratch, tuple(frame.body))
    )
    for _ in outer:
        lowering.close_loop("serial")
    return tuple(lowering.frames[0].body)


def tile_plan(target: Target, node: Node, matrices: list[Matrix], epilogue: list[Stmt]) -> TilePlan:
    """The register tiles for a contraction's sizes, operands and epilogue."""
    lhs, rhs = matrices
    *_, m, n = node.type.shape
    k = lhs.rows if lhs.transposed else lhs.columns
    rows, columns, depth = (size if isinstance(size, int) else None for size in (m, n, k))
    symbolic = next((typical(size) for size in (m, n, k) if not isinstance(size, int)), 32)
    cost = sum(8 if isinstance(s, Compute) and type(s.op) in COSTLY else 1 for s in epilogue)
    panel = lhs.buffer.panel or rhs.buffer.panel or 16
    return plan_matmul(
        target, node.type.dtype.name, rows, columns, depth, lhs.layout, rhs.layout,
        panel=panel, typical=symbolic, epilogue_cost=cost,
    )  # fmt: skip


def stored_matrix(buffers: Buffers, node: Node, batch: tuple[Axis, ...], transposed: bool) -> Matrix:
    """Where a contraction's operand lies."""
    *_, rows, columns = node.type.shape
    buffer, zero = buffers[through_aliases(node)][0], Index()
    offset = Access(buffer, node.type.shape, (*at(batch), zero, zero)).linear()
    return Matrix(buffer, offset, rows, columns, transposed)


Move = Callable[[tuple[Index, ...]], tuple[Index, ...]]


def copy_nest(lowering: Lowering, node: Node, target: Buffer, shape: tuple[Size, ...], move: Move) -> None:
    """Store a whole node into a part of a buffer."""
    store_nest(lowering, node.type.shape, lambda index: lowering.value(node, index), target, shape, move)


def store_nest(
    lowering: Lowering,
    space: tuple[Size, ...],
    of: Callable[[tuple[Index, ...]], int],
    target: Buffer,
    shape: tuple[Size, ...],
    move: Move,
) -> None:
    """Store a value for each index of a space into a part of a buffer."""
    axes = axes_of(space)
    for axis in axes:
        lowering.open(axis)
    value = of(at(axes))
    lowering.frames[-1].body.append(Store(Access(target, shape, move(at(axes))), value))
    for i in range(len(axes)):
        lowering.close_loop("serial" if i else "lanes")


def lower_assembly(group: Group, buffers: Buffers, target: Target) -> tuple[Stmt, ...]:
    """Results written piece by piece: each piece by a nest of its own."""
    anchor = group.anchor
    assert anchor is not None
    lowering = Lowering(group, buffers)
    read = {buffers[source][0] for source in group.sources}
    for buffer in sorted(buffers[anchor], key=lambda b: b in read):  # what is read may be overwritten last
        ASSEMBLIES[type(anchor.op)](lowering, anchor, buffer)
    if group.outputs != (anchor,):
        raise InternalError(f"{anchor.op.mnemonic()}: nothing can follow in its kernel")
    return tuple(lowering.frames[0].body)


def assemble_concat(lowering: Lowering, node: Node, target: Buffer) -> None:
    """Each operand into its slice of the result, unless the kernel that computes it has stored it there."""
    assert isinstance(node.op, Concat)
    axis = node.op.axis
    start: Size = 0
    for position, operand in enumerate(node.inputs):

        def move(index: tuple[Index, ...], start: Size = start) -> tuple[Index, ...]:
            return (*index[:axis], index[axis] + start, *index[axis + 1 :])

        if part(node, position) not in lowering.buffers.get(operand, ()):
            copy_nest(lowering, operand, target, node.type.shape, move)
        start = start + operand.type.shape[axis]


def assemble_pad(lowering: Lowering, node: Node, target: Buffer) -> None:
    """The padding everywhere, then the operand over it."""
    op = node.op
    assert isinstance(op, Pad)
    space = node.type.shape
    store_nest(lowering, space, lambda index: lowering.value(node.inputs[1], ()), target, space, lambda index: index)

    def move(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(i * (1 + step) + low for i, low, step in zip(index, op.low, op.interior, strict=True))

    copy_nest(lowering, node.inputs[0], target, node.type.shape, move)


def assemble_scatter(lowering: Lowering, node: Node, target: Buffer) -> None:
    """The operand (unless it lies in the target already), then each update at its place, in order of the indices."""
    op = node.op
    assert isinstance(op, Scatter)
    x, indices, updates = node.inputs
    if lowering.buffers.get(through_aliases(x), ())[:1] != (target,):
        copy_nest(lowering, x, target, node.type.shape, lambda index: index)
    size = node.type.shape[op.axis]
    guards = () if known_le(1, size) else (Axis("somewhere", minimum(size, 1)),)  # with no place, nothing is put
    axes = axes_of(updates.type.shape)
    after = op.axis + indices.type.rank - op.shared
    lanes = after < len(axes)
    for axis in (*guards, *axes):
        lowering.open(axis)
    index = at(axes)
    place = lowering.position(indices, (*index[: op.shared], *index[op.axis : after]), size)
    access = Access(target, node.type.shape, (*index[: op.axis], place, *index[after:]))
    new = lowering.value(updates, index)
    if op.step is not None:
        old, update = lowering.load_fresh(access), new
        new = lowering.fresh(len(lowering.frames) - 1)
        lowering.frames[-1].body.append(Compute(new, node.type.dtype, op.step, (old, update)))
    lowering.frames[-1].body.append(Store(access, new))
    for i in range(len(guards) + len(axes)):
        lowering.close_loop("lanes" if lanes and i == 0 else "serial")


ASSEMBLIES: dict[type[Op], Callable[[Lowering, Node, Buffer], None]] = {
    Concat: assemble_concat,
    Pad: assemble_pad,
    **dict.fromkeys(SCATTERS, assemble_scatter),
    CumSum: assemble_cumulative,
    CumMax: assemble_cumulative,
    Recurrence: assemble_cumulative,
    Argsort: assemble_order,
}

ANCHORS: dict[Role, Callable[[Group, Buffers, Target], tuple[Stmt, ...]]] = {
    Role.REDUCE: lower_reduction,
    Role.CONTRACT: lower_contraction,
    Role.WINDOW: lower_windows,
    Role.CONVOLVE: lower_convolution,
    Role.ASSEMBLE: lower_assembly,
}
