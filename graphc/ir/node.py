"""The graph's nodes: immutable, interned in the scope of one trace, so that equal expressions are one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from graphc.errors import Site
from graphc.ir.dim import Dim, Size, evaluate
from graphc.ir.types import TensorType, f32
from graphc.records import Record

Array = NDArray[Any]


class Op(Record):
    """What a node does: its attributes are typed fields; its kind, in `ops`, knows how it is compiled.

    A primitive states its type rule, its meaning in NumPy and its derivative in one class.
    """

    def infer(self, *operands: TensorType) -> TensorType:
        """The result's type; raises `ShapeError` or `DTypeError` where operands do not fit."""
        raise NotImplementedError

    def eval(self, *operands: Array) -> Array:
        """The meaning: NumPy in, NumPy out. Symbolic attributes are bound to numbers before."""
        raise NotImplementedError

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        """The cotangent of each operand, linear in `ct`; None where there is none (integers, constants)."""
        raise NotImplementedError

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        """The op for each index of one more axis, which is axis 0 of the operands that are `batched` (at least one)
        and of the result; the others are the same for each index.
        """
        raise NotImplementedError

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        """About how many operations on numbers it takes; to move, choose places or convert takes none."""
        return 0

    #: Whether any float operand has a derivative at all (False for comparisons, floor, …: gradient zero).
    differentiable: ClassVar[bool] = True

    #: Whether it takes 16-bit floats as they are: it moves, chooses or converts. Others compute in f32, and round.
    narrow: ClassVar[bool] = False

    @classmethod
    def mnemonic(cls) -> str:
        """The op's name in printed IR: `DotGeneral` -> `dot_general`."""
        name = cls.__name__.rstrip("_")
        return "".join(("_" if i and c.isupper() else "") + c.lower() for i, c in enumerate(name))

    def bind(self, values: Mapping[str, int]) -> Self:
        """The op with symbolic attributes replaced by numbers."""
        changed = {f.name: bind_attribute(getattr(self, f.name), values) for f in fields(self)}
        return type(self)(**changed) if changed else self

    def widened(self) -> Self:
        """The op with f32 for 16-bit floats among its attributes."""
        changed = {f.name: f32 for f in fields(self) if getattr(getattr(self, f.name), "is_narrow", False)}
        return replace(self, **changed) if changed else self


def bind_attribute(attribute: Any, values: Mapping[str, int]) -> Any:
    """An attribute with each `Dim` in it (in nested tuples, types and graphs too) evaluated."""
    match attribute:
        case Dim():
            return evaluate(attribute, values)
        case tuple():
            return tuple(bind_attribute(a, values) for a in attribute)
        case object(bind=bind):
            return bind(values)
    return attribute


class Node:
    """One value of the graph: an op applied to nodes. Made by `Scope.node` only; compared by identity."""

    __slots__ = ("inputs", "op", "scope", "serial", "type")

    def __init__(self, op: Op, inputs: tuple[Node, ...], type_: TensorType, scope: Scope, serial: int):
        self.op, self.inputs, self.type, self.scope, self.serial = op, inputs, type_, scope, serial

    def work(self) -> Size:
        """About how many operations on numbers it takes."""
        return self.op.work(self.type, *[i.type for i in self.inputs])

    def __repr__(self) -> str:
        return f"%{self.serial}:{self.type} = {self.op.mnemonic()}({', '.join(f'%{i.serial}' for i in self.inputs)})"

    # The strict operators that vjp rules and passes write; `ir.build` fills them in (operands of one type, or scalars).
    __add__: Any
    __radd__: Any
    __sub__: Any
    __rsub__: Any
    __mul__: Any
    __rmul__: Any
    __truediv__: Any
    __rtruediv__: Any
    __neg__: Any
    __pow__: Any


class Scope:
    """The interning table of one trace; it also keeps, beside the nodes, where the user wrote them.

    `serial` numbers grow in order of creation, so operands always have smaller ones than their users.
    """

    def __init__(self) -> None:
        self._table: dict[tuple[Op, tuple[int, ...], TensorType], Node] = {}
        self.sites: dict[Node, list[Site]] = {}
        self.site: Site | None = None

    def node(self, op: Op, *inputs: Node) -> Node:
        """The node of an op applied to nodes: a new one, or the one that is there already."""
        return self.typed(op, op.infer(*[i.type for i in inputs]), *inputs)

    def typed(self, op: Op, type_: TensorType, *inputs: Node) -> Node:
        """As `node`, for ops whose type is given rather than inferred (leaves)."""
        key = (op, tuple([i.serial for i in inputs]), type_)
        found = self._table.get(key)
        if found is None:
            found = self._table[key] = Node(op, inputs, type_, self, len(self._table))
        site = self.site
        if site is not None:
            sites = self.sites.get(found)
            if sites is None:
                self.sites[found] = [site]
            elif site not in sites:
                sites.append(site)
        return found

    def placeholder(self, type_: TensorType) -> Node:
        """A leaf unlike any other, to be replaced before the trace ends."""
        return self.typed(Input(f"#{len(self._table)}"), type_)

    @contextmanager
    def at(self, site: Site | None) -> Iterator[None]:
        """Nodes made inside belong to this line of the user's."""
        before, self.site = self.site, site
        try:
            yield
        finally:
            self.site = before

    def site_of(self, node: Node) -> Site | None:
        """Where the user first wrote the node."""
        sites = self.sites.get(node)
        return sites[0] if sites else None


class Leaf(Op):
    """A node without operands; its type is given."""


class Input(Leaf):
    """An argument of the entry."""

    name: str


class Read(Leaf):
    """The value a Variable has when the entry starts."""

    variable: str


class Constant(Leaf):
    """A literal array, interned by its bytes (0.0 is not −0.0; NaNs are kept)."""

    data: bytes

    def array(self, type_: TensorType) -> Array:
        """The array it stands for."""
        shape = tuple(int(s) for s in type_.shape)  # type: ignore[arg-type]
        return np.frombuffer(self.data, type_.dtype.numpy).reshape(shape)
