"""Exponential moving averages of parameters: a network to evaluate that follows the one in training smoothly."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from graphc.errors import ArgumentError, Operand, TraceError
from graphc.frontend import api
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import current
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Variable
from graphc.nn.module import Module
from graphc.optim.adam import correction
from graphc.optim.groups import Parameters, expect_parameters, variables_of
from graphc.optim.means import running_mean
from graphc.optim.state import belonging, kept, slot
from graphc.optim.style import expect_between
from graphc.sites import user_site
from graphc.suggest import answering_methods


@answering_methods
class EMA:
    """ē ← d·ē + (1 − d)·θ for the trainable Variables of a network, layers or a list of these.

    The averages are state below their parameters, `dense/kernel/ema`, f32 where those have 16 bits. The first update
    copies the parameters (PyTorch's `AveragedModel` with `get_ema_multi_avg_fn(d)`); with `debias` averages start at
    zero and are divided by 1 − dᵗ when they are used (Optax's `ema`). Before any update they are the parameters.
    `name` stands for `ema`. Raises `ArgumentError` for a decay outside [0, 1) and for what has no parameters.

        ema = optim.EMA(net, decay=0.999)

        @program.entry
        def train_step(x: gr.f32["N", 64], y: gr.i32["N"]):
            opt.minimize(losses.sparse_softmax_cross_entropy(net(x, training=True), y))
            ema.update()

        @program.entry
        def predict(x: gr.f32["N", 64]):
            return ema(x)
    """

    def __init__(self, parameters: Parameters, decay: float = 0.999, *, debias: bool = False, name: str | None = None):
        expect_parameters("EMA", parameters)
        expect_between("EMA", 0.0, 1.0, decay=decay)
        self.parameters, self.decay, self.debias = parameters, decay, debias
        self.name, self.default_name, self.site = name, "ema", user_site()
        self._count: Variable | None = None
        self._averages: dict[Variable, Variable] = {}

    def update(self) -> None:
        """Move the averages towards the parameters' newest values, after the optimizer's step.

        Raises `TraceError` outside an entry and before the network is built.
        """
        recording = current("ema.update()")
        averages, count = self._prepared()
        with belonging(recording, self):
            for parameter, average in averages.items():
                old, new = as_tensor(average), cast(as_tensor(parameter), average.dtype)
                moved = running_mean(old, new, self.decay)
                average.assign(moved if self.debias else api.where(count == 0, new, moved))
            count.assign(count + 1)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the parameters have their averages for values: `with ema.averaged(): y = net(x)`.

        What is assigned to them there is dropped. Raises as `update` does.
        """
        recording = current("ema.averaged()")
        averages, count = self._prepared()
        with belonging(recording, self):
            values = {p: self._value(p, average, count) for p, average in averages.items()}
        return recording.replacing({p: v.node for p, v in values.items()})

    def __call__(self, *inputs: Any, training: bool | None = None) -> Any:
        """The network with averaged parameters, built if it is not yet. Raises `ArgumentError` where it is no layer."""
        network = self.parameters
        if not isinstance(network, Module):
            raise ArgumentError(
                "the EMA is of parameters, not of a network that can be called",
                site=user_site(),
                help="with ema.averaged(): call what you like",
            )
        if not network.built:
            network.build(*(as_tensor(x).type for x in inputs))
        with self.averaged():
            return network(*inputs, training=training)

    def _value(self, parameter: Variable, average: Variable, count: Tensor) -> Tensor:
        """What a parameter is on average; itself before there is one."""
        mean = as_tensor(average)
        if self.debias:
            mean = mean / correction(self.decay, cast(api.maximum(count, 1), average.dtype))
        return api.where(count == 0, as_tensor(parameter), cast(mean, parameter.dtype))

    def _prepared(self) -> tuple[dict[Variable, Variable], Variable]:
        """The averages by parameter, and the count of updates, made at first use."""
        trainable = [v for v in variables_of(self.parameters) if v.trainable]
        if not trainable:
            raise TraceError(
                "there is nothing to average: the layers have no parameters yet",
                operands=[Operand("ema", self.name or self.default_name, self.site)],
                site=user_site(),
                help='update it after the network is called, or build that first: net.build(gr.f32["N", 64])',
            )
        if self._count is None:
            self._count = kept(np.zeros((), np.int64), "step", self)
        for parameter in trainable:
            if parameter not in self._averages:
                self._averages[parameter] = slot(parameter, self.name or self.default_name)
        return self._averages, self._count
