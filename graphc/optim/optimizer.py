"""The base of optimizers: gradients paired with parameters, slots in the state, the learning rate as a scalar of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, Unpack

import numpy as np

from graphc.errors import ArgumentError, InternalError, Operand, TraceError
from graphc.frontend import api
from graphc.frontend.numbers import is_number
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import Recording, current
from graphc.frontend.tensor import Tensor
from graphc.frontend.transforms import gradients, trainable_in
from graphc.frontend.variable import Variable
from graphc.ir.types import DType, i64
from graphc.nn.arguments import constructing
from graphc.optim.clipping import clip_by_global_norm, clip_by_norm, clip_by_value
from graphc.optim.groups import Group
from graphc.optim.pairs import Pairs, expect_pair, expect_pairs, expect_parameters_of, in_computed
from graphc.optim.schedules import Schedule
from graphc.optim.settings import Rate, Settings, checked_settings, expect_rate, expect_scalar_rate
from graphc.optim.state import belonging, kept, slot
from graphc.optim.style import Style, expect_style
from graphc.optim.theirs import ATTRIBUTES, advice
from graphc.sites import user_site
from graphc.suggest import answering_methods, missing_attribute

T = TypeVar("T")
#: Of optimizers, those of users too: an `__init__` that answers what it does not take.
constructor = constructing(advice)


@answering_methods
class Optimizer:
    """An update rule. A subclass lists its `slots` and states `step`, one parameter's update, as a pure function.

    State, below the optimizer's name (`adam`, numbered within a Program, or `name`): `adam/learning_rate`, and
    `adam/step` where the rule counts. Slots stand below their parameter: `dense/kernel/adam/m`.
    A learning rate that is a number is such state, which Python and C may write; a Tensor or Variable is used as it
    is; a `Schedule` is computed from the number of the step.
    A group of parameters with settings of its own has a rule of its own, which shares the number of the step.

    Arguments of all: `name=None`; `style="torch"`, or "keras", "optax": whose form and whose defaults; and those of
    `Settings`. Raises `ArgumentError` for settings that can't be.

        class Sign(optim.Optimizer):
            def step(self, parameter, gradient, rate):
                return (parameter - rate * gr.sign(gradient),)
    """

    #: Names of the values kept for each parameter, of its type.
    slots: tuple[str, ...] = ()
    #: What slots start with, where that is not zero.
    initial_slots: Mapping[str, float] = {}
    #: Names of scalars that the optimizer keeps, and what they start with.
    scalars: Mapping[str, float] = {}
    #: Whether the rule depends on the number of the step.
    counts: bool = False

    def __new__(cls, *args: Any, **options: Any) -> Self:
        optimizer = super().__new__(cls)
        optimizer._given = args, options
        return optimizer

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            cls.__init__ = constructor(cls.__dict__["__init__"])  # type: ignore[method-assign]

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    if not TYPE_CHECKING:  # type checkers know what an optimizer has

        def __getattr__(self, name: str) -> Any:
            raise missing_attribute(self, name, ATTRIBUTES)

    @constructor
    def __init__(
        self, learning_rate: Rate, name: str | None = None, *, style: Style = "torch", **settings: Unpack[Settings]
    ):
        own = type(self).__name__
        expect_rate(own, learning_rate)
        expect_style(own, style)
        self.name, self.default_name, self.site, self.style = name, own.lower(), user_site(), style
        self.settings = checked_settings(own, settings)
        self.counts = self.counts or isinstance(learning_rate, Schedule)
        self._given_rate = learning_rate
        self._whole: Optimizer = self  # what a group's rule is part of
        self._rated: Optimizer = self  # whose learning rate it is
        self._rate: Variable | None = None
        self._count: Variable | None = None
        self._waiting: Variable | None = None
        self._scalars: dict[str, Variable] = {}
        self._slots: dict[Variable, tuple[Variable, ...]] = {}
        self._sums: dict[Variable, Variable] = {}
        self._number: Tensor | None = None  # of the step that is being traced
        self._shared: dict[object, Any] = {}
        self._advanced: Mapping[str, Tensor] = {}
        self._rules = {g: self._rule_for(g) for g in self.settings["groups"] if not g.frozen}

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
        """(gradient, Variable) for every trainable Variable that a loss depends on, or those given; none that's frozen.

        Raises `GradientError` where the loss is no float scalar, `ArgumentError` where it is a function, where there is
        nothing to minimise over, or a parameter is no Variable.
        """
        if callable(loss) and not isinstance(loss, Tensor):
            raise ArgumentError(
                f"{self.default_name}: the loss is a function",
                site=user_site(),
                help="call it and minimise what it gives; optim.LBFGS is the one that takes functions",
            )
        given = trainable_in(as_tensor(loss)) if params is None else params
        chosen = expect_parameters_of(given, lambda p: self._rule(p) is not None)
        return list(zip(gradients(loss, chosen), chosen, strict=True))

    def apply_gradients(self, pairs: Pairs, learning_rate: Rate | None = None) -> None:
        """Assign every parameter its update; a gradient has its parameter's type. What is frozen stays as it is.

        Raises `TraceError` where an optimizer did so before in this entry, `ArgumentError` for what are no pairs of
        a gradient and a Variable, `ShapeError` and `DTypeError` for a gradient that is not of its Variable's shape or
        no float.
        """
        recording = current("an optimizer's step")
        if is_number(learning_rate):
            expect_rate(type(self).__name__, learning_rate)
        given = [in_computed(*expect_pair(pair)) for pair in expect_pairs(pairs)]
        if not given:
            raise ArgumentError("apply_gradients: no pairs", site=user_site())
        steps = [Step(rule, g, p) for g, p in given if (rule := self._rule(p)) is not None]
        if not steps:
            return
        self._prepare(steps)
        rules = list(dict.fromkeys(step.rule for step in steps))
        with belonging(recording, self):
            self._begin(recording, rules)
            rates = {rule: rule._rate_of(learning_rate) for rule in rules}
            due, averaged = self._accumulated(steps)
            self._count_step(due, rules)
            for rule, gradient, parameter in self._clipped(averaged):
                claim(self, recording, parameter)
                rule._update(parameter, gradient, rates[rule], due)

    def count(self, dtype: DType) -> Tensor:
        """The number of this step, from 1, as a float scalar; for rules that set `counts`."""
        whole = self._whole
        if whole._count is None:
            raise InternalError(f"{type(self).__name__} reads the number of the step but does not set `counts`")
        if whole._number is None:
            whole._number = whole._count + 1
        return cast(whole._number, dtype)

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

    def _rule_for(self, group: Group) -> Optimizer:
        """An optimizer like this one, with a group's settings."""
        rule = type(self)(**group.arguments(type(self), *self._given))
        rule.name, rule.default_name, rule.site, rule._whole = group.name, "group", group.site, self
        rule._rated = rule if "learning_rate" in group.overrides else self
        self.counts = self.counts or rule.counts
        return rule

    def _rule(self, parameter: Variable) -> Optimizer | None:
        """What updates a parameter; None for a frozen one."""
        for group in self.settings["groups"]:
            if parameter in group:
                return self._rules.get(group)
        return self

    def _begin(self, recording: Recording, rules: Iterable[Optimizer]) -> None:
        """Forget the step before; rules of groups have their names below this one's."""
        self._number = None
        for rule in rules:
            rule._shared.clear()
            recording.names.path(rule, recording.path)

    def _accumulated(self, steps: Sequence[Step]) -> tuple[Tensor | None, Sequence[Step]]:
        """Whether this call takes a step (None: each one does), and the gradients it takes it along."""
        every = self.settings["accumulate"]
        if self._waiting is None:
            return None, steps
        waiting = self._waiting + 1
        due = waiting >= every
        self._waiting.assign(api.where(due, 0, waiting))
        means = []
        for rule, gradient, parameter in steps:
            total = self._sums[parameter] + gradient
            self._sums[parameter].assign(api.where(due, 0.0, total))
            means.append(Step(rule, total / every, parameter))
        return due, means

    def _clipped(self, steps: Sequence[Step]) -> Sequence[Step]:
        """The gradients within the limits that are set: a group's own, then that of all together."""
        found = [step.rule._clipped_alone(step.gradient) for step in steps]
        if self.settings["clip_global_norm"] is not None:
            found = clip_by_global_norm(found, self.settings["clip_global_norm"], self.style)
        return [step._replace(gradient=gradient) for step, gradient in zip(steps, found, strict=True)]

    def _clipped_alone(self, gradient: Tensor) -> Tensor:
        """A gradient within the limits of its elements and of its own norm."""
        if self.settings["clip_value"] is not None:
            (gradient,) = clip_by_value([gradient], self.settings["clip_value"])
        if self.settings["clip_norm"] is not None:
            (gradient,) = clip_by_norm([gradient], self.settings["clip_norm"], self.style)
        return gradient

    def _count_step(self, due: Tensor | None, rules: Iterable[Optimizer]) -> None:
        """The number of this step, and the scalars that change with it."""
        if self._count is not None:
            keep(self._count, self.count(i64), due)
        for rule in rules:
            old = {name: as_tensor(variable) for name, variable in rule._scalars.items()}
            rule._advanced = {**old, **rule.advance(old)}
            for name, variable in rule._scalars.items():
                keep(variable, rule._advanced[name], due)

    def _rate_of(self, given: Rate | None) -> Tensor:
        """The rate of one step: a group's own, else the one given for the step, else the optimizer's."""
        own, whole = self._rated, self._whole
        if given is None or own is not whole:
            given = own._given_rate if own._rate is None else own._rate
        if isinstance(given, Schedule):
            if not whole.counts:
                raise ArgumentError(
                    f"{whole.default_name}: a schedule for one step, where the optimizer does not count its steps",
                    site=user_site(),
                    help="give the schedule to the optimizer itself",
                )
            given = given(self.count(self._dtype) - 1.0)
        rate = as_tensor(given)
        expect_scalar_rate(whole.default_name, rate)
        return rate

    def _prepare(self, steps: Sequence[Step]) -> None:
        """Create the optimizer's own state at its first use; its scalars have the widest dtype of the parameters."""
        dtype = max((s.parameter.dtype.computed for s in steps), key=lambda t: t.itemsize)
        for rule in dict.fromkeys(s.rule for s in steps):
            rule._rated._prepare_rate(dtype)
            rule._prepare_scalars(dtype)
        if self._count is None and self.counts:
            self._count = kept(np.zeros((), np.int64), "step", self)
        if self._waiting is None and self.settings["accumulate"] > 1:
            self._waiting = kept(np.zeros((), np.int64), "waiting", self)
        for rule, _, parameter in steps:
            if parameter not in rule._slots:
                rule._slots[parameter] = tuple(
                    slot(parameter, name, self, initial=rule.initial_slots.get(name, 0.0)) for name in rule.slots
                )
                if self._waiting is not None:
                    self._sums[parameter] = slot(parameter, "accumulated", self)

    def _prepare_rate(self, dtype: DType) -> None:
        """Create the learning rate, where it is state."""
        if self._rate is None and not isinstance(self._given_rate, (Tensor, Schedule)):
            self._rate = kept(np.asarray(self._given_rate, dtype.numpy), "learning_rate", self)

    def _prepare_scalars(self, dtype: DType) -> None:
        """Create the scalars of a rule."""
        self._dtype = dtype
        for name, initial in self.scalars.items():
            if name not in self._scalars:
                self._scalars[name] = kept(np.asarray(initial, dtype.numpy), name, self)

    def _update(self, parameter: Variable, gradient: Tensor, rate: Tensor, due: Tensor | None) -> None:
        """One parameter's step."""
        slots = self._slots[parameter]
        old = cast(as_tensor(parameter), parameter.dtype.computed)
        own_rate = cast(rate, old.dtype)
        decayed, direction = self._decayed(old, gradient, own_rate)
        moved, *rest = self.step(decayed, direction, own_rate, *(as_tensor(s) for s in slots))
        new = (moved if parameter.constraint is None else as_tensor(parameter.constraint(moved)), *rest)
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


class Step(NamedTuple):
    """One parameter's part of a step: what updates it, along which gradient."""

    rule: Optimizer
    gradient: Tensor
    parameter: Variable


def keep(variable: Variable, value: Tensor, due: Tensor | None) -> None:
    """Assign a value, where a step is due."""
    variable.assign(value if due is None else api.where(due, value, as_tensor(variable)))


def claim(optimizer: object, recording: Recording, parameter: Variable) -> None:
    """Raise `TraceError` where an optimizer updated the parameter before in this entry."""
    if parameter in recording.optimized:
        _, site = recording.optimized[parameter]
        raise TraceError(
            f"{recording.names.variable(parameter)} is updated twice by optimizers in one entry",
            operands=[Operand("first", recording.names.variable(parameter), site)],
            site=user_site(),
            help="give each optimizer its own params=, or add the losses",
        )
    recording.optimized[parameter] = optimizer, user_site()
