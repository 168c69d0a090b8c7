"""Layers that normalise: with scale and bias of their own, and running averages where the batch takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, TypedDict, Unpack

from graphc import init
from graphc.errors import ArgumentError, AxisError, ShapeError
from graphc.frontend import api
from graphc.frontend.modes import undecided
from graphc.frontend.numbers import is_number, is_within
from graphc.frontend.promotion import cast
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float, count, normal_axes
from graphc.frontend.size import Size
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.variable import Variable
from graphc.nn.module import Module
from graphc.nn.normalization import batch_norm, group_norm, instance_norm, layer_norm, moments, rms_norm
from graphc.nn.weights import InitializerLike, expect_count, parameter_dtype, weight
from graphc.sites import user_site


class NormOptions(TypedDict, total=False):
    """The keyword arguments that layers which normalise take: see `Normalization`."""

    use_scale: bool
    use_bias: bool
    scale_initializer: InitializerLike
    bias_initializer: InitializerLike
    name: str | None


class Normalization(Module):
    """The base of layers that normalise, with `scale` and `bias`. They take these keyword arguments:

    `use_scale=True`, `use_bias=True`: whether they are there; `scale_initializer="ones"`, `bias_initializer="zeros"`:
    what they start with; `name=None`. Both have the dtype of the first x, f32 where that is no float.
    """

    #: The axes that x has at least.
    least_axes: ClassVar[int] = 2

    scale: Variable | None = None
    bias: Variable | None = None

    def __init__(
        self,
        *,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_initializer: InitializerLike = "ones",
        bias_initializer: InitializerLike = "zeros",
        name: str | None = None,
    ):
        super().__init__(name)
        self.use_scale, self.use_bias = use_scale, use_bias
        self.scale_weight, self.bias_weight = weight(scale_initializer), weight(bias_initializer)

    def shape(self, x: Tensor) -> Sequence[Size]:
        """The shape of scale and bias."""
        return (x.type.shape[-1],)

    def build(self, x: Tensor) -> None:
        if x.ndim < self.least_axes:
            message = f"{type(self).__name__}: takes {self.least_axes} axes or more, x is {x.type}"
            raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
        self.sizes = tuple(self.shape(x))
        if self.use_scale:
            self.scale = self.scale_weight.variable(self.sizes, parameter_dtype(x))
        if self.use_bias:
            self.bias = self.bias_weight.variable(self.sizes, parameter_dtype(x))

    def fitting(self, x: TensorLike) -> Tensor:
        """x, as floats. Raises `ShapeError` where its sizes are not those that the parameters were made for."""
        tensor = as_float(x)
        if tensor.ndim >= self.least_axes and tuple(self.shape(tensor)) == self.sizes:
            return tensor
        raise ShapeError(
            f"{type(self).__name__}: its parameters are ({', '.join(map(str, self.sizes))}), x is {tensor.type}",
            operands=[describe("x", tensor.node)],
            site=user_site(),
            help="it was first called on other sizes: use one layer for each",
        )


def checked_eps(layer: Module, eps: float) -> float:
    """What variances are enlarged by. Raises `ArgumentError` where it is no number, or below 0."""
    if is_number(eps) and eps >= 0:
        return eps
    raise ArgumentError(f"{type(layer).__name__}: eps={eps!r} is not a number of at least 0", site=layer.site)


class BatchStyle(NamedTuple):
    """What a library does by default."""

    momentum: float
    eps: float
    unbiased: bool


BATCH_STYLES = {"torch": BatchStyle(0.9, 1e-5, True), "keras": BatchStyle(0.99, 1e-3, False)}


class BatchNorm(Normalization):
    """(x − mean) / √(variance + ε)·scale + bias for each channel, the last axis (Ioffe and Szegedy, 2015).

    In training mean and variance are those of the batch, over all axes but the last, and `mean` and `variance`,
    [channels] each, which are not trainable, become m·old + (1 − m)·the batch's, for m = `momentum` (the rate at which
    the old is kept: PyTorch's argument is 1 − m). Otherwise these are used. They are f32 or wider.

    `style="torch"`, the default: m = 0.9, ε = 1e-5, and the batch's variance joins the average times n / (n − 1), of n
    elements a channel; a batch of one counts with n − 1 = 1, one of none changes nothing. `style="keras"`: m = 0.99,
    ε = 1e-3, and the variance as it is. Differentiating through it raises `GradientError` where no caller said
    `training=`; see `Module.trainable` for fine-tuning. Raises `ShapeError` for an x of one axis, or of other channels.

        nn.Sequential(nn.Conv2D(32, 3, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
    """

    def __init__(
        self,
        *,
        momentum: float | None = None,
        eps: float | None = None,
        style: Literal["torch", "keras"] = "torch",
        **options: Unpack[NormOptions],
    ):
        super().__init__(**options)
        if style not in BATCH_STYLES:
            raise ArgumentError(f"BatchNorm: style={style!r}", site=self.site, help=", ".join(BATCH_STYLES))
        usual = BATCH_STYLES[style]
        self.eps = checked_eps(self, usual.eps if eps is None else eps)
        self.momentum = usual.momentum if momentum is None else momentum
        if not is_within(self.momentum, 0, 1):
            raise ArgumentError(
                f"BatchNorm: momentum={momentum!r} is not in [0, 1]",
                site=self.site,
                help="the rate at which the old average is kept, such as 0.9",
            )
        self.unbiased = usual.unbiased

    def build(self, x: Tensor) -> None:
        super().build(x)
        dtype = parameter_dtype(x).computed
        self.mean = Variable(init.zeros(self.sizes, dtype), trainable=False)  # type: ignore[arg-type]
        self.variance = Variable(init.ones(self.sizes, dtype), trainable=False)  # type: ignore[arg-type]

    def __call__(self, x: TensorLike, training: bool | None = None) -> Tensor:
        tensor = self.fitting(x)
        if not training:
            y = self.normalised(tensor, self.mean, self.variance)
            return y if training is False else undecided(type(self).__name__, y)
        wide = cast(tensor, tensor.dtype.computed)
        mean, variance = moments(wide, tuple(range(wide.ndim - 1)))
        self.average(wide, mean, variance)
        return cast(self.normalised(wide, mean, variance), tensor.dtype)

    def normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """x normalised by mean and variance."""
        return batch_norm(x, mean, variance, self.scale, self.bias, self.eps)

    def average(self, x: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Have the running averages follow a batch's."""
        elements = count(x, tuple(range(x.ndim - 1)))
        if self.unbiased:
            variance = variance * (elements / api.maximum(elements - 1.0, 1.0))
        for running, value in ((self.mean, mean), (self.variance, variance)):
            new = self.momentum * running + (1.0 - self.momentum) * cast(value, running.dtype)
            running.assign(api.where(elements > 0, new, running))


class LayerNorm(Normalization):
    """(x − mean) / √(variance + ε)·scale + bias over one or more axes, the last by default (Ba et al., 2016).

    `scale` and `bias` have the sizes of these axes, and 1 for others behind the first of them. Raises `AxisError` for
    axes that x does not have.

        nn.LayerNorm()        # f32[N, T, 64] -> f32[N, T, 64], with scale and bias [64]
    """

    least_axes: ClassVar[int] = 1

    def __init__(self, axis: int | Sequence[int] = -1, *, eps: float = 1e-5, **options: Unpack[NormOptions]):
        super().__init__(**options)
        self.eps = checked_eps(self, eps)
        self.axis = axis

    def shape(self, x: Tensor) -> Sequence[Size]:
        try:
            axes = normal_axes(x, self.axis)
        except AxisError as error:
            message = f"LayerNorm: {error.message}"
            help = "nn.LayerNorm() is over the last axis, whose size is read off x; axis= says which others"
            raise AxisError(message, operands=error.operands, site=error.site, help=help) from None
        return [x.type.shape[i] if i in axes else 1 for i in range(axes[0], x.ndim)]

    def __call__(self, x: TensorLike) -> Tensor:
        return layer_norm(self.fitting(x), self.scale, self.bias, self.axis, self.eps)


class RMSNorm(Normalization):
    """x / √(mean(x²) + ε)·scale along the last axis (Zhang and Sennrich, 2019).

    ε is the dtype's epsilon by default, as in PyTorch. With `use_bias=True` there is a bias, too.

        nn.RMSNorm()        # f32[N, T, 64] -> f32[N, T, 64], with scale [64]
    """

    least_axes: ClassVar[int] = 1

    def __init__(self, *, eps: float | None = None, **options: Unpack[NormOptions]):
        options.setdefault("use_bias", False)
        super().__init__(**options)
        self.eps = None if eps is None else checked_eps(self, eps)

    def __call__(self, x: TensorLike) -> Tensor:
        y = rms_norm(self.fitting(x), self.scale, eps=self.eps)
        return y if self.bias is None else y + self.bias


class GroupNorm(Normalization):
    """Each sample standardised by groups of channels, then ·scale + bias (Wu and He, 2018): see `nn.group_norm`.

    Raises `ShapeError` where the channels do not divide into so many groups.

        nn.GroupNorm(8)        # f32[N, 16, 16, 32] -> f32[N, 16, 16, 32], with scale and bias [32]
    """

    def __init__(self, groups: int = 32, *, eps: float = 1e-5, **options: Unpack[NormOptions]):
        super().__init__(**options)
        self.eps = checked_eps(self, eps)
        expect_count(self, groups=groups)
        self.groups = int(groups)

    def __call__(self, x: TensorLike) -> Tensor:
        return group_norm(self.fitting(x), self.groups, self.scale, self.bias, self.eps)


class InstanceNorm(Normalization):
    """Each channel of each sample standardised over its spatial axes, then ·scale + bias (Ulyanov et al., 2016).

        nn.InstanceNorm()        # f32[N, 16, 16, 32] -> f32[N, 16, 16, 32], with scale and bias [32]
    """

    least_axes: ClassVar[int] = 3

    def __init__(self, *, eps: float = 1e-5, **options: Unpack[NormOptions]):
        super().__init__(**options)
        self.eps = checked_eps(self, eps)

    def __call__(self, x: TensorLike) -> Tensor:
        return instance_norm(self.fitting(x), self.scale, self.bias, self.eps)
