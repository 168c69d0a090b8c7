"""Regularizers of parameters: what their values cost, to be added to a loss.

Layers take `kernel_regularizer=` and `bias_regularizer=`, a regularizer or its name ("l1", "l2", "l1_l2", each with
λ = 0.01); `gr.Variable(initial, regularizer=nn.L2(1e-4))` is the general form. `net.penalty()` is the sum over a
network's trainable parameters:

    net = nn.Sequential(nn.Dense(64, activation="relu", kernel_regularizer=nn.L2(1e-4)), nn.Dense(10))
    opt.minimize(losses.sparse_softmax_cross_entropy(net(x), y) + net.penalty())

A regularizer is any function from a tensor to a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.numbers import is_number
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.sites import user_site
from graphc.suggest import answering_methods

Regularizer: TypeAlias = Callable[[Tensor], Tensor]


@answering_methods
class L1L2:
    """λ₁·Σ|w| + λ₂·Σw²: both of them. Raises `ArgumentError` where one is no number of at least 0."""

    def __init__(self, l1: float = 0.01, l2: float = 0.01):
        for name, value in (("l1", l1), ("l2", l2)):
            if not is_number(value) or value < 0:
                raise ArgumentError(
                    f"{type(self).__name__}: {name}={value!r} is not a number of at least 0", site=user_site()
                )
        self.l1, self.l2 = l1, l2

    def __call__(self, w: TensorLike) -> Tensor:
        return penalised(w, self.l1, self.l2)


@answering_methods
class L1(L1L2):
    """λ·Σ|w|: drives weights that matter little to 0; its slope at 0 is 0. Raises as `L1L2` does.

        nn.Dense(64, kernel_regularizer=nn.L1(1e-4))
    """

    def __init__(self, l1: float = 0.01):
        super().__init__(l1, 0.0)


@answering_methods
class L2(L1L2):
    """λ·Σw², whose gradient is 2λw: PyTorch's `weight_decay=d` is `L2(d / 2)`. Raises as `L1L2` does.

        nn.Dense(64, kernel_regularizer=nn.L2(1e-4))
    """

    def __init__(self, l2: float = 0.01):
        super().__init__(0.0, l2)


@composite
def penalised(w: TensorLike, l1: float, l2: float) -> Tensor:
    """λ₁·Σ|w| + λ₂·Σw², without the sum whose λ is 0."""
    if not l1:
        return l2 * api.sum(api.square(w))
    absolute = l1 * api.sum(api.abs(w))
    return absolute + l2 * api.sum(api.square(w)) if l2 else absolute


NAMED: dict[str, Callable[[], Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def regularizer_function(regularizer: str | Regularizer | None) -> Regularizer | None:
    """A regularizer by name, or itself. Raises `ArgumentError` for what is neither a name of one nor a function."""
    if regularizer is None or callable(regularizer):
        return regularizer
    if not isinstance(regularizer, str) or regularizer not in NAMED:
        help = f"give a function of a tensor, such as nn.L2(1e-4), or {', '.join(map(repr, NAMED))}"
        raise ArgumentError(f"no regularizer {regularizer!r}", site=user_site(), help=help)
    return NAMED[regularizer]()
