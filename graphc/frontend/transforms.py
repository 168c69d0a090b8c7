"""Derivatives: of tensors in a trace, and of functions."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from graphc import autodiff
from graphc.errors import ArgumentError, GradientError, Operand
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import Recording, current, describe
from graphc.frontend.signature import expect_function, name_of
from graphc.frontend.standins import StandIns
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Variable
from graphc.ir.graph import reachable
from graphc.ir.node import Node
from graphc.runtime.tree import unflatten
from graphc.sites import user_site


def gradients(y: Tensor, xs: Any) -> Any:
    """∂y/∂x for each tensor or Variable x in `xs` (one, or a nested structure of them), in that structure.

    y is a float scalar; an x that y does not depend on gives zeros; a Variable stands for its newest value in y.
    Raises `GradientError` where y is no scalar, or y or an x no float.
    """
    recording = current("gr.gradients")
    output = as_tensor(y)
    given = list(xs) if isinstance(xs, Iterable) and not isinstance(xs, (Tensor, Mapping, tuple, list)) else xs
    leaves, tree = flatten(given)
    nodes = set(reachable([output.node]))
    targets = [Tensor(recording.value_in(x, nodes)) if isinstance(x, Variable) else as_tensor(x) for x in leaves]
    expect_differentiable(output, targets)
    expect_modes_decided(recording, nodes)
    with recording.scope.at(user_site()):
        found = autodiff.gradients(output.node, [t.node for t in targets])
    return unflatten(tree, [Tensor(node) for node in found])


def trainable_in(y: Tensor) -> list[Variable]:
    """The trainable float Variables that a tensor depends on, in order of first use in the entry."""
    recording = current()
    nodes = set(reachable([y.node]))
    candidates = [v for v in recording.values if v.trainable and v.dtype.is_float]
    return [v for v in candidates if recording.value_in(v, nodes) in nodes]


def expect_differentiable(output: Tensor, targets: Sequence[Tensor]) -> None:
    """Raise `GradientError` unless y is a float scalar and every x a float."""
    if not output.dtype.is_float:
        raise GradientError(
            f"the gradient of {output.type}: only floats have derivatives",
            operands=[describe("y", output.node)],
            site=user_site(),
            help="differentiate the float that it was made from; comparisons and argmax have no derivative",
        )
    if output.ndim:
        raise GradientError(
            f"the gradient of {output.type}: y is not a scalar",
            operands=[describe("y", output.node)],
            site=user_site(),
            help="reduce it first, as with gr.mean(y) or gr.sum(y)",
        )
    for target in targets:
        if not target.dtype.is_float:
            raise GradientError(
                f"the gradient with respect to {target.type}: only floats have derivatives",
                operands=[describe("x", target.node)],
                site=user_site(),
                help="cast it to a float before it enters the computation: x.astype(gr.f32)",
            )


def expect_modes_decided(recording: Recording, nodes: Container[Node]) -> None:
    """Raise `GradientError` where y went through a layer that trains differently, and nobody said which it is."""
    for node, (layer, site) in recording.undecided.items():
        if node in nodes:
            raise GradientError(
                f"a gradient through {layer}, whose mode was never given",
                operands=[Operand("layer", layer, site)],
                site=user_site(),
                help="call the network with training=True (or False) where the loss is computed",
            )


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the gradient of a scalar function with respect to some of its arguments.

    With `has_aux` the function returns (y, anything), and its gradient (gradient, anything).
    """
    both = value_and_grad(function, argnums, has_aux)

    @wraps(function)
    def gradient(*args: Any, **options: Any) -> Any:
        value, found = both(*args, **options)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As `grad`, giving (value, gradient). Called with arrays it is compiled, as by `gr.jit`."""
    from graphc.frontend.jit import jit

    expect_function("gr.grad and gr.value_and_grad", function)

    @wraps(function)
    def both(*args: Any, **options: Any) -> Any:
        if Recording.active.get() is None:
            return compiled(*args, **options)
        return differentiated(function, argnums, has_aux, args, options)

    compiled = jit(both)
    return both


def differentiated(
    function: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, args: Sequence[Any], options: Any
) -> tuple[Any, Any]:
    """Value and gradient, in the trace in progress."""
    stand_ins = StandIns()
    arguments = list(args)
    for i in positions(function, argnums, args):
        arguments[i] = stand_ins.of(args[i])
    result = function(*arguments, **options)
    loss = result[0] if has_aux else result
    chosen = arguments[argnums] if isinstance(argnums, int) else tuple(arguments[i] for i in argnums)
    found = gradients(loss, chosen)
    stand_ins.state()
    return stand_ins.tree(result), stand_ins.tree(found)


def positions(function: Callable[..., Any], argnums: int | Sequence[int], args: Sequence[Any]) -> list[int]:
    """The arguments to differentiate by, as places from 0. Raises `ArgumentError` where one is not there."""
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    if not all(-len(args) <= i < len(args) for i in chosen):
        raise ArgumentError(
            f"{name_of(function)}: argnums {argnums}, but {len(args)} arguments are given by position", site=user_site()
        )
    return [i % len(args) for i in chosen]
