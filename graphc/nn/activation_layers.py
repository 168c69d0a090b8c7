"""Activations with parameters, or with chance: layers."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

from graphc import init
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend import api, random
from graphc.frontend.modes import undecided
from graphc.frontend.numbers import is_number, is_within
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.nn.functional import prelu
from graphc.nn.module import Module
from graphc.nn.weights import (
    InitializerLike,
    KernelLayer,
    KernelOptions,
    expect_count,
    parameter_dtype,
    weight,
)
from graphc.sites import user_site

#: What a learnt slope starts with.
QUARTER = partial(init.constant, value=0.25)


class PReLU(Module):
    """x where x > 0, else slope·x, for a learnt `slope` (He et al., 2015): one, or with `per_channel` one for each.

    `slope`, [1] or [channels], starts as 0.25 unless `slope_initializer` says otherwise. Raises `ShapeError` for a
    scalar x with `per_channel`, or one of other channels than the first.

        nn.PReLU(per_channel=True)        # f32[N, 14, 14, 32] -> f32[N, 14, 14, 32], with slope [32]
    """

    def __init__(
        self,
        per_channel: bool = False,
        slope_initializer: InitializerLike = QUARTER,
        name: str | None = None,
    ):
        super().__init__(name)
        self.default_name = "prelu"
        self.per_channel, self.slope_weight = per_channel, weight(slope_initializer)

    def build(self, x: Tensor) -> None:
        if self.per_channel and not x.ndim:
            raise ShapeError("PReLU: a scalar has no channels", operands=[describe("x", x.node)], site=user_site())
        self.slope = self.slope_weight.variable(x.type.shape[-1:] if self.per_channel else (1,), parameter_dtype(x))

    def __call__(self, x: TensorLike) -> Tensor:
        tensor = as_float(x)
        if self.per_channel and tensor.type.shape[-1:] != self.slope.type.shape:
            message = f"PReLU: it has {self.slope.type.shape[0]} slopes, x is {tensor.type}"
            raise ShapeError(message, operands=[describe("x", tensor.node)], site=user_site())
        return prelu(tensor, self.slope if tensor.ndim else api.squeeze(self.slope, 0))


class RReLU(Module):
    """x where x > 0, else slope·x: in training with slopes uniform in [lower, upper), one an element (Xu et al., 2015).

    Otherwise with their mean. Differentiating through it raises `GradientError` where no caller said `training=`.
    Raises `ArgumentError` unless 0 ≤ lower ≤ upper.

        nn.Sequential(nn.Dense(64), nn.RReLU(), nn.Dense(10))
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, name: str | None = None):
        super().__init__(name)
        self.default_name = "rrelu"
        if not (is_number(upper) and is_within(lower, 0, upper)):
            raise ArgumentError(f"RReLU: slopes from {lower!r} to {upper!r}", site=self.site, help="0 ≤ lower ≤ upper")
        self.lower, self.upper = lower, upper

    def __call__(self, x: TensorLike, training: bool | None = None) -> Tensor:
        tensor = as_float(x)
        if training:
            dtype = tensor.dtype.computed
            slopes = random.uniform(tensor.type.shape, None, self.lower, self.upper, dtype)
            return prelu(tensor, slopes.astype(tensor.dtype))
        y = prelu(tensor, (self.lower + self.upper) / 2)
        return y if training is False else undecided(type(self).__name__, y)


class Maxout(KernelLayer):
    """The largest of `pieces` affine maps, for each unit (Goodfellow et al., 2013): [..., inputs] -> [..., units].

    `kernel` is [inputs, pieces · units] and `bias` [pieces · units], one map after the other. Equal ones share the
    gradient. Fans of initial values are those of the whole kernel, as of a `Dense` of so many units with the maximum
    after it. `options` are those of `KernelLayer`. Raises `ArgumentError` for sizes that are none, `ShapeError` for a
    scalar x or one of another width than the first.

        nn.Maxout(32, pieces=3)        # f32[N, 64] -> f32[N, 32]
    """

    def __init__(self, units: int, pieces: int = 2, use_bias: bool = True, **options: Unpack[KernelOptions]):
        super().__init__(None, use_bias, **options)
        expect_count(self, units=units, pieces=pieces)
        self.units, self.pieces = int(units), int(pieces)

    def build(self, x: Tensor) -> None:
        if not x.ndim:
            raise ShapeError("Maxout: a scalar has no last axis", operands=[describe("x", x.node)], site=user_site())
        outputs = self.pieces * self.units
        self.make(x, (x.type.shape[-1], outputs), (outputs,))

    def __call__(self, x: TensorLike) -> Tensor:
        y: Any = self.finish(api.matmul(x, self.kernel))
        return api.max(api.reshape(y, (*y.shape[:-1], self.pieces, self.units)), -2)
