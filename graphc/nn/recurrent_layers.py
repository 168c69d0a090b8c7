"""Recurrent layers of one cell: `SimpleRNN`, `LSTM`, `GRU`. What they share, and how they are called: `Recurrent`."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Unpack

from graphc import init
from graphc.frontend import api
from graphc.frontend.random import Key
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Initial, Variable
from graphc.ir.types import DType
from graphc.nn.recurrent import Recurrent, RecurrentOptions, State
from graphc.nn.weights import ActivationLike


class SimpleRNN(Recurrent):
    """h′ = tanh(x·kernel + h·recurrent_kernel + bias) (Elman, 1990); y and the state are h′ [batch, units].

    `activation` is a name or a function; `options` are those of `Recurrent`.

        ys, h = nn.SimpleRNN(32)(x)        # f32[N, T, 8] -> f32[N, T, 32], f32[N, 32]
    """

    gates: ClassVar[int] = 1

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        **options: Unpack[RecurrentOptions],
    ):
        super().__init__(units, activation, None, use_bias, **options)

    def cell(self, a: Tensor, seen: Tensor, state: Tensor) -> Tensor:
        return self.act(a + api.matmul(seen, self.recurrent_kernel))


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000); the state is (h, c), y is h.

    With i, f, g, o the four parts of x·kernel + h·recurrent_kernel + bias in this order, that of Keras and PyTorch:
    c′ = σ(f)·c + σ(i)·tanh(g) and h′ = σ(o)·tanh(c′). `activation` stands for tanh, `recurrent_activation` for σ.

    With `unit_forget_bias` the bias starts as 1 for f, as in Keras, so that a new layer remembers (Jozefowicz et al.,
    2015); in PyTorch it is like the others, and one of two. `options` are those of `Recurrent`.

        ys, (h, c) = nn.LSTM(64)(x)        # f32[N, T, 8] -> f32[N, T, 64], (f32[N, 64], f32[N, 64])
    """

    gates: ClassVar[int] = 4

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        unit_forget_bias: bool = True,
        **options: Unpack[RecurrentOptions],
    ):
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        if unit_forget_bias:
            start = partial(remembering, self.bias_weight.initializer)
            self.bias_weight = self.bias_weight._replace(initializer=start)

    def cell(self, a: Tensor, seen: Tensor, state: tuple[Tensor, Tensor]) -> State:
        i, f, g, o = api.split(a + api.matmul(seen, self.recurrent_kernel), 4, axis=1)
        c = self.gate(f) * state[1] + self.gate(i) * self.act(g)
        return self.gate(o) * self.act(c), c

    def at_rest(self, zeros: Tensor) -> State:
        return zeros, zeros

    def last(self, state: State) -> Tensor:
        h: Tensor = state[0]
        return h


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al., 2014): h′ = (1 − z)·n + z·h; y and the state are h′ [batch, units].

    r and z are the sigmoids of the first two parts of x·kernel + h·recurrent_kernel + bias, n the tanh of the third,
    in PyTorch's order r, z, n (Keras: z, r, n). `activation` stands for tanh, `recurrent_activation` for the sigmoid.

    With `reset_after`, the form of Keras and PyTorch, r multiplies the product, n = tanh(x·kₙ + bₙ + r·(h·uₙ + b′ₙ)),
    and `recurrent_bias` b′ [3·units] is added to products with h. Without, the original form, r multiplies h:
    n = tanh(x·kₙ + bₙ + (r·h)·uₙ). `options` are those of `Recurrent`.

        ys, h = nn.GRU(64)(x)        # f32[N, T, 8] -> f32[N, T, 64], f32[N, 64]
    """

    gates: ClassVar[int] = 3

    recurrent_bias: Variable

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        reset_after: bool = True,
        **options: Unpack[RecurrentOptions],
    ):
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.reset_after = reset_after

    def build(self, x: Tensor, *others: Any) -> None:
        super().build(x, *others)
        if self.use_bias and self.reset_after:
            self.recurrent_bias = self.bias_weight.variable(self.bias.type.shape, self.bias.dtype)

    def cell(self, a: Tensor, seen: Tensor, state: Tensor) -> Tensor:
        gates = 2 * self.units
        if self.reset_after:
            product = api.matmul(seen, self.recurrent_kernel)
            d = product + self.recurrent_bias if self.use_bias else product
            r, z = api.split(self.gate(a[:, :gates] + d[:, :gates]), 2, axis=1)
            n = self.act(a[:, gates:] + r * d[:, gates:])
        else:
            d = api.matmul(seen, self.recurrent_kernel[:, :gates])
            r, z = api.split(self.gate(a[:, :gates] + d), 2, axis=1)
            n = self.act(a[:, gates:] + api.matmul(r * seen, self.recurrent_kernel[:, gates:]))
        return (1.0 - z) * n + z * state


def remembering(initializer: init.Initializer, shape: init.Shape, dtype: DType) -> Initial:
    """The initial bias of an LSTM: that of an initializer, but 1 for the forget gate."""
    initial = initializer(shape, dtype)
    return Initial(initial.type, partial(draw_remembering, initial))


def draw_remembering(initial: Initial, key: Key) -> Tensor:
    """An initial value whose second quarter is 1."""
    i, f, g, o = api.split(initial.draw(key), 4)
    return api.concat([i, api.ones_like(f), g, o])
