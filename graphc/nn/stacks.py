"""Recurrent layers made of others: one on the other, both ways, the last output alone, and with a state kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

from graphc import init
from graphc.errors import ArgumentError, Operand, ShapeError, UnsupportedError
from graphc.frontend import api
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.size import UserSize
from graphc.frontend.structure import flatten, unflatten
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.variable import Variable
from graphc.ir.types import DType, f32
from graphc.nn.layers import Dropout
from graphc.nn.module import Module, called
from graphc.nn.recurrent import RecurrentLayer, State, expect_new
from graphc.nn.weights import expect_count, expect_probability
from graphc.sites import user_site


class Stack(RecurrentLayer):
    """Recurrent layers one on the other: `(ys, states)`, the outputs of the last, and a tuple of all their states.

    Arguments of a call are those of `Recurrent`. `dropout` is that of the outputs between layers, in training, as
    PyTorch's `dropout=` with `num_layers=`. Raises `ArgumentError` where one is no recurrent layer, or there is none.

        ys, ((h1, c1), (h2, c2)) = nn.Stack(nn.LSTM(64), nn.LSTM(64))(x)
    """

    def __init__(self, *layers: RecurrentLayer, dropout: float = 0.0, name: str | None = None):
        super().__init__(name)
        if not layers:
            raise ArgumentError("Stack: no layers", site=self.site, help="nn.Stack(nn.LSTM(64), nn.LSTM(64))")
        for layer in layers:
            expect_recurrent(self, layer)
        expect_probability(self, dropout=dropout)
        self.layers, self.dropout = list(layers), Dropout(dropout)

    def __call__(self, x: TensorLike, initial_state: State = None, **options: Any) -> tuple[Tensor, State]:
        return self.through(as_tensor(x), initial_state, lambda layer, x, state: layer(x, state, **options))

    @called
    def step(self, x: TensorLike, state: State = None) -> tuple[Tensor, State]:
        return self.through(as_tensor(x), state, lambda layer, x, state: layer.step(x, state))

    def through(self, x: Tensor, states: State, run: Callable[..., tuple[Tensor, State]]) -> tuple[Tensor, State]:
        """What the last layer gives, and all states."""
        after = []
        for i, (layer, state) in enumerate(zip(self.layers, parts(self, states, len(self.layers)), strict=True)):
            x, state = run(layer, self.dropout(x) if i else x, state)
            after.append(state)
        return x, tuple(after)

    def initial_state(self, batch: Tensor | UserSize, dtype: DType = f32) -> State:
        return tuple(layer.initial_state(batch, dtype) for layer in self.layers)

    def last(self, state: State) -> Tensor:
        return self.layers[-1].last(state[-1])

    def reversed(self) -> Self:
        expect_new(self)
        other = copy.copy(self)
        other.layers = [layer.reversed() for layer in self.layers]
        return other


#: How the outputs of both directions become one.
MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: api.concat([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) * 0.5,
}


class Bidirectional(RecurrentLayer):
    """A recurrent layer and one like it that goes the other way (Schuster and Paliwal, 1997).

    It gives the outputs of both, merged ("concat" along the last axis, "sum", "mul" or "ave", by step of x), and a pair
    of states, each after the last step of its direction. `backward` is the layer for the other direction, by default
    like `layer` with parameters of its own; they are named `forward` and `backward` where they have no name. Arguments
    of a call are those of `Recurrent`; with `lengths` the other direction starts with the last step that counts.

        ys, (forward, backward) = nn.Bidirectional(nn.GRU(32))(x)        # f32[N, T, 8] -> f32[N, T, 64], …

    Raises `ArgumentError` for an unknown merge, and for a layer that is built already without `backward`.
    """

    def __init__(
        self,
        layer: RecurrentLayer,
        merge: str = "concat",
        backward: RecurrentLayer | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        expect_recurrent(self, layer)
        if merge not in MERGES:
            raise ArgumentError(f"Bidirectional: merge={merge!r}", site=self.site, help=", ".join(MERGES))
        self.merge = MERGES[merge]
        self.forward, self.backward = layer, layer.reversed() if backward is None else backward
        expect_recurrent(self, self.backward)
        if backward is None and layer.name is not None:
            self.backward.name = f"backward_{layer.name}"
        self.forward.default_name, self.backward.default_name = "forward", "backward"

    def __call__(self, x: TensorLike, initial_state: State = None, **options: Any) -> tuple[Tensor, State]:
        first, second = parts(self, initial_state, 2)
        (ys, after), (zs, before) = self.forward(x, first, **options), self.backward(x, second, **options)
        return self.merge(ys, zs), (after, before)

    def step(self, x: TensorLike, state: State = None) -> tuple[Tensor, State]:
        """Raises `UnsupportedError`: the other direction would begin with what is to come."""
        raise UnsupportedError(
            "Bidirectional: no step at a time, since one direction begins with the last",
            operands=[Operand("layer", type(self).__name__, self.site)],
            site=user_site(),
            help="call it on whole sequences, or use one direction",
        )

    def initial_state(self, batch: Tensor | UserSize, dtype: DType = f32) -> State:
        return tuple(layer.initial_state(batch, dtype) for layer in (self.forward, self.backward))

    def last(self, state: State) -> Tensor:
        return self.merge(self.forward.last(state[0]), self.backward.last(state[1]))

    def reversed(self) -> Self:
        expect_new(self)
        other = copy.copy(self)
        other.forward, other.backward = self.forward.reversed(), self.backward.reversed()
        return other


class Last(Module):
    """The output of a recurrent layer's last step alone, [batch, units]: of each direction, where it has two.

    With `lengths` it is that of each row's own last step. Other arguments of a call are the layer's, too. Unnamed, it
    adds nothing to the layer's path.

        nn.Sequential(nn.LSTM(64), nn.Last(nn.LSTM(64)), nn.Dense(10))        # f32[N, T, 8] -> f32[N, 10]
    """

    transparent: ClassVar[bool] = True

    def __init__(self, layer: RecurrentLayer, name: str | None = None):
        super().__init__(name)
        expect_recurrent(self, layer)
        self.layer = layer

    def __call__(self, x: TensorLike, *args: Any, **options: Any) -> Tensor:
        _, state = self.layer(x, *args, **options)
        return self.layer.last(state)


class Stateful(RecurrentLayer):
    """A recurrent layer whose state stays from call to call, in the program's state, for streams of a fixed batch.

    `(ys, state)` goes on where the last call ended, `step(x)` by one step; `reset()`, in an entry, starts anew.
    Gradients end at a call's start. Raises `ArgumentError` for a batch that is no positive integer, `ShapeError` for an
    x of another batch, and what assigning to a Variable raises.

        listener = nn.Stateful(nn.GRU(32), batch=1)

        @program.entry
        def listen(x: gr.f32[1, 8]):
            y, _ = listener.step(x)
            return y
    """

    def __init__(self, layer: RecurrentLayer, batch: int, name: str | None = None):
        super().__init__(name)
        expect_recurrent(self, layer)
        expect_count(self, batch=batch)
        self.layer, self.batch = layer, int(batch)

    def build(self, x: Tensor, *others: Any) -> None:
        zeros, self.tree = flatten(self.layer.initial_state(self.batch, as_tensor(x).dtype))
        self.state = [Variable(init.zeros(part.type.shape, part.dtype), trainable=False) for part in zeros]

    def __call__(self, x: TensorLike, initial_state: State = None, **options: Any) -> tuple[Tensor, State]:
        return self.keep(self.layer(self.expect_batch(x), self.before(initial_state), **options))

    @called
    def step(self, x: TensorLike, state: State = None) -> tuple[Tensor, State]:
        return self.keep(self.layer.step(self.expect_batch(x), self.before(state)))

    def before(self, given: State) -> State:
        """The state given, else the kept one."""
        return unflatten(self.tree, self.state) if given is None else given

    def keep(self, result: tuple[Tensor, State]) -> tuple[Tensor, State]:
        """A result, whose state the Variables get."""
        leaves, _ = flatten(result[1])
        for variable, value in zip(self.state, leaves, strict=True):
            variable.assign(value)
        return result

    def reset(self) -> None:
        """Start anew with zeros, in an entry. Raises `TraceError` before the layer is built."""
        self.variables()
        for variable in self.state:
            variable.assign(api.zeros_like(variable))

    def initial_state(self, batch: Tensor | UserSize, dtype: DType = f32) -> State:
        return self.layer.initial_state(batch, dtype)

    def last(self, state: State) -> Tensor:
        return self.layer.last(state)

    def expect_batch(self, x: TensorLike) -> Tensor:
        """x as a tensor. Raises `ShapeError` where its batch is another."""
        tensor = as_tensor(x)
        if tensor.ndim and tensor.type.shape[0] == self.batch:
            return tensor
        raise ShapeError(
            f"Stateful: keeps the state of a batch of {self.batch}, x is {tensor.type}",
            operands=[describe("x", tensor.node)],
            site=user_site(),
            help="give the layer the batch of x, a number; or hand the state on yourself: ys, state = layer(x, state)",
        )


def parts(layer: Module, states: State, count: int) -> tuple[State, ...]:
    """The states of a layer's parts; None for each where none is given. Raises `ArgumentError` for another number."""
    if states is None:
        return (None,) * count
    if isinstance(states, (tuple, list)) and len(states) == count:
        return tuple(states)
    raise ArgumentError(
        f"{type(layer).__name__}: the state is no tuple of {count}",
        operands=[Operand("layer", type(layer).__name__, layer.site)],
        site=user_site(),
        help="start with layer.initial_state(x)",
    )


def expect_recurrent(outer: Module, layer: object) -> None:
    """Raise `ArgumentError` unless a layer is a recurrent one."""
    if not isinstance(layer, RecurrentLayer):
        raise ArgumentError(
            f"{type(outer).__name__}: {layer!r} is no recurrent layer",
            site=outer.site,
            help="nn.SimpleRNN, nn.LSTM, nn.GRU, or what is made of them",
        )
