"""The network behind an estimator: what it is made from, its program, and its state, which is all that is pickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc import losses, nn, optim, train
from graphc.errors import ArgumentError
from graphc.frontend.program import Program
from graphc.ir.node import Array
from graphc.ir.types import FROM_NUMPY, i32
from graphc.optim.optimizer import Optimizer
from graphc.sites import user_site

if TYPE_CHECKING:
    from graphc.frontend.tensor import Tensor
    from graphc.nn.module import Module
    from graphc.optim.schedules import Schedule
    from graphc.runtime.load import Compiled

#: Optimizers by name: every class of `graphc.optim`, in lower case.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    name.lower(): value
    for name, value in vars(optim).items()
    if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
}
#: What regressors may minimise.
REGRESSION_LOSSES: dict[str, Callable[..., Tensor]] = {
    "squared_error": losses.mean_squared_error,
    "absolute_error": losses.mean_absolute_error,
    "huber": losses.huber,
}


@dataclass(frozen=True)
class Plan:
    """All that a program is made from; the arrays that it meets have `dtype`."""

    features: int
    outputs: int
    dtype: str
    network: Callable[[int], Module] | None
    hidden: tuple[int, ...]
    activation: Any
    dropout: float
    optimizer: str | Callable[..., Optimizer]
    learning_rate: float | Schedule
    weight_decay: float
    loss: str

    def net(self) -> Module:
        """The network, whose last layer has as many outputs as are wanted."""
        if self.network is not None:
            return self.network(self.outputs)
        layers: list[Module] = []
        for units in self.hidden:
            layers.append(nn.Dense(units, activation=self.activation))
            layers += [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(*layers, nn.Dense(self.outputs))

    def program(self) -> Program:
        """The entries `predict(x)`, `train_step(x, y, weights)` and `evaluate(x, y, weights)`."""
        number = FROM_NUMPY[np.dtype(self.dtype)]
        x_type, weights_type = number["N", self.features], number["N"]
        classes = self.loss not in REGRESSION_LOSSES
        y_type = i32["N"] if classes else number["N", self.outputs]
        loss_of = losses.sparse_softmax_cross_entropy if classes else REGRESSION_LOSSES[self.loss]

        def judged(prediction: Tensor, y: Tensor, weights: Tensor) -> Tensor:
            if prediction.type.shape[1:] != (self.outputs,):
                raise ArgumentError(
                    f"the network gives {prediction.type}, wanted are {self.outputs} outputs a row",
                    site=user_site(),
                    help="network= is a function of the number of outputs: lambda n: nn.Sequential(…, nn.Dense(n))",
                )
            return loss_of(prediction, y, weights=weights)

        return train.supervised(
            self.net(), x_type, y_type, loss=judged, optimizer=self.made_optimizer(), weights=weights_type,
            activation=nn.softmax if classes else None, name="estimator",
        )  # fmt: skip

    def made_optimizer(self) -> Optimizer:
        """The optimizer, by name or made by the user's function."""
        decay = {"weight_decay": self.weight_decay} if self.weight_decay else {}
        make = OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        return make(self.learning_rate, **decay)


class Network:
    """A plan's compiled program. Pickled are the plan and the state; the code is made again when it is used."""

    def __init__(self, plan: Plan, values: Mapping[str, Array] | None = None):
        self.plan, self._values = plan, values

    @cached_property
    def compiled(self) -> Compiled:
        """The program over its state."""
        compiled = self.plan.program().compile()
        if self._values is not None:
            compiled.state.update(self._values)
        return compiled

    def __getstate__(self) -> dict[str, Any]:
        return {"plan": self.plan, "_values": self.compiled.state.copy()}
