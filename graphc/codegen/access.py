"""Loads and stores of a kernel: scalars, contiguous and scattered lanes, elements of packed matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphc.codegen.address import MEMORY
from graphc.codegen.emission import Emission, Lane
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, element_type, lane_count, natural_alignment, suffix, vector_type
from graphc.errors import InternalError
from graphc.ir.dim import Size
from graphc.schedule.access import Access, Index
from graphc.schedule.kernel import Load, Stmt, Store, walk


def accesses_of(body: Sequence[Stmt]) -> Iterator[Access]:
    """What a body reads and writes."""
    for statement in walk(body):
        if isinstance(statement, Load | Store):
            yield statement.access


def emit_load(k: Emission, statement: Load) -> None:
    """Read one element, or a vector for each chunk."""
    access = statement.access
    dtype = access.buffer.type.dtype.name
    memory = MEMORY[dtype]
    if not has_lanes(k, access):
        value = k.b.load(memory, or_zeros(k, pointer(k, access, 0), statement.places))
        k.values[statement.result] = Lane(dtype, (from_memory(k.b, value, dtype),), True)
        return
    type_ = vector_type(memory, k.vectors.lanes)
    results = []
    for c, mask in enumerate(k.vectors.masks):
        if is_contiguous(k, access):
            start = or_zeros(k, pointer(k, access, c), statement.places)
            value = k.b.load(type_, start) if mask is None else k.b.masked_load(type_, start, mask)
        elif mask is None and is_contiguous(k, access, step=-1):
            value = backward(k, pointer(k, access, c), type_, statement.places)
        else:
            value = gather(k, or_zeros(k, lane_pointers(k, access, c), statement.places), type_, mask)
        results.append(from_memory(k.b, value, dtype))
    k.values[statement.result] = Lane(dtype, tuple(results), False)


def emit_store(k: Emission, statement: Store) -> None:
    """Write one element, or a vector for each chunk."""
    access = statement.access
    lane = k.values[statement.value]
    if not has_lanes(k, access):
        if not lane.uniform:
            raise InternalError("a store of lanes to one place")
        k.b.store(to_memory(k.b, lane.chunks[0], lane.dtype), pointer(k, access, 0))
        return
    for c, mask in enumerate(k.vectors.masks):
        value = to_memory(k.b, k.vector(lane, c), lane.dtype)
        if not is_contiguous(k, access):
            scatter(k, access, value, c, mask)
        elif mask is None:
            k.b.store(value, pointer(k, access, c))
        else:
            k.b.masked_store(value, pointer(k, access, c), mask)


def has_lanes(k: Emission, access: Access) -> bool:
    """Whether lanes access different places."""
    return any(k.lane_term(i) is not None for i in access.index)


def is_contiguous(k: Emission, access: Access, step: int = 1) -> bool:
    """Whether neighbouring lanes are neighbours in memory, the next one a `step` (1 or −1) further."""
    if access.buffer.panel:
        row, column = access.index
        return step == 1 and k.lane_term(row) is None and column == Index.of(k.vectors.axis)
    linear = access.linear()
    return linear.coefficient(k.vectors.axis) == step and all(
        k.values[t].uniform for t, _ in linear.terms if isinstance(t, int)
    )


def pointer(k: Emission, access: Access, chunk: int) -> Value:
    """The address of the access: of its chunk's first lane, where it has lanes."""
    if access.buffer.panel:
        return panel_pointer(k, access, chunk)
    place, left = k.addresses.partial(access.buffer, access.linear())
    for term, coefficient in left:
        assert term == k.vectors.axis
        step = k.b.mul(k.vectors.starts[chunk], k.sizes(coefficient))
        place = k.b.gep(MEMORY[access.buffer.type.dtype.name], place, step)
    return place


def panel_pointer(k: Emission, access: Access, chunk: int) -> Value:
    """The address in a packed matrix; matrices of one shape share the number of an element."""
    buffer = access.buffer
    rows = buffer.type.shape[0]
    assert isinstance(rows, int)
    row, column = access.index
    key = (rows, buffer.panel, row, column, chunk)
    element = k.addresses.remembered(key, lambda: panel_element(k, rows, buffer.panel, row, column, chunk))
    return k.b.gep(MEMORY[buffer.type.dtype.name], k.addresses.pointers[buffer], element)


def panel_element(k: Emission, rows: int, panel: int, row: Index, column: Index, chunk: int) -> Value:
    """(c // P)·R·P + r·P + c % P; for lanes that fill a panel's row, c is a multiple of P."""
    b = k.b
    r = b.mul(k.scalar_index(row), b.i64(panel))
    if k.lane_term(column) is None:
        c, whole = k.scalar_index(column), False
    else:
        c, whole = b.add(k.sizes(column.offset), k.vectors.starts[chunk]), k.vectors.lanes == panel
    inner = b.i64(0) if whole else b.urem(c, b.i64(panel))
    return b.add(b.add(b.mul(b.sub(c, inner), b.i64(rows)), r), inner)


def panel_lanes(k: Emission, access: Access, chunk: int) -> Value:
    """`panel_element`, lane by lane; the width of panels is a power of two."""
    b, lanes, panel = k.b, k.vectors.lanes, access.buffer.panel
    rows = access.buffer.type.shape[0]
    assert isinstance(rows, int)
    row, column = (k.vector_index(index, chunk) for index in access.index)
    inner = b.binary("and", column, b.splat(b.i64(panel - 1), lanes))
    start = b.binary("mul", b.binary("sub", column, inner), b.splat(b.i64(rows), lanes))
    return b.binary("add", start, b.binary("add", b.binary("mul", row, b.splat(b.i64(panel), lanes)), inner))


def lane_pointers(k: Emission, access: Access, chunk: int) -> Value:
    """One address a lane."""
    index = k.vector_index(access.linear(), chunk) if not access.buffer.panel else panel_lanes(k, access, chunk)
    element = MEMORY[access.buffer.type.dtype.name]
    base = k.addresses.pointers[access.buffer]
    return k.b.emit(vector_type("ptr", k.vectors.lanes), f"getelementptr {element}, {base}, {index}")


def or_zeros(k: Emission, pointers: Value, places: Size) -> Value:
    """The address, or one a lane; the address of zeros where an axis that is read at a `Position` has no places."""
    if places == 1:
        return pointers
    zeros = k.b.splat(k.b.module.constant_bytes("zeros", bytes(k.target.vector_bytes)), lane_count(pointers.type))
    return k.b.select(k.b.icmp("sgt", k.sizes(places), k.b.i64(0)), pointers, zeros)


def backward(k: Emission, last: Value, type_: str, places: Size) -> Value:
    """Lanes read from an address down."""
    lanes = lane_count(type_)
    start = or_zeros(k, k.b.gep(element_type(type_), last, k.b.i64(1 - lanes)), places)
    loaded = k.b.load(type_, start)
    return loaded if lanes == 1 else k.b.shuffle(loaded, loaded, list(reversed(range(lanes))))


def gather(k: Emission, pointers: Value, type_: str, mask: Value | None) -> Value:
    """Lanes read from scattered places."""
    if lane_count(type_) == 1:
        return k.b.load(type_, pointers)
    live = mask or k.b.constant(vector_type("i1", lane_count(type_)), True)
    name = f"llvm.masked.gather.{suffix(type_)}.{suffix(pointers.type)}"
    align = Value("i32", str(natural_alignment(type_)))
    return k.b.intrinsic(name, type_, pointers, align, live, Value(type_, "zeroinitializer"))


def scatter(k: Emission, access: Access, value: Value, chunk: int, mask: Value | None) -> None:
    """Lanes written to scattered places."""
    pointers = lane_pointers(k, access, chunk)
    if lane_count(value.type) == 1:
        k.b.store(value, pointers)
        return
    live = mask or k.b.constant(vector_type("i1", lane_count(value.type)), True)
    name = f"llvm.masked.scatter.{suffix(value.type)}.{suffix(pointers.type)}"
    align = Value("i32", str(access.buffer.type.dtype.itemsize))
    k.b.intrinsic(name, "void", value, pointers, align, live)


def from_memory(b: Builder, value: Value, dtype: str) -> Value:
    """Bytes become i1."""
    return b.icmp("ne", value, b.constant(value.type, 0)) if dtype == "bool" else value


def to_memory(b: Builder, value: Value, dtype: str) -> Value:
    """i1 becomes a byte."""
    return b.cast("zext", value, vector_type("i8", lane_count(value.type))) if dtype == "bool" else value
