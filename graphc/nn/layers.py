"""Layers: dense, activations, dropout, other shapes, and their composition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar, Unpack, overload

from graphc.errors import ArgumentError, IndexRangeError, ShapeError
from graphc.frontend import api, random
from graphc.frontend.modes import undecided
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.size import Size
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.nn.module import Module
from graphc.nn.weights import (
    ActivationLike,
    KernelLayer,
    KernelOptions,
    activation_function,
    expect_count,
    expect_probability,
)
from graphc.sites import user_site

T = TypeVar("T")


class Dense(KernelLayer):
    """activation(x·kernel + bias) over the last axis: [..., inputs] -> [..., units].

    `kernel` is [inputs, units], `bias` [units]; `activation` is a name, such as "relu", or a function; `options` are
    those of `KernelLayer`. Raises `ArgumentError` where `units` is no positive integer, `ShapeError` for a scalar x or
    one of another width than the first.

        nn.Dense(128, activation="relu", kernel_regularizer=nn.L2(1e-4))        # f32[N, 64] -> f32[N, 128]
    """

    def __init__(
        self, units: int, activation: ActivationLike = None, use_bias: bool = True, **options: Unpack[KernelOptions]
    ):
        super().__init__(activation, use_bias, **options)
        expect_count(self, units=units)
        self.units = int(units)

    def build(self, x: Tensor) -> None:
        if not x.ndim:
            raise ShapeError("Dense: a scalar has no last axis", operands=[describe("x", x.node)], site=user_site())
        self.make(x, (x.type.shape[-1], self.units), (self.units,))

    def __call__(self, x: TensorLike) -> Tensor:
        return self.finish(api.matmul(x, self.kernel))


class Activation(Module):
    """An activation as a layer: a name, or a function from a tensor to one of its shape.

        nn.Sequential(nn.Conv2D(32, 3, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))

    Raises `ArgumentError` for an unknown name.
    """

    def __init__(self, activation: str | Callable[[Any], Tensor], name: str | None = None):
        super().__init__(name)
        self.function = activation_function(activation)

    def __call__(self, x: TensorLike) -> Tensor:
        return as_tensor(x) if self.function is None else self.function(as_tensor(x))


class Flatten(Module):
    """Every axis but the first as one: [N, ...] -> [N, M]; up to two axes stay as they are.

        nn.Flatten()        # f32[N, 4, 4, 16] -> f32[N, 256]
    """

    def __call__(self, x: TensorLike) -> Tensor:
        tensor = as_tensor(x)
        return api.reshape(tensor, (tensor.shape[0], -1)) if tensor.ndim > 2 else tensor


class Reshape(Module):
    """Every axis but the first in another shape, in which one size may be −1: [N, ...] -> [N, *shape].

        nn.Reshape((8, 8, 1))        # f32[N, 64] -> f32[N, 8, 8, 1]

    Raises `ArgumentError` for a shape that is none, `ShapeError` for a scalar, and where the elements do not fit.
    """

    def __init__(self, shape: int | Sequence[int], name: str | None = None):
        super().__init__(name)
        sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        if not all(is_count(size, -1) for size in sizes):
            raise ArgumentError(
                f"Reshape: shape={shape!r} is not one of sizes",
                site=self.site,
                help="sizes without the batch, of which one may be -1: nn.Reshape((8, 8, 1))",
            )
        self.shape = sizes

    def __call__(self, x: TensorLike) -> Tensor:
        tensor = as_tensor(x)
        if not tensor.ndim:
            operands = [describe("x", tensor.node)]
            raise ShapeError("Reshape: a scalar has no batch axis", operands=operands, site=user_site())
        return api.reshape(tensor, (tensor.shape[0], *self.shape))


class Dropout(Module):
    """In training each element is 0 with probability `rate`, else divided by 1 − rate (Srivastava et al., 2014).

    Otherwise x as it is. Raises `ArgumentError` unless 0 ≤ rate < 1. Differentiating through it raises `GradientError`
    where no caller said `training=`.

        net = nn.Sequential(nn.Dense(128, activation="relu"), nn.Dropout(0.5), nn.Dense(10))
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
    """

    def __init__(self, rate: float, name: str | None = None):
        super().__init__(name)
        expect_probability(self, rate=rate)
        self.rate = rate

    def drawn(self, x: Tensor) -> tuple[Size, ...]:
        """The shape of what is drawn, which broadcasts against x."""
        return x.type.shape

    def __call__(self, x: TensorLike, training: bool | None = None) -> Tensor:
        tensor = as_tensor(x)
        if not self.rate:
            return tensor
        if training:
            keep = random.bernoulli(1.0 - self.rate, self.drawn(tensor))
            return api.where(keep, tensor * (1.0 / (1.0 - self.rate)), 0)
        return tensor if training is False else undecided(type(self).__name__, tensor)


class SpatialDropout(Dropout):
    """Dropout of whole channels: in [batch, spatial ..., channels] each channel of a sample is kept, or 0 throughout.

    Neighbours in an image or sequence tell the same, so that dropping some of them hides little (Tompson et al., 2015).
    Raises `ShapeError` for an x of fewer than two axes.

        nn.Sequential(nn.Conv2D(32, 3, activation="relu"), nn.SpatialDropout(0.2))
    """

    def drawn(self, x: Tensor) -> tuple[Size, ...]:
        if x.ndim < 2:
            message = f"SpatialDropout: takes [batch, spatial ..., channels], x is {x.type}"
            raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
        return (x.type.shape[0], *[1] * (x.ndim - 2), x.type.shape[-1])


def expect_functions(layer: Module, parts: Sequence[T]) -> list[T]:
    """The layers, or functions of a tensor, that another consists of. Raises `ArgumentError` for anything else."""
    for part in parts:
        if not callable(part) or isinstance(part, type):
            raise ArgumentError(
                f"{type(layer).__name__}: {part!r} is neither a layer nor a function of a tensor",
                site=layer.site,
                help="give layers one by one, such as nn.Sequential(nn.Dense(8), nn.softmax), not a list or a class",
            )
    return list(parts)


class Sequential(Module):
    """Layers, or functions of a tensor, one after the other; of a recurrent layer its outputs go on, not its state.

        net = nn.Sequential(nn.Dense(128, activation="relu"), nn.Dense(10), nn.softmax)     # f32[N, 64] -> f32[N, 10]

    Unnamed, it adds nothing to its layers' paths. It has a length, and its layers by number; `net[:-1]` is a network of
    the same layers but the last. Raises `ArgumentError` for what is neither a layer nor a function, `IndexRangeError`
    for a layer that it does not have.
    """

    transparent: ClassVar[bool] = True

    def __init__(self, *layers: Module | Callable[[Any], Tensor], name: str | None = None):
        super().__init__(name)
        self.layers = expect_functions(self, layers)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = passed_on(layer, x)
        return x

    def __iter__(self) -> Iterator[Module | Callable[[Any], Tensor]]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, index: int) -> Module | Callable[[Any], Tensor]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Module | Callable[[Any], Tensor]:
        if isinstance(index, slice):
            return Sequential(*self.layers[index])
        if is_count(index, -len(self)) and index < len(self):
            return self.layers[index]
        raise IndexRangeError(
            f"Sequential: no layer {index!r}", site=user_site(), help=f"it has {len(self)}, by number from 0"
        )


def passed_on(layer: Module | Callable[[Any], Any], x: Any) -> Any:
    """What the next layer gets from this one, or from this function."""
    return layer.passed_on(x) if isinstance(layer, Module) else layer(x)


class Residual(Module):
    """activation(f(x) + x) for f the layers one after the other (He et al., 2016).

    Where f changes the shape, `shortcut` makes x fit: a layer, or a function of a tensor.

        nn.Residual(nn.Conv2D(32, 3, strides=2, activation="relu"), nn.Conv2D(32, 3),
                    shortcut=nn.Conv2D(32, 1, strides=2), activation="relu")

    Raises `ShapeError` where the two that are added have different shapes.
    """

    def __init__(
        self,
        *layers: Module | Callable[[Any], Tensor],
        shortcut: Module | Callable[[Any], Tensor] | None = None,
        activation: ActivationLike = None,
        name: str | None = None,
    ):
        super().__init__(name)
        self.layers = expect_functions(self, layers)
        self.shortcut = None if shortcut is None else expect_functions(self, [shortcut])[0]
        self.activation = activation_function(activation)

    def __call__(self, x: TensorLike) -> Tensor:
        short = y = as_tensor(x)
        for layer in self.layers:
            y = passed_on(layer, y)
        y = as_tensor(y)
        if self.shortcut is not None:
            short = as_tensor(self.shortcut(short))
        if y.type.shape != short.type.shape:
            raise ShapeError(
                f"Residual: its layers give {y.type}, its shortcut {short.type}",
                operands=[describe("layers", y.node), describe("shortcut", short.node)],
                site=user_site(),
                help="give a shortcut= that makes x fit, such as nn.Dense or nn.Conv2D with a window of 1",
            )
        return y + short if self.activation is None else self.activation(y + short)
