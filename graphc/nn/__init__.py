"""Networks: layers with parameters, and functions."""

from graphc.nn.functional import (
    elu,
    gelu,
    hard_sigmoid,
    identity,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsumexp,
    one_hot,
    relu,
    relu6,
    rsqrt,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    swish,
    tanh,
)
from graphc.nn.layers import Activation, Dense, Dropout, Flatten, Sequential
from graphc.nn.module import Module

__all__ = [
    "Activation", "Dense", "Dropout", "Flatten", "Module", "Sequential", "elu", "gelu", "hard_sigmoid", "identity",
    "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "one_hot", "relu", "relu6", "rsqrt", "selu", "sigmoid",
    "silu", "softmax", "softplus", "softsign", "swish", "tanh",
]  # fmt: skip
