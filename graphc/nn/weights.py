"""Parameters of layers: how they start, what they cost, what they are kept to; and layers with a kernel and a bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypedDict

from graphc import init
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.numbers import is_count, is_number
from graphc.frontend.size import Size
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Variable
from graphc.ir.types import DType, f32
from graphc.nn import functional
from graphc.nn.constraints import Constraint, constraint_function
from graphc.nn.module import Module
from graphc.nn.regularizers import Regularizer, regularizer_function
from graphc.sites import user_site
from graphc.suggest import nearest

ActivationLike: TypeAlias = str | Callable[[Any], Tensor] | None
InitializerLike: TypeAlias = str | init.Initializer
RegularizerLike: TypeAlias = str | Regularizer | None
ConstraintLike: TypeAlias = str | Constraint | None

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    name: getattr(functional, name)
    for name in functional.__all__
    if name not in ("identity", "logsumexp", "one_hot", "prelu", "rsqrt", "threshold")
}
ACTIVATIONS["linear"] = functional.identity

#: Where functions are from that are given for a parameter, by the argument that takes them.
HOMES = {
    "graphc.init": "kernel_initializer",
    "graphc.nn.constraints": "kernel_constraint",
    "graphc.nn.regularizers": "kernel_regularizer",
}


def activation_function(activation: ActivationLike) -> Callable[[Tensor], Tensor] | None:
    """An activation by name, as a function, or None for none."""
    if activation is None or callable(activation):
        expect_function(activation)
        return activation
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    near = nearest(activation, ACTIVATIONS) if isinstance(activation, str) else None
    help = f"did you mean {near!r}?" if near else ", ".join(sorted(ACTIVATIONS))
    if not isinstance(activation, str):
        help = "a name, such as 'relu', or a function; the size of inputs is left out, it is read off the first x"
    raise ArgumentError(f"no activation {activation!r}", site=user_site(), help=help)


def expect_function(activation: object) -> None:
    """Raise `ArgumentError` where what is for a parameter was given as the activation, or a layer's class."""
    if isinstance(activation, type):
        message = f"the activation is the class {activation.__name__}"
        raise ArgumentError(message, site=user_site(), help=f"give one of it: nn.{activation.__name__}()")
    home = getattr(getattr(activation, "func", activation), "__module__", "")
    if home in HOMES:
        message = f"the activation is a function of {home.removeprefix('graphc.')}"
        raise ArgumentError(message, site=user_site(), help=f"give {HOMES[home]}=, by name")


class Weight(NamedTuple):
    """What a layer knows of a parameter before there is an x: initial values, penalty, constraint."""

    initializer: init.Initializer
    regularizer: Regularizer | None
    constraint: Constraint | None

    def variable(self, shape: Sequence[Size], dtype: DType) -> Variable:
        """The parameter itself. Raises `ShapeError` for a symbolic shape, and where initial values have another."""
        initial = self.initializer(shape, dtype)  # type: ignore[arg-type]  # a Variable refuses symbols, with words
        variable = Variable(initial, constraint=self.constraint, regularizer=self.regularizer)
        if variable.type.shape != tuple(shape):
            raise ShapeError(
                f"the initialiser gave {variable.type} for a parameter of shape ({', '.join(map(str, shape))})",
                site=user_site(),
                help="it is called with the shape and the dtype, and gives values of both",
            )
        return variable


def weight(
    initializer: InitializerLike, regularizer: RegularizerLike = None, constraint: ConstraintLike = None
) -> Weight:
    """A `Weight` of functions or their names. Raises `ArgumentError` for a name that is none."""
    return Weight(init.get(initializer), regularizer_function(regularizer), constraint_function(constraint))


def parameter_dtype(x: Tensor) -> DType:
    """The dtype of the parameters of a layer that is first called with x: x's, f32 where x is no float."""
    return x.dtype if x.dtype.is_float else f32


def expect_count(layer: Module, **arguments: Any) -> None:
    """Raise `ArgumentError` unless arguments are positive integers."""
    for name, value in arguments.items():
        if not is_count(value, 1):
            raise ArgumentError(
                f"{type(layer).__name__}: {name}={value!r} is not a positive integer", site=layer.site
            )


def expect_probability(layer: Module, **arguments: Any) -> None:
    """Raise `ArgumentError` unless arguments are numbers of [0, 1)."""
    for name, value in arguments.items():
        if not (is_number(value) and 0 <= value < 1):
            raise ArgumentError(
                f"{type(layer).__name__}: {name}={value!r} is not in [0, 1)",
                site=layer.site,
                help="a probability: the share that is dropped, such as 0.1",
            )


class KernelOptions(TypedDict, total=False):
    """The keyword arguments that all layers with a kernel take: see `KernelLayer`."""

    kernel_initializer: InitializerLike
    bias_initializer: InitializerLike
    kernel_regularizer: RegularizerLike
    bias_regularizer: RegularizerLike
    kernel_constraint: ConstraintLike
    bias_constraint: ConstraintLike
    name: str | None


class KernelLayer(Module):
    """The base of layers with `kernel`, `bias` and `activation`. They take these keyword arguments:

    `kernel_initializer="glorot_uniform"`, `bias_initializer="zeros"`: names or functions of `graphc.init`;
    `kernel_regularizer=None`, `bias_regularizer=None`: names or functions, such as `nn.L2(1e-4)`, for `net.penalty()`;
    `kernel_constraint=None`, `bias_constraint=None`: names or functions, such as `nn.MaxNorm(3.0)`, which optimizers
    apply after each update; `name=None`. Parameters have the dtype of the first x, f32 where that is no float.
    """

    kernel: Variable
    bias: Variable

    def __init__(
        self,
        activation: ActivationLike,
        use_bias: bool,
        *,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        name: str | None = None,
    ):
        super().__init__(name)
        self.activation, self.use_bias = activation_function(activation), use_bias
        self.kernel_weight = weight(kernel_initializer, kernel_regularizer, kernel_constraint)
        self.bias_weight = weight(bias_initializer, bias_regularizer, bias_constraint)

    def make(self, x: Tensor, kernel: Sequence[Size], bias: Sequence[Size]) -> None:
        """Create the parameters, of two shapes, for a first x."""
        dtype = parameter_dtype(x)
        self.kernel = self.kernel_weight.variable(kernel, dtype)
        if self.use_bias:
            self.bias = self.bias_weight.variable(bias, dtype)

    def finish(self, y: Tensor) -> Tensor:
        """activation(y + bias), as far as the layer has them."""
        if self.use_bias:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)
