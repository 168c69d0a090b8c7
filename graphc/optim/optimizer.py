"""The base of optimizers: gradients paired with parameters, slots in the state, the learning rate as a scalar of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from graphc.errors import ArgumentError, Operand, TraceError
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
        """One step down the gradient of a loss: every trainable Variable that it depends on, or those given."""
        self.apply_gradients(self.compute_gradients(loss, params), learning_rate)

    def compute_gradients(
        self, loss: Tensor, params: Sequence[Variable] | None = None
    ) -> list[tuple[Tensor, Variable]]:
        """(gradient, Variable) for every trainable Variable that a loss depends on, or those given."""
        chosen = trainable_in(loss) if params is None else list(params)
        if not chosen:
            raise ArgumentError(
                "there is nothing to minimise over: the loss depends on no trainable Variable",
                site=user_site(),
                help="give params=, or compute the loss from the network's outputs in this entry",
            )
        return list(zip(gradients(loss, chosen), chosen, strict=True))

    def apply_gradients(self, pairs: Pairs, learning_rate: Rate | None = None) -> None:
        """Assign every parameter its update. Raises `TraceError` where an optimizer did so before in this entry."""
        recording = current("an optimizer's step")
        updates = [(as_tensor(gradient), parameter) for gradient, parameter in pairs]
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
        """The number of this step, from 1, as a float scalar."""
        assert self._count is not None
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
