"""The base of optimizers: gradients paired with parameters, slots in the state, the learning rate as a scalar of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

import numpy as np

from graphc import init
from graphc.errors import ArgumentError, InternalError, Operand, TraceError
from graphc.frontend import api
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import Recording, current
from graphc.frontend.tensor import Tensor
from graphc.frontend.transforms import gradients, trainable_in
from graphc.frontend.variable import Initial, Variable
from graphc.ir.types import DType, i64
from graphc.optim.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, expect_limit
from graphc.optim.schedules import Schedule
from graphc.optim.style import Style, expect_between, expect_style
from graphc.sites import user_site

Rate: TypeAlias = float | Tensor | Schedule
T = TypeVar("T")
Pairs: TypeAlias = Iterable[tuple[Tensor, Variable]]


class Settings(TypedDict, total=False):
    """What every optimizer takes besides its rule's own hyper-parameters.

    `weight_decay` λ (0): added to the gradient as λθ, or with `decoupled` taken from the parameter as ηλθ before its
    step; decoupled by default in Keras's style and for AdamW. `clip_value`, `clip_norm`, `clip_global_norm`: limits of
    each element, of each gradient's norm, of the norm of all. `accumulate` k (1): the mean of k gradients is taken
    every k calls, in between nothing changes but `accumulated`.
    """

    weight_decay: float
    decoupled: bool | None
    clip_value: float | None
    clip_norm: float | None
    clip_global_norm: float | None
    accumulate: int


DEFAULTS = Settings(
    weight_decay=0.0, decoupled=None, clip_value=None, clip_norm=None, clip_global_norm=None, accumulate=1
)


class Optimizer:
    """An update rule. A subclass lists its `slots` and states `step`, one parameter's update, as a pure function.

    State, below the optimizer's name (`adam`, numbered within a Program, or `name`): `adam/learning_rate`, and
    `adam/step` where the rule counts. Slots stand below their parameter: `dense/kernel/adam/m`.
    A learning rate that is a number is such state, which Python and C may write; a Tensor or Variable is used as it
    is; a `Schedule` is computed from the number of the step.
    """

    #: Names of the values kept for each parameter, of its type.
    slots: tuple[str, ...] = ()
    #: What slots start with, where that is not zero.
    initial_slots: Mapping[str, float] = {}
    #: Names of scalars that the optimizer keeps, and what they start with.
    scalars: Mapping[str, float] = {}
    #: Whether the rule depends on the number of the step.
    counts: bool = False

    def __init__(
        self, learning_rate: Rate, name: str | None = None, *, style: Style = "torch", **settings: Unpack[Settings]
    ):
        own = type(self).__name__
        expect_rate(own, learning_rate)
        expect_style(own, style)
        self.name, self.stem, self.site, self.style = name, own.lower(), user_site(), style
        self.settings = checked_settings(own, settings)
        self.counts = self.counts or isinstance(learning_rate, Schedule)
        self._given_rate = learning_rate
        self._rate: Variable | None = None
        self._count: Variable | None = None
        self._waiting: Variable | None = None
        self._scalars: dict[str, Variable] = {}
        self._slots: dict[Variable, tuple[Variable, ...]] = {}
        self._sums: dict[Variable, Variable] = {}
        self._number: Tensor | None = None  # of the step that is being traced
        self._shared: dict[object, Any] = {}

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        """The parameter's new value and the slots', from the old ones. All have the parameter's type but the rate."""
        raise NotImplementedError

    def advance(self, scalars: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The new values of the optimizer's own scalars, once a step, before the parameters' updates read them."""
        return {}

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
        updates = [in_computed(*expect_pair(pair)) for pair in pairs]
        if not updates:
            raise ArgumentError("apply_gradients: no pairs", site=user_site())
        parameters = [parameter for _, parameter in updates]
        self._prepare(parameters)
        before, path = recording.path, recording.names.path(self)
        recording.path = path
        try:
            self._number = None
            self._shared.clear()
            rate = self._rate_of(learning_rate)
            due, directions = self._accumulated(updates)
            self._count_step(due)
            for gradient, parameter in zip(self._clipped(directions), parameters, strict=True):
                self._claim(recording, parameter)
                self._update(parameter, gradient, rate, due)
        finally:
            recording.path = before

    def count(self, dtype: DType) -> Tensor:
        """The number of this step, from 1, as a float scalar; for rules that set `counts`."""
        if self._count is None:
            raise InternalError(f"{type(self).__name__} reads the number of the step but does not set `counts`")
        if self._number is None:
            self._number = self._count + 1
        return cast(self._number, dtype)

    def scalar(self, name: str, dtype: DType) -> Tensor:
        """One of the optimizer's own scalars, as `advance` left it."""
        return cast(self._advanced[name], dtype)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What the parameters of a step share, as bias corrections: made for the first that asks, then kept."""
        if key not in self._shared:
            self._shared[key] = make()
        found: T = self._shared[key]
        return found

    # -- parts of a step --------------------------------------------------------------------------------------------

    def _accumulated(self, updates: Sequence[tuple[Tensor, Variable]]) -> tuple[Tensor | None, list[Tensor]]:
        """Whether this call takes a step (None: each one does), and the gradients it takes it along."""
        every = self.settings["accumulate"]
        if self._waiting is None:
            return None, [gradient for gradient, _ in updates]
        waiting = self._waiting + 1
        due = waiting >= every
        self._waiting.assign(api.where(due, 0, waiting))
        means = []
        for gradient, parameter in updates:
            total = self._sums[parameter] + gradient
            self._sums[parameter].assign(api.where(due, 0.0, total))
            means.append(total / every)
        return due, means

    def _clipped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The gradients within the limits that are set."""
        settings, found = self.settings, list(gradients)
        if settings["clip_value"] is not None:
            found = clip_by_value(found, settings["clip_value"])
        if settings["clip_norm"] is not None:
            found = clip_by_norm(found, settings["clip_norm"], self.style)
        if settings["clip_global_norm"] is not None:
            found = clip_by_global_norm(found, settings["clip_global_norm"], self.style)
        return found

    def _count_step(self, due: Tensor | None) -> None:
        """The number of this step, and the scalars that change with it."""
        if self._count is not None:
            keep(self._count, self.count(i64), due)
        old = {name: as_tensor(variable) for name, variable in self._scalars.items()}
        self._advanced = {**old, **self.advance(old)}
        for name, variable in self._scalars.items():
            keep(variable, self._advanced[name], due)

    def _rate_of(self, given: Rate | None) -> Tensor:
        """The rate of one step: the one given for it, else the optimizer's."""
        rate = given if given is not None else self._given_rate if self._rate is None else self._rate
        if isinstance(rate, Schedule):
            if not self.counts:
                raise ArgumentError(
                    f"{self.stem}: a schedule for one step, where the optimizer does not count its steps",
                    site=user_site(),
                    help="give the schedule to the optimizer itself",
                )
            return as_tensor(rate(self.count(self._dtype) - 1.0))
        return as_tensor(rate)

    def _prepare(self, parameters: Sequence[Variable]) -> None:
        """Create the optimizer's own state at its first use; its scalars have the widest dtype of the parameters."""
        self._dtype = max((p.dtype.computed for p in parameters), key=lambda t: t.itemsize)
        if self._rate is None and not isinstance(self._given_rate, (Tensor, Schedule)):
            self._rate = self._variable(np.asarray(self._given_rate, self._dtype.numpy), "learning_rate")
        if self._count is None and self.counts:
            self._count = self._variable(np.zeros((), np.int64), "step")
        if self._waiting is None and self.settings["accumulate"] > 1:
            self._waiting = self._variable(np.zeros((), np.int64), "waiting")
        for name, initial in self.scalars.items():
            if name not in self._scalars:
                self._scalars[name] = self._variable(np.asarray(initial, self._dtype.numpy), name)
        for parameter in parameters:
            if parameter not in self._slots:
                self._slots[parameter] = tuple(
                    self._slot(parameter, slot, self.initial_slots.get(slot, 0.0)) for slot in self.slots
                )
                if self._waiting is not None:
                    self._sums[parameter] = self._slot(parameter, "accumulated", 0.0)

    def _slot(self, parameter: Variable, stem: str, initial: float) -> Variable:
        """State of a parameter's shape, in the dtype that it is computed in."""
        shape = [int(s) for s in parameter.type.shape]  # type: ignore[arg-type]
        return self._variable(init.constant(shape, parameter.dtype.computed, value=initial), stem, parameter)

    def _variable(self, initial: np.ndarray | Initial, stem: str, parameter: Variable | None = None) -> Variable:
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

    def _update(self, parameter: Variable, gradient: Tensor, rate: Tensor, due: Tensor | None) -> None:
        """One parameter's step."""
        slots = self._slots[parameter]
        old = cast(as_tensor(parameter), parameter.dtype.computed)
        own_rate = cast(rate, old.dtype)
        decayed, direction = self._decayed(old, gradient, own_rate)
        moved, *rest = self.step(decayed, direction, own_rate, *(as_tensor(s) for s in slots))
        new = (moved if parameter.constraint is None else parameter.constraint(moved), *rest)
        for variable, value in zip((parameter, *slots), new, strict=True):
            keep(variable, cast(value, variable.dtype), due)

    def _decayed(self, parameter: Tensor, gradient: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Parameter and gradient after weight decay."""
        decay, decoupled = self.settings["weight_decay"], self.settings["decoupled"]
        if not decay:
            return parameter, gradient
        if self.style == "keras" if decoupled is None else decoupled:
            return parameter * (1.0 - rate * decay), gradient
        return parameter, gradient + decay * parameter


def in_computed(gradient: Tensor, parameter: Variable) -> tuple[Tensor, Variable]:
    """A pair with the gradient in the dtype that it is computed in: steps on 16-bit parameters are taken in f32."""
    return cast(gradient, gradient.dtype.computed), parameter


def keep(variable: Variable, value: Tensor, due: Tensor | None) -> None:
    """Assign a value, where a step is due."""
    variable.assign(value if due is None else api.where(due, value, as_tensor(variable)))


def checked_settings(name: str, given: Settings) -> Settings:
    """All settings, defaults filled in. Raises `ArgumentError` for unknown ones and values that can't be."""
    for key in given:
        if key not in DEFAULTS:
            raise ArgumentError(f"{name}: takes no {key!r}", site=user_site(), help=f"it has {', '.join(DEFAULTS)}")
    settings: Settings = {**DEFAULTS, **given}
    expect_between(name, 0.0, float("inf"), weight_decay=settings["weight_decay"])
    for limit in (settings["clip_value"], settings["clip_norm"], settings["clip_global_norm"]):
        if limit is not None:
            expect_limit(name, limit)
    if isinstance(settings["accumulate"], bool) or not isinstance(settings["accumulate"], int):
        raise ArgumentError(f"{name}: accumulate={settings['accumulate']!r} is not an integer", site=user_site())
    expect_between(name, 1, float("inf"), accumulate=settings["accumulate"])
    return settings


def expect_rate(name: str, rate: object) -> None:
    """Raise `ArgumentError` unless a learning rate is a real number, a Tensor, a Variable or a Schedule."""
    if isinstance(rate, (Tensor, Variable, Schedule)):
        return
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise ArgumentError(
            f"{name}: learning_rate={rate!r} is not a number",
            site=user_site(),
            help="use a number, a Tensor, a Variable or a schedule of graphc.optim",
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
