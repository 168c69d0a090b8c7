"""Networks: layers with parameters, and functions."""

from graphc.frontend.convolution import conv, conv_transpose
from graphc.nn.convolution import Conv1D, Conv2D, Conv3D
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
from graphc.nn.pooling import (
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
    min_pool,
    reduce_window,
    sum_pool,
)

__all__ = [
    "Activation", "Conv1D", "Conv2D", "Conv3D", "Dense", "Dropout", "Flatten", "Module", "Sequential", "avg_pool",
    "conv", "conv_transpose", "elu", "gelu", "global_avg_pool", "global_max_pool", "hard_sigmoid", "identity",
    "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "max_pool", "min_pool", "one_hot", "reduce_window", "relu",
    "relu6", "rsqrt", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "sum_pool", "swish", "tanh",
]  # fmt: skip
