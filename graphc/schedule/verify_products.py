"""The invariants of matmuls and convolutions in a kernel: operands, scratch and guards are as their plans need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir.dim import Size
from graphc.schedule.access import Index, Row
from graphc.schedule.kernel import Contract, Convolve, Load, Matrix, Store

if TYPE_CHECKING:
    from graphc.schedule.verify import KernelVerifier


def verify_contract(verifier: KernelVerifier, statement: Contract) -> None:
    """Operands of the right shapes that the kernel leaves alone, and the scratch that the plan needs."""
    if verifier.lanes is not None:
        raise verifier.fault(statement, "lanes are open already")
    m, n, k = statement.m.extent, statement.n.extent, statement.k
    for matrix, shape in ((statement.lhs, (m, k)), (statement.rhs, (k, n))):
        verify_operand(verifier, statement, matrix, shape)
        if matrix.buffer in verifier.stored:
            raise verifier.fault(statement, f"the kernel writes its operand {matrix.buffer.name}")
    if statement.plan.itemsize != statement.dtype.itemsize:
        raise verifier.fault(statement, f"its plan is for elements of {statement.plan.itemsize} bytes")
    verify_scratch(verifier, statement)
    with verifier.scope(statement, (statement.m, statement.n), "lanes"):
        verifier.define(statement, statement.result, statement.dtype, varying=True)
        verifier.body(statement.body)


def verify_operand(verifier: KernelVerifier, statement: Contract, matrix: Matrix, shape: tuple[Size, Size]) -> None:
    """An operand: what its buffer holds, seen as what the matmul reads."""
    type_ = matrix.buffer.type
    if type_.dtype != statement.dtype:
        raise verifier.fault(statement, f"{matrix.buffer.name} is {type_.dtype}, not {statement.dtype}")
    stored = shape[::-1] if matrix.transposed else shape
    if (matrix.rows, matrix.columns) != stored:
        raise verifier.fault(statement, f"{matrix.buffer.name} should be [{stored[0]}, {stored[1]}]")
    if matrix.buffer.panel and (type_.shape != stored or matrix.offset != Index()):
        raise verifier.fault(statement, f"{matrix.buffer.name} is packed as {type_}")
    verifier.index(statement, matrix.offset, None)
    if verifier.exceeds(matrix.rows * matrix.columns, type_.size):
        raise verifier.fault(statement, f"{matrix.buffer.name} has {type_.size} elements only")


def verify_scratch(verifier: KernelVerifier, statement: Contract) -> None:
    """The scratch that a plan needs is there, and nobody's but the matmul's."""
    plan, scratch = statement.plan, statement.scratch
    if scratch is None:
        if plan.needs_scratch:
            raise verifier.fault(statement, "its plan needs scratch")
        return
    verifier.scratch(statement, scratch, plan.scratch_bytes(statement.k))
    if any(isinstance(s, Load | Store) and s.access.buffer == scratch for s in verifier.kernel.statements()):
        raise verifier.fault(statement, f"{scratch.name} is accessed outside the matmul")


def verify_convolve(verifier: KernelVerifier, statement: Convolve) -> None:
    """Places of the right dtype over open axes, operands that the kernel leaves alone, guards that can be kept."""
    if verifier.lanes is not None:
        raise verifier.fault(statement, "lanes are open already")
    into, lhs, rhs = statement.places
    if statement.plan.itemsize != statement.dtype.itemsize:
        raise verifier.fault(statement, f"its plan is for elements of {statement.plan.itemsize} bytes")
    if into.buffer.read_only or into.buffer in (lhs.buffer, rhs.buffer):
        raise verifier.fault(statement, f"writes {into.buffer.name}")
    for operand in (lhs, rhs):
        if operand.buffer in verifier.stored:
            raise verifier.fault(statement, f"the kernel writes its operand {operand.buffer.name}")
    with verifier.scope(statement, (*statement.rows, statement.columns), "lanes"):
        verify_place(verifier, statement, into, 1)
        with verifier.scope(statement, statement.over, None):
            verify_place(verifier, statement, rhs, 1)
            verify_place(verifier, statement, lhs, lhs.offset.coefficient(statement.columns))
            verify_guards(verifier, statement)


def verify_place(verifier: KernelVerifier, statement: Convolve, place: Row, step: Size) -> None:
    """An element of a row-major buffer, `step` from its neighbour along the columns."""
    if place.buffer.type.dtype != statement.dtype or place.buffer.panel:
        raise verifier.fault(statement, f"{place.buffer.name} is {place.buffer.type}")
    if step not in (0, 1) or place.offset.coefficient(statement.columns) != step:
        raise verifier.fault(statement, f"{place.buffer.name} is not contiguous along the columns")
    verifier.index(statement, place.offset, None)


def verify_guards(verifier: KernelVerifier, statement: Convolve) -> None:
    """Each is about one axis of the sum; if about rows too, it is made of numbers."""
    for guard in statement.guards:
        verifier.index(statement, guard.index, None)
        terms = dict(guard.index.terms)
        moving = [a for a in statement.over if a in terms]
        step = terms[moving[0]] if len(moving) == 1 else 0
        if not isinstance(step, int) or step < 1:
            raise verifier.fault(statement, "a guard is about one axis of the sum")
        fixed = [t for t in terms if t not in (*statement.rows, moving[0])]
        sizes = (*(s for s in guard.index.sizes()), guard.size, *(a.extent for a in (*statement.rows, moving[0])))
        if any(r in terms for r in statement.rows) and (fixed or not all(isinstance(s, int) for s in sizes)):
            raise verifier.fault(statement, "a guard about rows is made of numbers")
