"""A network, a loss and an optimizer as a program with the entries that `fit` drives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from graphc.errors import ArgumentError
from graphc.frontend.program import Program
from graphc.ir.types import TensorType
from graphc.nn.weights import ActivationLike, activation_function
from graphc.sites import user_site
from graphc.suggest import answering, expect_bound

if TYPE_CHECKING:
    from graphc.frontend.tensor import Tensor
    from graphc.nn.module import Module
    from graphc.optim.optimizer import Optimizer

Judge: TypeAlias = Callable[..., Any]
"""(what the network gives, target) -> a scalar Tensor: a loss or a metric; a loss may take `weights=`, too."""
Metrics: TypeAlias = Mapping[str, Judge] | Sequence[Judge] | None


METRICS = 'give functions of (output, target): metrics={"accuracy": metrics.accuracy}'
EXAMPLE = 'train.supervised(net, gr.f32["N", 64], gr.i32["N"], loss=losses.huber, optimizer=optim.Adam(1e-3))'


@answering(EXAMPLE)
def supervised(
    net: Module,
    x: TensorType,
    y: TensorType,
    *,
    loss: Judge,
    optimizer: Optimizer,
    weights: TensorType | None = None,
    metrics: Metrics = None,
    augment: Callable[..., Any] | None = None,
    activation: ActivationLike = None,
    name: str = "model",
) -> Program:
    """A program that learns y from x, with the entries `predict(x)`, `train_step(x, y)` and `evaluate(x, y)`.

    The last two give `{"loss": loss(net(x), y), …}` with the metrics by name (of a sequence, the functions' names); the
    loss has the penalties of the layers' regularisers in it. `train_step` calls the network with `training=True` and
    takes one step of the optimizer. `predict` gives `activation(net(x))`, such as `nn.softmax` for a network that ends
    in logits. `augment` makes other training examples: a function of x, or of x and y that gives both. With `weights`,
    a type such as `gr.f32["N"]`, both entries take them as their third argument, and the loss as `weights=`. Raises
    `ArgumentError` for what is no network, type, loss, optimizer, metric, activation or function.

        program = train.supervised(net, gr.f32["N", 64], gr.i32["N"], loss=losses.sparse_softmax_cross_entropy,
                                   optimizer=optim.Adam(1e-3), metrics={"accuracy": metrics.accuracy})
        digits = program.compile()
        train.fit(digits, (images, labels), epochs=10)
    """
    expect_parts(net, x, y, loss, optimizer, weights, augment)
    finish = activation_function(activation)
    judges = by_name(metrics)
    program = Program(name)

    def figures(output: Any, target: Any, options: Mapping[str, Tensor]) -> dict[str, Any]:
        cost = loss(output, target, **options) + net.penalty()
        return {"loss": cost, **{n: judge(output, target) for n, judge in judges.items()}}

    @program.entry(x=x)
    def predict(x: Tensor) -> Any:
        output = net(x, training=False)
        return output if finish is None else finish(output)

    def train(x: Tensor, y: Tensor, **options: Tensor) -> dict[str, Any]:
        if augment is not None:
            x, y = augment(x, y) if takes_target(augment) else (augment(x), y)
        found = figures(net(x, training=True), y, options)
        optimizer.minimize(found["loss"])
        return found

    def judge(x: Tensor, y: Tensor, **options: Tensor) -> dict[str, Any]:
        return figures(net(x, training=False), y, options)

    if weights is None:
        add_entries(program, {"x": x, "y": y}, train, judge)
    else:
        add_weighted_entries(program, {"x": x, "y": y, "weights": weights}, train, judge)
    return program


def add_entries(program: Program, types: Mapping[str, TensorType], train: Judge, judge: Judge) -> None:
    """The entries `train_step(x, y)` and `evaluate(x, y)`."""

    @program.entry(**types)
    def train_step(x: Tensor, y: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = train(x, y)
        return found

    @program.entry(**types)
    def evaluate(x: Tensor, y: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = judge(x, y)
        return found


def add_weighted_entries(program: Program, types: Mapping[str, TensorType], train: Judge, judge: Judge) -> None:
    """The entries `train_step(x, y, weights)` and `evaluate(x, y, weights)`."""

    @program.entry(**types)
    def train_step(x: Tensor, y: Tensor, weights: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = train(x, y, weights=weights)
        return found

    @program.entry(**types)
    def evaluate(x: Tensor, y: Tensor, weights: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = judge(x, y, weights=weights)
        return found


def expect_parts(
    net: object, x: object, y: object, loss: object, optimizer: object, weights: object, augment: object
) -> None:
    """Raise `ArgumentError` unless these are what a program is made of."""
    type_ = 'give its type, such as gr.f32["N", 64]'
    weighs = weights is None or isinstance(weights, TensorType)
    parts = (
        ("net", net, is_made(net, "penalty"), "nn.Sequential makes one of layers and functions"),
        ("x", x, isinstance(x, TensorType), type_),
        ("y", y, isinstance(y, TensorType), type_),
        ("loss", loss, callable(loss), "give a function, such as losses.mean_squared_error"),
        ("optimizer", optimizer, is_made(optimizer, "minimize"), "give one, such as optim.Adam(1e-3)"),
        ("weights", weights, weighs, 'give their type, such as gr.f32["N"]'),
        ("augment", augment, augment is None or callable(augment), "give a function of x, or of x and y"),
    )
    for role, value, fits, help in parts:
        if not fits:
            raise ArgumentError(f"supervised: {role} is {kind_of(value)}", site=user_site(), help=help)
    expect_judge("the loss", loss, {} if weights is None else {"weights": weights})


def expect_judge(role: str, judge: Any, options: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` where a function can't be called with what the network gives, the target and options."""
    with suppress(ValueError):  # of functions that do not say what they take
        help = f"it is called with ({', '.join(['output', 'target', *(f'{name}=' for name in options)])})"
        expect_bound(f"supervised: {role}", inspect.signature(judge), (None, None), options, help)


def is_made(value: object, method: str) -> bool:
    """Whether a value, and no class, has a method."""
    return hasattr(value, method) and not isinstance(value, type)


def kind_of(value: object) -> str:
    """What a value is, for an error."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def by_name(metrics: Metrics) -> dict[str, Judge]:
    """Metrics with their names. Raises `ArgumentError` for what is no function, and for the name of the loss."""
    given = {} if metrics is None else metrics
    if isinstance(given, str) or not isinstance(given, (Mapping, Sequence)):
        message = f"supervised: metrics is a {type(given).__name__}, neither a dict nor a list"
        raise ArgumentError(message, site=user_site(), help=METRICS)
    named = given.items() if isinstance(given, Mapping) else ((getattr(m, "__name__", str(m)), m) for m in given)
    pairs: list[tuple[str, Judge]] = list(named)
    found = dict(pairs)
    if len(found) < len(pairs):
        message = f"two metrics have the same name, of {', '.join(name for name, _ in pairs)}"
        raise ArgumentError(message, site=user_site(), help="give them names: metrics={'accuracy': metrics.accuracy}")
    for name, metric in found.items():
        if isinstance(metric, type) or not callable(metric):
            message = f"the metric {name} is {kind_of(metric)}, no function"
            raise ArgumentError(message, site=user_site(), help=METRICS)
        expect_judge(f"the metric {name}", metric, {})
    if "loss" in found:
        raise ArgumentError("a metric can't be named loss", site=user_site(), help="the entries' loss is")
    return found


def takes_target(augment: Callable[..., Any]) -> bool:
    """Whether an augmentation asks for x and y."""
    needed = [p for p in inspect.signature(augment).parameters.values() if p.default is p.empty]
    return len([p for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]) > 1
