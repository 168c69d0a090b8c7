"""Networks: layers with parameters, and functions."""

from graphc.frontend.convolution import conv, conv_transpose
from graphc.frontend.suggest import refusing
from graphc.nn.attention import dot_product_attention
from graphc.nn.constraints import MaxNorm, NonNegative, UnitNorm
from graphc.nn.convolution import Conv1D, Conv2D, Conv3D
from graphc.nn.functional import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsumexp,
    mish,
    one_hot,
    prelu,
    relu,
    relu6,
    rsqrt,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    swiglu,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from graphc.nn.layers import Activation, Dense, Dropout, Flatten, Sequential
from graphc.nn.module import Module
from graphc.nn.normalization import (
    batch_norm,
    cosine_similarity,
    group_norm,
    instance_norm,
    l2_normalize,
    layer_norm,
    moments,
    rms_norm,
)
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
    "Activation", "Conv1D", "Conv2D", "Conv3D", "Dense", "Dropout", "Flatten", "MaxNorm", "Module", "NonNegative",
    "Sequential", "UnitNorm", "avg_pool", "batch_norm", "celu",
    "conv", "conv_transpose", "cosine_similarity", "dot_product_attention", "elu", "gelu", "global_avg_pool",
    "global_max_pool", "glu", "group_norm", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "identity", "instance_norm", "l2_normalize", "layer_norm", "leaky_relu", "log_sigmoid",
    "log_softmax", "logsumexp", "max_pool", "min_pool", "mish", "moments", "one_hot", "prelu", "reduce_window",
    "relu", "relu6", "rms_norm", "rsqrt", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sum_pool", "swiglu", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

#: Layers of other libraries, and what does their work here.
ALTERNATIVES = {
    "Linear": "nn.Dense",
    **{name: f'nn.Activation("{name.lower()}")' for name in ("ReLU", "GELU", "SiLU", "ELU", "SELU", "Sigmoid", "Tanh")},
    "Softmax": "nn.softmax(x), on what the network gives",
    **dict.fromkeys(("LSTM", "GRU", "RNN", "SimpleRNN"), "gr.scan over a step of your own: docs/guide/control-flow.md"),
    "Embedding": "gr.take(table, indices, axis=0) of a Variable",
    **dict.fromkeys(("BatchNorm", "BatchNorm1d", "BatchNorm2d", "BatchNormalization"), "nn.batch_norm(x, ...)"),
    **dict.fromkeys(("LayerNorm", "LayerNormalization"), "nn.layer_norm(x, weight, bias)"),
    **dict.fromkeys(("MaxPool2d", "MaxPool2D", "MaxPooling2D"), "nn.max_pool(x, window)"),
    **dict.fromkeys(("AvgPool2d", "AvgPool2D", "AveragePooling2D"), "nn.avg_pool(x, window)"),
    **dict.fromkeys(("MultiHeadAttention", "MultiheadAttention"), "nn.dot_product_attention(q, k, v)"),
    "Parameter": "gr.Variable",
    "NonNeg": "nn.NonNegative",
}

__getattr__ = refusing("nn", __all__, ALTERNATIVES)
