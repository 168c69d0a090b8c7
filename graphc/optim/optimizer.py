"""The base of optimizers: gradients paired with parameters, slots in the state, the learning rate as a scalar of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from graphc.errors import ArgumentError, InternalError, Operand, TraceError
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import Recording, current
from graphc.frontend.tensor import Tensor
from graphc.frontend.transforms import gradients, trainable_in
from graphc.frontend.variable import Variable
from graphc.ir.types import DType
from graphc.sites import user_site

Rate: TypeAlias = float | Tensor
Pairs: TypeAlias = Iterable[tuple[Tensor, Variable]]


class Optimizer:
    """An update rule. A subclass lists its `slots` and states `step`, one parameter's update, as a pure function.

    State, below the optimizer's name (`adam`, numbered within a Program, or `name`): `adam/learning_rate`, and
    `adam/step` where the rule counts. Slots stand below their parameter: `dense/kernel/adam/m`.
    A learning rate that is a number is such state, which Python and C may write; a Tensor or Variable is used as it is.
    """

    #: Names of the values kept for each parameter, of its type, zero at first.
    slots: ClassVar[tuple[str, ...]] = ()
    #: Whether the rule depends on the number of the step.
    counts: ClassVar[bool] = False

    def __init__(self, learning_rate: Rate, name: str | None = None):
        expect_rate(type(self).__name__, learning_rate)
        self.name, self.stem, self.site = name, type(self).__name__.lower(), user_site()
        self._given_rate = learning_rate
        self._rate: Variable | None = None
        self._count: Variable | None = None
        self._slots: dict[Variable, tuple[Variable, ...]] = {}

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        """The parameter's new value and the slots', from the old ones. All have the parameter's type but the rate."""
        raise NotImplementedError

    def minimize(
        self, loss: Tensor, params: Sequence[Variable] | None = None, learning_rate: Rate | None = None
    ) -> None:
        """One step down the gradient of a loss: every trainable Variable that it depends on, or those given.

        `loss` is a float scalar; `learning_rate` stands for the optimizer's in this step. Raises as
        `compute_gradients` and `apply_gradients` do.

            opt.minimize(losses.mean_squared_error(net(x, training=True), y))
        """
        self.apply_gradients(self.compute_gradients(loss, params), learning_rate)

    def compute_gradients(
        self, loss: Tensor, params: Sequence[Variable] | None = None
    ) -> list[tuple[Tensor, Variable]]:
        """(gradient, Variable) for every trainable Variable that a loss depends on, or those given.

        Raises `GradientError` where the loss is no float scalar, `ArgumentError` where there is nothing to minimise
        over or a parameter is no Variable.
        """
        if params is None:
            chosen = trainable_in(as_tensor(loss))
        else:
            chosen = [expect_variable("params", p) for p in ([params] if isinstance(params, Variable) else params)]
        if not chosen:
            raise ArgumentError(
                "there is nothing to minimise over: the loss depends on no trainable Variable",
                site=user_site(),
                help="give params=, or compute the loss from the network's outputs in this entry",
            )
        return list(zip(gradients(loss, chosen), chosen, strict=True))

    def apply_gradients(self, pairs: Pairs, learning_rate: Rate | None = None) -> None:
        """Assign every parameter its update; a gradient has its parameter's type.

        Raises `TraceError` where an optimizer did so before in this entry, `ArgumentError` for what are no pairs of
        a gradient and a Variable.
        """
        recording = current("an optimizer's step")
        updates = [expect_pair(pair) for pair in pairs]
        if not updates:
            raise ArgumentError("apply_gradients: no pairs", site=user_site())
        self._prepare([parameter for _, parameter in updates])
        rate = as_tensor(self._chosen(learning_rate))
        if self._count is not None:
            self._count.assign(self._count + 1)
        before, path = recording.path, recording.names.path(self)
        recording.path = path
        try:
            for gradient, parameter in updates:
                self._claim(recording, parameter)
                self._update(parameter, gradient, rate)
        finally:
            recording.path = before

    def count(self, dtype: DType) -> Tensor:
        """The number of this step, from 1, as a float scalar; for rules that set `counts`."""
        if self._count is None:
            raise InternalError(f"{type(self).__name__} reads the number of the step but does not set `counts`")
        return cast(as_tensor(self._count), dtype)

    def _chosen(self, learning_rate: Rate | None) -> Rate:
        """The rate of one step: the one given for it, else the optimizer's."""
        if learning_rate is not None:
            return learning_rate
        return self._given_rate if self._rate is None else self._rate

    def _prepare(self, parameters: Sequence[Variable]) -> None:
        """Create the optimizer's own state at its first use; the rate has the widest dtype of the parameters."""
        if self._rate is None and not isinstance(self._given_rate, Tensor):
            dtype = max((p.dtype for p in parameters), key=lambda t: t.itemsize)
            self._rate = self._variable(np.asarray(self._given_rate, dtype.numpy), "learning_rate")
        if self._count is None and self.counts:
            self._count = self._variable(np.zeros((), np.int64), "step")
        for parameter in parameters:
            if parameter not in self._slots:
                zeros = np.zeros([int(s) for s in parameter.type.shape], parameter.dtype.numpy)  # type: ignore[arg-type]
                self._slots[parameter] = tuple(self._variable(zeros, slot, parameter) for slot in self.slots)

    def _variable(self, initial: np.ndarray, stem: str, parameter: Variable | None = None) -> Variable:
        """State of this optimizer, below its parameter if it is of one."""
        variable = Variable(initial, trainable=False)
        variable.stem = stem
        variable.owners = (self,) if parameter is None else (parameter, self)
        return variable

    def _claim(self, recording: Recording, parameter: Variable) -> None:
        """Raise `TraceError` where an optimizer updated the parameter before in this entry."""
        if parameter in recording.optimized:
            _, site = recording.optimized[parameter]
            raise TraceError(
                f"{recording.names.variable(parameter)} is updated twice by optimizers in one entry",
                operands=[Operand("first", recording.names.variable(parameter), site)],
                site=user_site(),
                help="give each optimizer its own params=, or add the losses",
            )
        recording.optimized[parameter] = self, user_site()

    def _update(self, parameter: Variable, gradient: Tensor, rate: Tensor) -> None:
        """One parameter's step."""
        slots = self._slots[parameter]
        old = as_tensor(parameter)
        new = self.step(old, gradient, cast(rate, old.dtype), *(as_tensor(s) for s in slots))
        for variable, value in zip((parameter, *slots), new, strict=True):
            variable.assign(value)


def expect_rate(name: str, rate: object) -> None:
    """Raise `ArgumentError` unless a learning rate is a real number, a Tensor or a Variable."""
    if isinstance(rate, (Tensor, Variable)):
        return
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise ArgumentError(
            f"{name}: learning_rate={rate!r} is not a number",
            site=user_site(),
            help="use a number, a Tensor or a Variable",
        )


def expect_pair(pair: Any) -> tuple[Tensor, Variable]:
    """A (gradient, Variable) pair. Raises `ArgumentError` for anything else."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ArgumentError(
            f"apply_gradients: {pair!r} is not a pair", site=user_site(), help="give (gradient, Variable) pairs"
        )
    return as_tensor(pair[0]), expect_variable("apply_gradients", pair[1])


def expect_variable(role: str, value: object) -> Variable:
    """The value. Raises `ArgumentError` unless it is a Variable."""
    if isinstance(value, Variable):
        return value
    raise ArgumentError(f"{role}: {value!r} is not a Variable", site=user_site(), help="optimizers change gr.Variables")
