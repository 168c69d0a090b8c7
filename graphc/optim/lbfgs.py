"""L-BFGS: Newton's direction from the last few changes of the gradient (Liu and Nocedal, 1989)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from graphc import init
from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.control import while_loop
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import Recording, current
from graphc.frontend.tensor import Tensor
from graphc.frontend.transforms import gradients, trainable_in
from graphc.frontend.variable import Variable
from graphc.ir.types import DType, i64
from graphc.optim.line_search import Point, strong_wolfe
from graphc.optim.optimizer import claim
from graphc.optim.pairs import expect_parameters_of
from graphc.optim.schedules import Schedule
from graphc.optim.settings import expect_rate
from graphc.optim.state import belonging, kept, static_shape
from graphc.optim.style import expect_between
from graphc.sites import user_site
from graphc.suggest import answering_methods

LineSearch = Literal["strong_wolfe"] | None

#: What a step changes, by the names in the state.
Carry = dict[str, Tensor]


@answering_methods
class LBFGS:
    """Up to `max_iter` steps of L-BFGS on a loss, in one call: for whole data sets and smooth losses, not for batches.

    `minimize` takes the loss as a function of nothing, since it is computed at several values of the parameters. It
    must not assign Variables, and random numbers in it differ from one computation to the next.
    Defaults are PyTorch's but for the line search, which that has only when asked for: η 1, `max_iter` 20, `max_eval`
    1.25·max_iter, the largest element of the gradient that is small enough 1e-7, change of loss and parameters 1e-9,
    100 pairs of changes remembered. Without line search each step has the length η (the first one less).

    State: `lbfgs/learning_rate`, `lbfgs/step` (of all calls) and the memory, `lbfgs/steps` and `lbfgs/changes`
    [history_size, elements] among it.

        lbfgs = optim.LBFGS()

        @program.entry
        def fit(x: gr.f64["N", 3], y: gr.f64["N"]):
            return {"loss before": lbfgs.minimize(lambda: losses.mean_squared_error(net(x)[:, 0], y))}

    Raises `ArgumentError` for settings that can't be.
    """

    def __init__(
        self,
        learning_rate: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search: LineSearch = "strong_wolfe",
        name: str | None = None,
    ):
        expect_rate("LBFGS", learning_rate)
        if isinstance(learning_rate, Schedule):
            raise ArgumentError("LBFGS: the learning rate is a schedule", site=user_site(), help="give a number")
        expect_between("LBFGS", 0.0, math.inf, tolerance_grad=tolerance_grad, tolerance_change=tolerance_change)
        counts = {"max_iter": max_iter, "max_eval": 1 if max_eval is None else max_eval, "history_size": history_size}
        for key, count in counts.items():
            if not is_count(count, 1):
                raise ArgumentError(f"LBFGS: {key}={count!r} is no count", site=user_site(), help="give 1 or more")
        if line_search not in ("strong_wolfe", None):
            raise ArgumentError(
                f"LBFGS: line_search={line_search!r}", site=user_site(), help='it is "strong_wolfe" or None'
            )
        self.name, self.default_name, self.site = name, "lbfgs", user_site()
        self.max_iter, self.history_size, self.line_search = int(max_iter), int(history_size), line_search
        self.max_eval = self.max_iter * 5 // 4 if max_eval is None else int(max_eval)
        self.tolerance_grad, self.tolerance_change = tolerance_grad, tolerance_change
        self._given_rate = learning_rate
        self._rate: Variable | None = None
        self._state: dict[str, Variable] = {}
        self._parameters: list[Variable] | None = None

    def minimize(self, loss: Callable[[], Tensor], params: Sequence[Variable] | None = None) -> Tensor:
        """Take steps for every trainable Variable that the loss depends on, or those given; the loss before them.

        Raises `ArgumentError` where the loss is no function or there is nothing to minimise over, `GradientError`
        where it gives no float scalar, `TraceError` outside an entry, where an optimizer updated a parameter before,
        or where the loss assigns Variables.
        """
        recording = current("an optimizer's step")
        if isinstance(loss, Tensor) or not callable(loss):
            raise ArgumentError(
                "LBFGS computes the loss several times: it takes a function",
                site=user_site(),
                help="lbfgs.minimize(lambda: losses.mean_squared_error(net(x), y))",
            )
        value = as_tensor(loss())
        parameters = expect_parameters_of(trainable_in(value) if params is None else params)
        for parameter in parameters:
            claim(self, recording, parameter)
        flat = Flat(recording, parameters, loss)
        with belonging(recording, self):
            rate = self._prepare(flat)
            gradient = flat.joined(gradients(value, parameters))
            found = self._steps(flat, rate, cast(value, flat.dtype), gradient)
            for name, variable in self._state.items():
                variable.assign(found[name])
            for parameter, new in zip(parameters, flat.parts(found["x"]), strict=True):
                parameter.assign(new if parameter.constraint is None else as_tensor(parameter.constraint(new)))
        return value

    def _steps(self, flat: Flat, rate: Tensor, value: Tensor, gradient: Tensor) -> Carry:
        """Iterate until something says stop."""
        start: Carry = {name: as_tensor(variable) for name, variable in self._state.items()} | {
            "x": flat.joined([as_tensor(p) for p in flat.parameters]), "value": value, "slope": gradient,
            "iteration": as_tensor(0, i64), "evaluations": as_tensor(1, i64),
            "going": largest(gradient) > self.tolerance_grad,
        }  # fmt: skip
        body = iteration_of(self, flat, rate)
        found: Carry = while_loop(lambda carry: carry["going"], body, start)
        return found

    def _prepare(self, flat: Flat) -> Tensor:
        """The learning rate; the state is made at the first use. Raises `ArgumentError` for other parameters later."""
        if self._parameters is None:
            self._parameters, dtype = flat.parameters, flat.dtype
            vector, memory = (flat.size,), (self.history_size, flat.size)
            shapes = {"direction": vector, "gradient": vector, "length": (), "scale": (), "steps": memory,
                      "changes": memory, "weights": (self.history_size,)}  # fmt: skip
            initial = {name: float(name == "scale") for name in shapes}
            self._state = {n: kept(init.constant(s, dtype, value=initial[n]), n, self) for n, s in shapes.items()}
            self._state |= {n: kept(np.zeros((), np.int64), n, self) for n in ("step", "stored")}
            if not isinstance(self._given_rate, Tensor):
                self._rate = kept(np.asarray(self._given_rate, dtype.numpy), "learning_rate", self)
        if list(map(id, self._parameters)) != list(map(id, flat.parameters)):
            raise ArgumentError(
                "the LBFGS remembers changes of other parameters",
                site=user_site(),
                help="make one for each set of them",
            )
        return cast(as_tensor(self._given_rate if self._rate is None else self._rate), flat.dtype)


class Flat:
    """Parameters as one vector, and the loss as a function of it."""

    def __init__(self, recording: Recording, parameters: Sequence[Variable], loss: Callable[[], Tensor]):
        self.recording, self.parameters, self.loss = recording, list(parameters), loss
        self.dtype: DType = max((p.dtype.computed for p in parameters), key=lambda t: t.itemsize)
        self.sizes = [math.prod(static_shape(p)) for p in parameters]
        self.size = sum(self.sizes)

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors of the parameters' shapes as one vector."""
        return api.concat([cast(api.reshape(t, (-1,)), self.dtype) for t in tensors])

    def parts(self, vector: Tensor) -> list[Tensor]:
        """A vector as tensors of the parameters' types."""
        found, at = [], 0
        for parameter, size in zip(self.parameters, self.sizes, strict=True):
            part = api.reshape(vector[at : at + size], parameter.type.shape)
            found.append(cast(part, parameter.dtype))
            at += size
        return found

    def evaluate(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The loss at a vector, and its gradient."""
        values = self.parts(vector)
        with self.recording.replacing({p: v.node for p, v in zip(self.parameters, values, strict=True)}):
            loss = as_tensor(self.loss())
        return cast(loss, self.dtype), self.joined(gradients(loss, values))


def iteration_of(rule: LBFGS, flat: Flat, rate: Tensor) -> Callable[[Carry], Carry]:
    """One iteration: remember the last change, find a direction, go along it, see whether to go on."""

    def iteration(old: Carry) -> Carry:
        memory = remembered(old, rule.history_size)
        gradient = old["slope"]
        direction = newton(memory, -gradient, rule.history_size)
        slope = api.sum(gradient * direction)
        moving = slope <= -rule.tolerance_change
        first = api.minimum(1.0 / api.sum(api.abs(gradient)), 1.0) * rate
        length = api.where(old["step"] == 0, first, rate)
        start = Point(api.zeros_like(length), old["value"], gradient, slope)

        def evaluate(t: Tensor) -> Point:
            value, there = flat.evaluate(old["x"] + t * direction)
            return Point(t, value, there, api.sum(there * direction))

        if rule.line_search is None:
            new, tried = evaluate(length), as_tensor(1, i64)
        else:
            most = rule.max_eval - old["evaluations"]
            width = largest(direction)
            new, tried = strong_wolfe(evaluate, start, length, width, rule.tolerance_change, most, moving)
        count, evaluations = old["iteration"] + 1, old["evaluations"] + tried
        going = (
            moving & (count < rule.max_iter) & (evaluations < rule.max_eval)
            & (largest(new.gradient) > rule.tolerance_grad)
            & (largest(direction * new.t) > rule.tolerance_change)
            & (api.abs(new.value - old["value"]) >= rule.tolerance_change)
        )  # fmt: skip
        return memory | {
            "x": api.where(moving, old["x"] + new.t * direction, old["x"]), "value": new.value, "slope": new.gradient,
            "direction": direction, "gradient": gradient, "length": new.t, "step": old["step"] + 1,
            "iteration": count, "evaluations": evaluations, "going": going,
        }  # fmt: skip

    return iteration


def remembered(old: Carry, history: int) -> Carry:
    """The memory with the last change in the place of the oldest one, where the loss is convex along it."""
    change, step = old["slope"] - old["gradient"], old["direction"] * old["length"]
    product = api.sum(change * step)
    convex = (old["step"] > 0) & (product > 1e-10)
    place = old["stored"] % history

    def put(name: str, value: Tensor) -> Tensor:
        return old[name].at[place].set(api.where(convex, value, old[name][place]))

    scale = api.where(convex, product / api.sum(change * change), old["scale"])
    return {
        "steps": put("steps", step), "changes": put("changes", change), "weights": put("weights", 1.0 / product),
        "stored": old["stored"] + cast(convex, i64), "scale": scale,
    }  # fmt: skip


def newton(memory: Carry, descent: Tensor, history: int) -> Tensor:
    """The inverse Hessian that the memory tells of, times the descent: the recursion in two loops."""
    stored = memory["stored"]
    oldest = api.maximum(stored - history, 0)

    def back(carry: Any) -> Any:
        number, q, shares = carry
        i = (number - 1) % history
        share = api.sum(memory["steps"][i] * q) * memory["weights"][i]
        return number - 1, q - share * memory["changes"][i], shares.at[i].set(share)

    def forth(carry: Any) -> Any:
        number, r = carry
        i = number % history
        share = api.sum(memory["changes"][i] * r) * memory["weights"][i]
        return number + 1, r + (shares[i] - share) * memory["steps"][i]

    start = stored, descent, api.zeros_like(memory["weights"])
    _, q, shares = while_loop(lambda carry: carry[0] > oldest, back, start)
    direction: Tensor = while_loop(lambda carry: carry[0] < stored, forth, (oldest, q * memory["scale"]))[1]
    return direction


def largest(vector: Tensor) -> Tensor:
    """The largest magnitude of a vector's elements."""
    return api.max(api.abs(vector))
