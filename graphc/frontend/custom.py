"""`gr.custom_vjp`: functions whose derivatives the user writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

from graphc.errors import ArgumentError, DTypeError, GradientError, GraphcError, Operand, ShapeError, Site
from graphc.frontend.eager import called, compiled_form, tracing
from graphc.frontend.promotion import as_tensor, is_weak, stretch
from graphc.frontend.recording import current, describe, recording_in
from graphc.frontend.signature import expect_function, name_of, site_of
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.ir import build
from graphc.ir.node import Node
from graphc.ops.order import Custom, Rule
from graphc.runtime.tree import Tree, unflatten
from graphc.runtime.tree import flatten as flatten_as
from graphc.sites import user_site
from graphc.vectorise import batch


class CustomVjp:
    """A function with a reverse derivative of its own; calling it calls the function."""

    def __init__(self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()):
        expect_function("gr.custom_vjp", function)
        self.function = function
        self.fixed = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        self.forward: Callable[..., Any] | None = None
        self.backward: Callable[..., Any] | None = None
        update_wrapper(self, function, updated=())

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Say how it is differentiated.

        `fwd(*args)` gives (y, residuals), residuals being whatever `bwd` wants; `bwd(residuals, ct)` gives a tuple: the
        cotangent of each argument from that of y (None: zero). Arguments among `nondiff_argnums` are no part of the
        tuple, and `bwd` gets them first. Both may call the function itself; they are differentiated for higher orders.
        """
        expect_function("defvjp: fwd", fwd)
        expect_function("defvjp: bwd", bwd)
        self.forward, self.backward = fwd, bwd

    def __call__(self, *args: Any) -> Any:
        if self.forward is None:
            raise GradientError(
                f"{name_of(self.function)}: gr.custom_vjp without a derivative",
                operands=[Operand("function", name_of(self.function), site_of(self.function))],
                site=user_site(),
                help="give it one: f.defvjp(fwd, bwd)",
            )
        if not tracing():
            return compiled_form(called, self)(*args)
        free = [arg for i, arg in enumerate(args) if i not in self.fixed]
        leaves, tree = flatten(tuple(free))
        tensors = [as_tensor(leaf) for leaf in leaves]
        free_again = iter(unflatten(tree, tensors))
        value = self.function(*[arg if i in self.fixed else next(free_again) for i, arg in enumerate(args)])
        return with_rule(value, Written(self, tree, args, user_site()), [t.node for t in tensors])


def with_rule(value: Any, rule: Rule, xs: Sequence[Node]) -> Any:
    """A nested value whose derivatives with respect to some nodes are what a rule says."""
    leaves, tree = flatten(value)
    ys = [as_tensor(leaf).node for leaf in leaves]
    custom = current().node(Custom(len(ys), rule), *ys, *xs)
    return unflatten(tree, [Tensor(node) for node in build.items(custom)])


def custom_vjp(function: Callable[..., Any] | None = None, *, nondiff_argnums: int | Sequence[int] = ()) -> Any:
    """A function whose reverse derivative is given by `defvjp`; usable as a decorator.

        @gr.custom_vjp
        def log1pexp(x):
            return gr.log(1 + gr.exp(x))

        log1pexp.defvjp(lambda x: (log1pexp(x), x), lambda x, ct: (ct * gr.sigmoid(x),))

    See `CustomVjp.defvjp`. Derivatives of any order, `vmap` and `jvp` work through it (jvp where bwd is linear in ct).
    """
    if function is None:
        return lambda decorated: CustomVjp(decorated, nondiff_argnums)
    return CustomVjp(function, nondiff_argnums)


def custom_gradient(function: Callable[..., Any]) -> CustomVjp:
    """A function that returns (y, pullback), as one that returns y: the shorter form of `custom_vjp`.

        @gr.custom_gradient
        def clipped(x):
            return x, lambda ct: gr.clip(ct, -1, 1)

    `pullback(ct)` gives the cotangents of the arguments: one, or a tuple.
    """
    expect_function("gr.custom_gradient", function)
    made = CustomVjp(lambda *args: function(*args)[0])
    made.defvjp(function, lambda pullback, ct: found if isinstance(found := pullback(ct), tuple) else (found,))
    update_wrapper(made, function, updated=())
    return made


class Written:
    """The derivative of one call of a `CustomVjp`."""

    def __init__(self, function: CustomVjp, tree: Tree, args: Sequence[Any], site: Site | None):
        self.function, self.tree, self.site = function, tree, site
        self.fixed = {i: arg for i, arg in enumerate(args) if i in function.fixed}
        self.count = len(args)

    def vjp(self, cts: Sequence[Node | None], ys: Sequence[Node], xs: Sequence[Node]) -> Sequence[Node | None]:
        """Run the user's `fwd` and `bwd`."""
        assert self.function.forward is not None and self.function.backward is not None
        with recording_in(xs[0].scope):
            free = iter(unflatten(self.tree, [Tensor(x) for x in xs]))
            args = [self.fixed[i] if i in self.fixed else next(free) for i in range(self.count)]
            value, residuals = self.function.forward(*args)
            whole = [Tensor(build.zeros_like(y) if ct is None else ct) for ct, y in zip(cts, ys, strict=True)]
            _, tree = flatten(value)
            given = self.function.backward(*self.fixed.values(), residuals, unflatten(tree, whole))
            return self.checked(given, xs)

    def checked(self, given: Any, xs: Sequence[Node]) -> Sequence[Node | None]:
        """What `bwd` gave, one cotangent for each leaf of the arguments. Raises where that does not fit."""

        def misfit(path: str) -> GraphcError:
            count = len(self.tree["tuple"])
            return self.fault(ArgumentError, f"gives no cotangent for each of its {count} arguments")

        if not isinstance(given, (tuple, list)):
            raise misfit("")
        leaves = flatten_as(self.tree, tuple(given), misfit)
        return [self.fitting(leaves.get(i), x) for i, x in enumerate(xs)]

    def fitting(self, value: Any, x: Node) -> Node | None:
        """One cotangent of the type of an argument's leaf; None where there is none."""
        if value is None or not x.type.dtype.is_float:
            return None
        tensor = stretch(as_tensor(value, x.type.dtype), x.type.shape) if is_weak(value) else as_tensor(value)
        if tensor.type != x.type:
            kind = ShapeError if tensor.dtype == x.type.dtype else DTypeError
            raise self.fault(kind, f"gives a cotangent {tensor.type} for an argument {x.type}", tensor.node)
        return tensor.node

    def fault(self, kind: type[GraphcError], what: str, node: Node | None = None) -> GraphcError:
        """An error of the user's `bwd`."""
        assert self.function.backward is not None
        bwd = self.function.backward
        operands = [Operand("bwd", name_of(bwd), site_of(bwd))]
        return kind(
            f"gr.custom_vjp of {name_of(self.function)}: bwd {what}",
            operands=operands if node is None else [*operands, describe("value", node)],
            site=self.site,
            help="bwd returns a tuple, for each argument a cotangent of its structure, shapes and dtypes, or None",
        )

    def batched(self, which: Sequence[bool]) -> Rule:
        """The rule over all indices of one more axis."""
        return OverAll(self, which)


class OverAll:
    """A rule at each index of one more axis, which the ys and some of the operands have in front."""

    def __init__(self, rule: Rule, which: Sequence[bool]):
        self.rule, self.which = rule, which

    def vjp(self, cts: Sequence[Node | None], ys: Sequence[Node], xs: Sequence[Node]) -> Sequence[Node | None]:
        """The rule on one slice, vectorised; what belongs to all indices is summed over them."""
        new: dict[Node, Node] = {}

        def slice_of(stack: Node) -> Node:
            made = stack.scope.placeholder(stack.type.with_shape(stack.type.shape[1:]))
            new[made] = stack
            return made

        parts = [slice_of(x) if mapped else x for mapped, x in zip(self.which, xs, strict=True)]
        given = self.rule.vjp([ct and slice_of(ct) for ct in cts], [slice_of(y) for y in ys], parts)
        found = iter(batch([g for g in given if g is not None], new, ys[0].type.shape[0]))
        stacks = [next(found) if g is not None else None for g in given]
        return [
            stack if mapped or stack is None else build.sum_(stack, (0,))
            for mapped, stack in zip(self.which, stacks, strict=True)
        ]

    def batched(self, which: Sequence[bool]) -> Rule:
        """The rule over all indices of yet another axis."""
        return OverAll(self, which)
