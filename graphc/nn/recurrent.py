"""What recurrent layers over sequences [batch, time, features] share: the loop, the state, dropout, and padding.

All give `(ys, state)`: the outputs of all steps [batch, time, units], and the state after the last one, where the next
part of a sequence goes on. The time may be symbolic: one loop is compiled, whatever its length.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeAlias, Unpack

from graphc.errors import ArgumentError, DTypeError, Operand, ShapeError
from graphc.frontend import api
from graphc.frontend.control import scan
from graphc.frontend.modes import undecided
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.size import UserSize
from graphc.frontend.structure import flatten, unflatten
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.variable import Variable
from graphc.ir.types import DType, TensorType, bool_, f32, i32
from graphc.nn import functional
from graphc.nn.layers import Dropout, SpatialDropout
from graphc.nn.module import Module, called
from graphc.nn.weights import (
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    KernelLayer,
    KernelOptions,
    RegularizerLike,
    activation_function,
    expect_count,
    expect_probability,
    weight,
)
from graphc.sites import user_site

#: What a layer carries from step to step: a tensor, or a tuple of states.
State: TypeAlias = Any


class RecurrentLayer(Module):
    """What all recurrent layers do, those made of others too: layer(x) is `(ys, state)`, and these.

    In a `Sequential` the next layer gets the outputs `ys` alone.
    """

    def step(self, x: TensorLike, state: State = None) -> tuple[Tensor, State]:
        """One step, for streams: x [batch, features] and a state to (y, state); None starts with zeros."""
        raise NotImplementedError

    def initial_state(self, batch: Tensor | UserSize, dtype: DType = f32) -> State:
        """The zeros that a sequence starts with, for a batch of a size, or the batch and dtype of a tensor."""
        raise NotImplementedError

    def last(self, state: State) -> Tensor:
        """The output [batch, units] of the last step, from the state after it."""
        raise NotImplementedError

    def reversed(self) -> Self:
        """A layer like this one that goes the other way, with parameters of its own. Raises where this one is built."""
        raise NotImplementedError

    def passed_on(self, x: Any) -> Any:
        ys, _ = self(x)
        return ys


class RecurrentOptions(KernelOptions, total=False):
    """The keyword arguments that all recurrent layers take: see `Recurrent`."""

    recurrent_initializer: InitializerLike
    recurrent_regularizer: RegularizerLike
    recurrent_constraint: ConstraintLike
    dropout: float
    recurrent_dropout: float
    reverse: bool
    checkpoint_every: int | None


class Recurrent(KernelLayer, RecurrentLayer):
    """The base of layers with one cell: from x·kernel + bias and a state to the next state.

    `kernel` is [features, gates·units], `recurrent_kernel` [units, gates·units], `bias` [gates·units]. Besides the
    keyword arguments of `KernelLayer` they take `recurrent_initializer="orthogonal"`, `recurrent_regularizer=None`
    and `recurrent_constraint=None`, and

    - `dropout=0.0`, `recurrent_dropout=0.0`: in training, features of x, and of h where it meets `recurrent_kernel`,
      are 0 with that probability, the same ones at each step of a sequence (Gal and Ghahramani, 2016);
    - `reverse=False`: go from the last step to the first; ys stay in the order of x;
    - `checkpoint_every=None`: as in `gr.scan`, memory of √time in training where it is near √time.

    A call takes `initial_state=None` (zeros), and for sequences that are padded `lengths` (integers [batch]) or `mask`
    (bool [batch, time]): other steps keep the state, and their output is that of the step before.

        ys, (h, c) = nn.LSTM(64)(x)               # x: f32[N, T, 8]; ys: f32[N, T, 64]; h, c: f32[N, 64]
        y, state = lstm.step(x_t, state)          # x_t: f32[N, 8]

    Raises `ShapeError` and `DTypeError` for an x of other axes or features than the first, and for states, masks and
    lengths that do not fit it.
    """

    #: How many parts of `units` columns the kernels have.
    gates: ClassVar[int]

    recurrent_kernel: Variable

    def __init__(
        self,
        units: int,
        activation: ActivationLike,
        recurrent_activation: ActivationLike,
        use_bias: bool,
        *,
        recurrent_initializer: InitializerLike = "orthogonal",
        recurrent_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reverse: bool = False,
        checkpoint_every: int | None = None,
        **options: Unpack[KernelOptions],
    ):
        super().__init__(None, use_bias, **options)
        expect_count(self, units=units, checkpoint_every=1 if checkpoint_every is None else checkpoint_every)
        expect_probability(self, dropout=dropout, recurrent_dropout=recurrent_dropout)
        self.units, self.reverse, self.checkpoint_every = int(units), reverse, checkpoint_every
        self.act = activation_function(activation) or functional.identity
        self.gate = activation_function(recurrent_activation) or functional.identity
        self.recurrent_weight = weight(recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.dropout, self.recurrent_dropout = SpatialDropout(dropout), Dropout(recurrent_dropout)

    def build(self, x: Tensor, *others: Any) -> None:
        columns = self.gates * self.units
        self.make(x, (x.type.shape[-1], columns), (columns,))
        self.recurrent_kernel = self.recurrent_weight.variable((self.units, columns), self.kernel.dtype)

    def cell(self, a: Tensor, seen: Tensor, state: State) -> State:
        """The next state: a is x·kernel + bias [batch, gates·units], `seen` is what `recurrent_kernel` meets of h."""
        raise NotImplementedError

    def __call__(
        self,
        x: TensorLike,
        initial_state: State = None,
        *,
        mask: TensorLike | None = None,
        lengths: TensorLike | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, State]:
        tensor = self.expect_axes(x, "batch", "time", "features")
        known = known_steps(self, tensor, mask, lengths)
        a = self.projected(api.permute_dims(self.dropout(tensor), (1, 0, 2)), training)
        start = self.starting(tensor, a.dtype, initial_state)
        kept = self.kept(start, training)

        def step(state: State, slices: tuple[Tensor, Tensor | None]) -> tuple[State, Tensor]:
            a, known = slices
            new = self.advance(a, kept, state)
            if known is not None:
                new = chosen(known, new, state)
            return new, self.last(new)

        state, ys = scan(step, start, (a, known), reverse=self.reverse, checkpoint_every=self.checkpoint_every)
        return api.permute_dims(ys, (1, 0, 2)), state

    @called
    def step(self, x: TensorLike, state: State = None, *, training: bool | None = None) -> tuple[Tensor, State]:
        """One step, for streams: x [batch, features] and a state to (y, state); None starts with zeros.

        Steps one after the other are a whole sequence, but for dropout, which is drawn anew for each.
        """
        tensor = self.expect_axes(x, "batch", "features")
        a = self.projected(self.dropout(tensor), training)
        start = self.starting(tensor, a.dtype, state)
        after = self.advance(a, self.kept(start, training), start)
        return self.last(after), after

    def projected(self, x: Tensor, training: bool | None) -> Tensor:
        """x·kernel + bias: of a whole sequence, one large product."""
        a = self.finish(api.matmul(x, self.kernel))
        return undecided(type(self).__name__, a) if self.recurrent_dropout.rate and training is None else a

    def kept(self, state: State, training: bool | None) -> Tensor | None:
        """What h is multiplied by where it meets `recurrent_kernel`; None without recurrent dropout."""
        if not self.recurrent_dropout.rate or not training:
            return None
        kept: Tensor = self.recurrent_dropout(api.ones_like(self.last(state)))
        return kept

    def advance(self, a: Tensor, kept: Tensor | None, state: State) -> State:
        """The next state."""
        h = self.last(state)
        return self.cell(a, h if kept is None else h * kept, state)

    def starting(self, x: Tensor, dtype: DType, state: State) -> State:
        """A given state, or zeros. Raises where it does not fit a batch of x."""
        zeros = self.initial_state(x.shape[0], dtype)
        if state is None:
            return zeros
        (wanted, tree), (given, _) = flatten(zeros), flatten(state)
        parts = [as_tensor(part) for part in given]
        if [part.type for part in parts] == [part.type for part in wanted]:
            return unflatten(tree, parts)
        raise (ShapeError if {part.dtype for part in parts} <= {dtype} else DTypeError)(
            f"{type(self).__name__}: takes a state of {types_of(wanted)}, given {types_of(parts) or None}",
            operands=[describe("x", x.node)],
            site=user_site(),
            help="start with layer.initial_state(x)",
        )

    def initial_state(self, batch: Tensor | UserSize, dtype: DType = f32) -> State:
        if isinstance(batch, Tensor):
            dtype = batch.dtype if batch.dtype.is_float else f32
            batch = batch.shape[0]
        return self.at_rest(api.zeros((batch, self.units), dtype))

    def at_rest(self, zeros: Tensor) -> State:
        """The state whose parts are all zeros."""
        return zeros

    def last(self, state: State) -> Tensor:
        h: Tensor = state
        return h

    def reversed(self) -> Self:
        expect_new(self)
        other = copy.copy(self)
        other.reverse = not self.reverse
        return other

    def expect_axes(self, x: TensorLike, *axes: str) -> Tensor:
        """x as a tensor. Raises `ShapeError` unless it has such axes, the last as long as the kernel takes."""
        tensor = as_tensor(x)
        features = self.kernel.type.shape[0]
        if tensor.ndim == len(axes) and tensor.type.shape[-1] == features:
            return tensor
        raise ShapeError(
            f"{type(self).__name__}: takes [{', '.join(axes[:-1])}, {features}], x is {tensor.type}",
            operands=[describe("x", tensor.node)],
            site=user_site(),
            help="layer(x) takes sequences, layer.step(x, state) one step of them",
        )


def known_steps(
    layer: Module, x: Tensor, mask: TensorLike | None, lengths: TensorLike | None
) -> Tensor | None:
    """Which steps of sequences are none of the padding, bool [time, batch, 1]; None where nothing says so."""
    if mask is not None and lengths is not None:
        raise ArgumentError(f"{type(layer).__name__}: mask and lengths are given", site=user_site(), help="give one")
    batch, time = x.type.shape[:2]
    if mask is not None:
        steps = expect_type(layer, "mask", mask, TensorType(bool_, (batch, time)))
    elif lengths is None:
        return None
    else:
        given = as_tensor(lengths)
        wanted = TensorType(given.dtype if given.dtype.is_integer else i32, (batch,))
        count = expect_type(layer, "lengths", given, wanted)
        steps = api.arange(x.shape[1], dtype=count.dtype) < count[:, None]
    return api.matrix_transpose(steps)[:, :, None]


def expect_type(layer: Module, role: str, value: TensorLike, wanted: TensorType) -> Tensor:
    """A value as a tensor. Raises `DTypeError` or `ShapeError` unless it is of a type."""
    tensor = as_tensor(value)
    if tensor.type == wanted:
        return tensor
    kind = ShapeError if tensor.dtype == wanted.dtype else DTypeError
    message = f"{type(layer).__name__}: {role} is {tensor.type}, takes {wanted}"
    raise kind(message, operands=[describe(role, tensor.node)], site=user_site())


def expect_new(layer: Module) -> None:
    """Raise `ArgumentError` where a layer, of which a copy is to be made, has parameters already."""
    if any(module.built for module in layer.modules()):
        raise ArgumentError(
            f"{type(layer).__name__} is built already: a copy would share its parameters",
            operands=[Operand("layer", type(layer).__name__, layer.site)],
            site=user_site(),
            help="give a new layer",
        )


def chosen(known: Tensor, new: State, old: State) -> State:
    """The new state in rows where a step is known, the old one in others."""
    (news, tree), (olds, _) = flatten(new), flatten(old)
    return unflatten(tree, [api.where(known, a, b) for a, b in zip(news, olds, strict=True)])


def types_of(parts: Sequence[Tensor]) -> str:
    """The types of a state's parts, as errors print them."""
    return ", ".join(str(part.type) for part in parts)
