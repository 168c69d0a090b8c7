"""Derivatives of functions: products with Jacobians from either side, whole Jacobians, second derivatives.

Called with arrays, each is compiled, as by `gr.jit`; in a trace it becomes part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc import autodiff
from graphc.errors import ArgumentError, DTypeError, GradientError, ShapeError
from graphc.frontend.eager import called, compiled_form, strong, tracing, without_annotations
from graphc.frontend.promotion import as_tensor, is_weak
from graphc.frontend.recording import current, describe
from graphc.frontend.signature import expect_function
from graphc.frontend.standins import StandIns
from graphc.frontend.structure import flatten, map_leaves
from graphc.frontend.tensor import Tensor
from graphc.frontend.transforms import expect_modes_decided, gradients, positions
from graphc.ir import build
from graphc.ir.graph import reachable
from graphc.ir.node import Node
from graphc.ir.types import i64
from graphc.runtime.tree import Tree, unflatten
from graphc.runtime.tree import flatten as flatten_as
from graphc.sites import user_site
from graphc.vectorise import batch


class Traced:
    """A function called on stand-ins of its arguments: what to differentiate is between these and the outputs."""

    def __init__(
        self, what: str, function: Callable[..., Any], args: Sequence[Any], has_aux: bool, options: Any = None
    ):
        self.what = what
        self.stand_ins = StandIns()
        self.arguments = self.stand_ins.of(tuple(args))
        result = function(*self.arguments, **(options or {}))
        value: Any
        self.aux: Any
        value, self.aux = result if has_aux else (result, None)
        leaves, self.tree = flatten(value)
        self.outputs = [as_tensor(leaf).node for leaf in leaves]
        for node in self.outputs:
            self.expect_float("the output", node)
        expect_modes_decided(current(what), set(reachable(self.outputs)))

    def leaves(self, value: Any) -> tuple[list[Node], Tree]:
        """The nodes of some of the arguments, which must be floats, and their structure."""
        tensors, tree = flatten(value)
        for tensor in tensors:
            self.expect_float("the argument", tensor.node)
        return [tensor.node for tensor in tensors], tree

    def expect_float(self, role: str, node: Node) -> None:
        """Raise `GradientError` for integers and booleans."""
        if not node.type.dtype.is_float:
            raise GradientError(
                f"{self.what}: {role} is {node.type}: only floats have derivatives",
                operands=[describe("x", node)],
                site=user_site(),
                help="close over what is not differentiated (lambda x: f(x, labels)), return other results as aux",
            )

    def actual(self, tree: Tree, nodes: Sequence[Node]) -> Any:
        """Nodes over the arguments, in a structure."""
        return unflatten(tree, [Tensor(self.stand_ins.node(node)) for node in nodes])

    def value(self) -> Any:
        """The function's value at the arguments."""
        return self.actual(self.tree, self.outputs)

    def with_aux(self, has_aux: bool, *results: Any) -> Any:
        """Results, and what the function gave besides."""
        self.stand_ins.state()
        found = (*results, self.stand_ins.tree(self.aux)) if has_aux else results
        return found if len(found) > 1 else found[0]


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(outputs, pullback): the function's value, and the function from the outputs' cotangents to the arguments'.

    `y, pullback = gr.vjp(f, x, w); ct_x, ct_w = pullback(ct_y)`. Arguments and outputs are nested floats; the pullback
    gives a tuple, one cotangent an argument, and takes cotangents in the structure of y (`None` for a whole part is
    zero). With `has_aux` the function returns (y, anything), and vjp (y, pullback, anything).

    Raises `GradientError` for integers, `ShapeError` and `DTypeError` for cotangents of other types than y's.
    """
    expect_function("gr.vjp", function)
    if not tracing():
        outputs = compiled_form(vjp_value, function, has_aux)(*primals)
        value, *rest = outputs if has_aux else (outputs,)
        like = map_leaves(np.asarray, value)
        return value, lambda ct: compiled_form(vjp_pulled, function, has_aux)(strong(ct, like), *primals), *rest
    traced = Traced("gr.vjp", function, primals, has_aux)
    targets, tree = traced.leaves(traced.arguments)

    def pullback(ct: Any) -> Any:
        cotangents = aligned("gr.vjp: the cotangent", ct, traced.tree, traced.outputs)
        with current().scope.at(user_site()):
            return traced.actual(tree, autodiff.backward(autodiff.summed(traced.outputs, cotangents), targets))

    value, *rest = traced.with_aux(True, traced.value())
    return (value, pullback, *rest) if has_aux else (value, pullback)


def vjp_value(function: Callable[..., Any], has_aux: bool, *primals: Any) -> Any:
    """What `vjp` gives beside the pullback."""
    value, _, *rest = vjp(function, *primals, has_aux=has_aux)
    return (value, *rest) if has_aux else value


def vjp_pulled(function: Callable[..., Any], has_aux: bool, ct: Any, *primals: Any) -> Any:
    """What the pullback gives."""
    return vjp(function, *primals, has_aux=has_aux)[1](ct)


def jvp(function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """(outputs, their tangents) of a function at `primals`, a tuple of arguments, along `tangents`, one each.

    `y, dy = gr.jvp(f, (x,), (dx,))` gives dy = J·dx. With `has_aux` the function returns (y, anything), and jvp
    (y, dy, anything). Raises `GradientError` for integers, `ShapeError` and `DTypeError` for tangents of other types.
    """
    expect_function("gr.jvp", function)
    expect_tuples("gr.jvp", primals, tangents)
    if not tracing():
        return compiled_form(pushed, function, has_aux)(tuple(primals), strong(tuple(tangents), primals))
    return pushed(function, has_aux, primals, tangents)


def pushed(function: Callable[..., Any], has_aux: bool, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """What `jvp` gives, in the trace in progress."""
    traced = Traced("gr.jvp", function, primals, has_aux)
    targets, tree = traced.leaves(traced.arguments)
    along = aligned("gr.jvp: the tangent", tuple(tangents), tree, targets)
    with current().scope.at(user_site()):
        found = autodiff.forward(traced.outputs, dict(zip(targets, along, strict=True)))
    return traced.with_aux(has_aux, traced.value(), traced.actual(traced.tree, found))


def linearize(function: Callable[..., Any], *primals: Any) -> Any:
    """(outputs, pushforward): the function's value, and the linear function from tangents of arguments to its own.

    `y, push = gr.linearize(f, x); dy = push(dx)`. In a trace, f is computed once for all calls of it.
    """
    expect_function("gr.linearize", function)
    if not tracing():
        push = compiled_form(pushed, function, False)
        return compiled_form(called, function)(*primals), lambda *tangents: push(primals, strong(tangents, primals))[1]
    traced = Traced("gr.linearize", function, primals, has_aux=False)
    targets, tree = traced.leaves(traced.arguments)

    def pushforward(*tangents: Any) -> Any:
        along = aligned("gr.linearize: the tangent", tangents, tree, targets)
        with current().scope.at(user_site()):
            found = autodiff.forward(traced.outputs, dict(zip(targets, along, strict=True)))
        return traced.actual(traced.tree, found)

    return traced.with_aux(False, traced.value()), pushforward


def hvp(function: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """H·v: the second derivative of a scalar function times a vector, without the matrix H.

    `primals` is one argument, or a tuple of several, `tangents` v in the same structure. For one argument the result
    has its structure, for several it is a tuple. It costs about two gradients (the gradient of ⟨∇f, v⟩).
    Raises as `gr.jvp`.
    """
    expect_function("gr.hvp", function)
    if not isinstance(primals, tuple):
        return hvp(function, (primals,), (tangents,))
    expect_tuples("gr.hvp", primals, tangents)
    if not tracing():
        return compiled_form(hvp, function)(primals, strong(tuple(tangents), primals))
    traced = Traced("gr.hvp", function, primals, has_aux=False)
    targets, tree = traced.leaves(traced.arguments)
    along = aligned("gr.hvp: the vector", tuple(tangents), tree, targets)
    first = gradients(unflatten(traced.tree, [Tensor(n) for n in traced.outputs]), [Tensor(n) for n in targets])
    with current().scope.at(user_site()):
        second = autodiff.backward(autodiff.summed([t.node for t in first], along), targets)
    found = traced.with_aux(False, traced.actual(tree, second))
    return found if len(primals) > 1 else found[0]


def jacrev(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the Jacobian ∂y/∂x, of shape y.shape + x.shape, row by row: for few outputs.

    Of nested outputs and arguments it gives the outputs' structure, and in each place the argument's. With `has_aux`
    the function returns (y, anything) and its Jacobian comes as (J, anything).
    """
    return jacobian_by(rows, "gr.jacobian", function, argnums, has_aux)


def jacfwd(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As `gr.jacobian`, column by column: for few inputs."""
    return jacobian_by(columns, "gr.jacfwd", function, argnums, has_aux)


jacobian = jacrev


def hessian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that gives all second derivatives, of shape y.shape + x.shape + x.shape: `jacobian` twice."""
    return jacrev(jacrev(function, argnums), argnums)


#: The Jacobian of one output with respect to each of some leaves.
Method = Callable[[Node, Sequence[Node]], list[Node]]


def jacobian_by(
    method: Method, what: str, function: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool
) -> Callable[..., Any]:
    """The function that gives Jacobians by a method."""
    expect_function(what, function)

    @without_annotations(function)
    def jacobian_of(*args: Any, **options: Any) -> Any:
        if not tracing():
            return compiled_form(called, jacobian_of)(*args, **options)
        chosen = positions(function, argnums, args)
        free = tuple(args[i] for i in chosen)

        def partial(*given: Any) -> Any:
            arguments = list(args)
            for i, value in zip(chosen, given, strict=True):
                arguments[i] = value
            return function(*arguments, **options)

        traced = Traced(what, partial, free, has_aux)
        by = traced.arguments[0] if isinstance(argnums, int) else traced.arguments
        targets, tree = traced.leaves(by)
        with current().scope.at(user_site()):
            found = [traced.actual(tree, method(output, targets)) for output in traced.outputs]
        return traced.with_aux(has_aux, unflatten(traced.tree, found))

    return jacobian_of


def rows(output: Node, targets: Sequence[Node]) -> list[Node]:
    """∂output/∂target for each target: the pullback of every unit cotangent at once."""
    scope, shape = output.scope, output.type.shape
    if not shape:
        return autodiff.gradients(output, targets)
    ct = scope.placeholder(output.type)
    found = batch(autodiff.backward({output: ct}, targets), {ct: units(output)}, output.type.size)
    return [build.reshape(g, shape + t.type.shape) for g, t in zip(found, targets, strict=True)]


def columns(output: Node, targets: Sequence[Node]) -> list[Node]:
    """∂output/∂target for each target: the pushforward of every unit tangent at once."""
    found = []
    for target in targets:
        tangent = target.scope.placeholder(target.type)
        (along,) = autodiff.forward([output], {target: tangent})
        (all_along,) = batch([along], {tangent: units(target)}, target.type.size)
        last = build.move_axis(all_along, 0, output.type.rank)
        found.append(build.reshape(last, output.type.shape + target.type.shape))
    return found


def units(like: Node) -> Node:
    """Every array of a node's type that is 1 in one place and 0 elsewhere, along a new first axis."""
    size = like.type.size
    places = (build.iota(like.scope, i64, (size, size), axis) for axis in (0, 1))
    eye = build.cast(build.eq(*places), like.type.dtype)
    return build.reshape(eye, (size, *like.type.shape))


def aligned(what: str, value: Any, tree: Tree, nodes: Sequence[Node]) -> list[Node]:
    """The leaves of a value of a structure, each of the type of a node; None for a whole part stands for zeros.

    Raises `ArgumentError` where the structure differs, `ShapeError` and `DTypeError` where a type does.
    """

    def misfit(path: str) -> Exception:
        return ArgumentError(f"{what} has another structure at {path.replace('out', 'its top', 1)}", site=user_site())

    given = flatten_as(tree, value, misfit)
    found = []
    for i, node in enumerate(nodes):
        part = given.get(i)
        if part is None:
            found.append(build.zeros_like(node))
            continue
        if isinstance(part, (Mapping, tuple)):
            raise misfit("out")
        tensor = as_tensor(part, node.type.dtype) if is_weak(part) else as_tensor(part)
        if tensor.type != node.type:
            kind = ShapeError if tensor.dtype == node.type.dtype else DTypeError
            raise kind(
                f"{what} is {tensor.type}, what it belongs to is {node.type}",
                operands=[describe("value", tensor.node)],
                site=user_site(),
            )
        found.append(tensor.node)
    return found


def expect_tuples(what: str, primals: Any, tangents: Any) -> None:
    """Raise `ArgumentError` unless both are tuples (or lists) of as many."""
    if not all(isinstance(v, (tuple, list)) for v in (primals, tangents)) or len(primals) != len(tangents):
        raise ArgumentError(
            f"{what}: primals and tangents are tuples with one value for each argument",
            site=user_site(),
            help=f"as in {what}(f, (x,), (v,))",
        )
