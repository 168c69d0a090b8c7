"""`gr.vmap`: a function of one element as a function of arrays of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from graphc.errors import ArgumentError, ShapeError, TraceError
from graphc.frontend.eager import called, compiled_form, tracing, without_annotations
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import current, describe
from graphc.frontend.signature import expect_function, name_of
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Node
from graphc.ir.types import TensorType, i64
from graphc.runtime.tree import unflatten
from graphc.sites import user_site
from graphc.vectorise import counterparts

#: An axis, None, or a nested structure of them that is a prefix of the value's.
Axes: TypeAlias = Any


def vmap(function: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0) -> Callable[..., Any]:
    """The function for every index of an axis of its arguments at once: vectorised code, no loop.

    `in_axes` says which axis of each argument (an int, negative ones from the end; None: the same value for all), for
    all arguments or as a tuple with one entry each, which may be nested as the argument is. Arguments by keyword are
    mapped along axis 0. `out_axes` says where the results have it, likewise; None is for results that are the same at
    each index. Called with arrays the function is compiled, as by `gr.jit`.

    `gr.vmap(lambda x, w: x @ w, in_axes=(0, None))(xs, w)` is `xs @ w`; `gr.vmap(gr.grad(loss), (None, 0))(w, xs)` the
    gradient of each row. Random numbers without a key differ from index to index.

    Raises `ShapeError` where an axis is not there or sizes differ, `ArgumentError` where in_axes or out_axes don't fit.
    """
    expect_function("gr.vmap", function)

    @without_annotations(function)
    def mapped(*args: Any, **options: Any) -> Any:
        if not tracing():
            return compiled_form(called, mapped)(*args, **options)
        return Mapped(function, in_axes, args, options).results(out_axes)

    return mapped


class Mapped:
    """A function traced on one slice of its arguments: its results over all slices."""

    def __init__(self, function: Callable[..., Any], in_axes: Axes, args: Sequence[Any], options: Mapping[str, Any]):
        self.function, self.recording = function, current()
        self.size: Size | None = None
        self.new: dict[Node, Node] = {}  # what a node of one slice is over all of them, the axis in front
        arguments, named = self.slices(in_axes, args, options)
        before = {v: len(values) for v, values in self.recording.history.items()}
        self.recording.indices.append(self.index())
        try:
            self.result: Any = function(*arguments, **named)
        finally:
            self.recording.indices.pop()
        leaves, self.tree = flatten(self.result)
        self.nodes: list[Node] = [as_tensor(leaf).node for leaf in leaves]
        self.extend()
        self.expect_no_assignment(before)

    def slices(self, in_axes: Axes, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """The arguments, with stand-ins for one slice where they are mapped. Raises where there is nothing to map."""
        leaves, tree = flatten((tuple(args), dict(options)))
        axes = spread(in_axes, tuple(args), "in_axes")
        axes += [0] * (len(leaves) - len(axes))
        sliced = [leaf if axis is None else self.slice(leaf, axis) for leaf, axis in zip(leaves, axes, strict=True)]
        if self.size is None:
            raise ArgumentError(
                f"gr.vmap: no argument of {name_of(self.function)} has an axis to map",
                site=user_site(),
                help="at least one of in_axes is an axis, not None",
            )
        return unflatten(tree, sliced)

    def slice(self, leaf: Any, axis: int) -> Tensor:
        """A stand-in for one slice of an argument along an axis."""
        tensor = as_tensor(leaf)
        rank = tensor.ndim
        if not -rank <= axis < rank:
            raise ShapeError(
                f"gr.vmap: axis {axis} of {tensor.type} is not there",
                operands=[describe("argument", tensor.node)],
                site=user_site(),
                help="give in_axes=None for arguments that are the same at each index",
            )
        stack = build.move_axis(tensor.node, axis % rank, 0)
        size, *shape = stack.type.shape
        if self.size is not None and size != self.size:
            raise ShapeError(
                f"gr.vmap: the sizes of the mapped axes differ ({self.size} != {size})",
                operands=[describe("argument", tensor.node)],
                site=user_site(),
            )
        self.size = size
        made = self.recording.scope.placeholder(tensor.type.with_shape(tuple(shape)))
        self.new[made] = stack
        return Tensor(made)

    def index(self) -> Node:
        """A stand-in for the index of a slice."""
        made = self.recording.scope.placeholder(TensorType(i64))
        self.new[made] = build.iota(self.recording.scope, i64, (cast("Size", self.size),), 0)
        return made

    def extend(self) -> None:
        """Vectorise all that the results and the Variables' values need."""
        values = [value for history in self.recording.history.values() for value in history]
        with self.recording.scope.at(user_site()):
            self.new = counterparts([*self.nodes, *values], self.new)
        for old, new in self.new.items():
            self.recording.resemble(new, old)

    def expect_no_assignment(self, before: Mapping[Any, int]) -> None:
        """Raise `TraceError` where a Variable got a value that differs from index to index."""
        for variable, values in self.recording.history.items():
            if any(value in self.new for value in values[before.get(variable, 0) :]):
                raise TraceError(
                    f"gr.vmap: {name_of(self.function)} assigns to a Variable, a value for each index",
                    operands=[describe("value", values[-1])],
                    site=user_site(),
                    help="return the value, and assign what is made of all of them after gr.vmap",
                )

    def results(self, out_axes: Axes) -> Any:
        """The function's results, with the axis where `out_axes` says."""
        axes = spread(out_axes, self.result, "out_axes")
        return unflatten(self.tree, [Tensor(self.output(n, axis)) for n, axis in zip(self.nodes, axes, strict=True)])

    def output(self, node: Node, axis: int | None) -> Node:
        """One result over all indices."""
        if axis is None:
            if node in self.new:
                raise ArgumentError(
                    "gr.vmap: out_axes is None for a result that differs from index to index",
                    operands=[describe("result", node)],
                    site=user_site(),
                )
            return node
        rank = node.type.rank + 1
        if not -rank <= axis < rank:
            raise ShapeError(
                f"gr.vmap: out_axes {axis} for a result of {rank} axes",
                operands=[describe("x", node)],
                site=user_site(),
            )
        with self.recording.scope.at(user_site()):
            stack = self.new[node] if node in self.new else build.repeat(node, cast("Size", self.size))
            return build.move_axis(stack, 0, axis % rank)


def spread(axes: Axes, value: Any, what: str) -> list[int | None]:
    """An axis for each leaf of a value, from a structure that is a prefix of the value's."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(flatten(value)[0])
    if isinstance(axes, Mapping) and isinstance(value, Mapping) and set(axes) == set(value):
        return [axis for key in value for axis in spread(axes[key], value[key], what)]
    if isinstance(axes, (tuple, list)) and isinstance(value, (tuple, list)) and len(axes) == len(value):
        return [axis for part, child in zip(axes, value, strict=True) for axis in spread(part, child, what)]
    raise ArgumentError(
        f"gr.vmap: {what} {axes!r} has another structure than the value it is for",
        site=user_site(),
        help="an int or None for all of it, or the same dicts, tuples and lists",
    )
