"""Layers: dense, activations, dropout, and their composition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias

import numpy as np

from graphc import init
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend import api, random
from graphc.frontend.modes import undecided
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.variable import Variable
from graphc.ir.types import f32
from graphc.nn import functional
from graphc.nn.module import Module
from graphc.sites import user_site

ActivationLike: TypeAlias = str | Callable[[Any], Tensor] | None

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    name: getattr(functional, name)
    for name in functional.__all__
    if name not in ("identity", "logsumexp", "one_hot", "prelu", "rsqrt", "threshold")
}
ACTIVATIONS["linear"] = functional.identity


def activation_function(activation: ActivationLike) -> Callable[[Tensor], Tensor] | None:
    """An activation by name, as a function, or None for none."""
    if activation is None or callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"no activation {activation!r}", site=user_site(), help=", ".join(sorted(ACTIVATIONS)))
    return ACTIVATIONS[activation]


class Dense(Module):
    """activation(x·kernel + bias) over the last axis: [..., inputs] -> [..., units].

    `kernel` [inputs, units] is Glorot uniform and `bias` [units] zero unless their initializers say otherwise (a name
    or a function of `graphc.init`); both have x's dtype, f32 where x is no float. `activation` is a name, such as
    "relu", or a function. Raises `ArgumentError` where `units` is no positive integer, `ShapeError` for a scalar x or
    one of another width than the first.
    """

    def __init__(
        self,
        units: int,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: str | init.Initializer = "glorot_uniform",
        bias_initializer: str | init.Initializer = "zeros",
        name: str | None = None,
    ):
        super().__init__(name)
        if type(units) is bool or not isinstance(units, (int, np.integer)) or units < 1:
            raise ArgumentError(f"Dense: units={units!r} is not a positive integer", site=self.site)
        self.units, self.use_bias = int(units), use_bias
        self.activation = activation_function(activation)
        self.kernel_initializer = init.get(kernel_initializer)
        self.bias_initializer = init.get(bias_initializer)

    def build(self, x: Tensor) -> None:
        if not x.ndim:
            raise ShapeError("Dense: a scalar has no last axis", operands=[describe("x", x.node)], site=user_site())
        dtype = x.dtype if x.dtype.is_float else f32
        shape = (x.type.shape[-1], self.units)
        self.kernel = Variable(self.kernel_initializer(shape, dtype))  # type: ignore[arg-type]
        if self.use_bias:
            self.bias = Variable(self.bias_initializer((self.units,), dtype))

    def __call__(self, x: TensorLike) -> Tensor:
        y = api.matmul(x, self.kernel)
        if self.use_bias:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)


class Activation(Module):
    """An activation as a layer."""

    def __init__(self, activation: str | Callable[[Any], Tensor], name: str | None = None):
        super().__init__(name)
        self.function = activation_function(activation)

    def __call__(self, x: TensorLike) -> Tensor:
        return as_tensor(x) if self.function is None else self.function(as_tensor(x))


class Flatten(Module):
    """Every axis but the first as one: [N, ...] -> [N, M]; up to two axes stay as they are."""

    def __call__(self, x: TensorLike) -> Tensor:
        tensor = as_tensor(x)
        return api.reshape(tensor, (tensor.shape[0], -1)) if tensor.ndim > 2 else tensor


class Dropout(Module):
    """In training each element is 0 with probability `rate`, else divided by 1 − rate (Srivastava et al., 2014).

    Otherwise x as it is. Differentiating through it raises `GradientError` where no caller said `training=`.
    """

    def __init__(self, rate: float, name: str | None = None):
        super().__init__(name)
        if not 0 <= rate < 1:
            raise ArgumentError(f"Dropout: rate={rate} is not in [0, 1)", site=self.site)
        self.rate = rate

    def __call__(self, x: TensorLike, training: bool | None = None) -> Tensor:
        tensor = as_tensor(x)
        if not self.rate:
            return tensor
        if training:
            keep = random.bernoulli(1.0 - self.rate, tensor.type.shape)
            return api.where(keep, tensor * (1.0 / (1.0 - self.rate)), 0)
        return tensor if training is False else undecided(type(self).__name__, tensor)


class Sequential(Module):
    """Layers, or functions of a tensor, one after the other. Unnamed, it adds nothing to its layers' paths."""

    transparent: ClassVar[bool] = True

    def __init__(self, *layers: Module | Callable[[Any], Tensor], name: str | None = None):
        super().__init__(name)
        self.layers = list(layers)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __iter__(self) -> Iterator[Module | Callable[[Any], Tensor]]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Module | Callable[[Any], Tensor]:
        return self.layers[index]
