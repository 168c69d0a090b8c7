"""Networks: layers with parameters, and functions."""

from graphc.frontend.attention import dot_product_attention
from graphc.frontend.convolution import conv, conv_transpose
from graphc.nn.activation_layers import Maxout, PReLU, RReLU
from graphc.nn.attention_layers import LearnedPositions, MultiHeadAttention, SinusoidalPositions, TransformerBlock
from graphc.nn.constraints import MaxNorm, NonNegative, UnitNorm
from graphc.nn.convolution import (
    Conv1D,
    Conv2D,
    Conv3D,
    ConvTranspose1D,
    ConvTranspose2D,
    ConvTranspose3D,
    DepthwiseConv1D,
    DepthwiseConv2D,
    DepthwiseConv3D,
)
from graphc.nn.embedding import Embedding
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
from graphc.nn.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Reshape,
    Residual,
    Sequential,
    SpatialDropout,
)
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
from graphc.nn.normalization_layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from graphc.nn.pooling import (
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
    min_pool,
    reduce_window,
    sum_pool,
)
from graphc.nn.pooling_layers import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from graphc.nn.recurrent_layers import GRU, LSTM, SimpleRNN
from graphc.nn.regularizers import L1, L1L2, L2
from graphc.nn.stacks import Bidirectional, Last, Stack, Stateful
from graphc.suggest import refusing

__all__ = [
    "GRU", "L1", "L1L2", "L2", "LSTM", "Activation", "AvgPool", "BatchNorm", "Bidirectional", "Conv1D", "Conv2D",
    "Conv3D", "ConvTranspose1D", "ConvTranspose2D", "ConvTranspose3D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D",
    "DepthwiseConv3D", "Dropout", "Embedding", "Flatten", "GlobalAvgPool", "GlobalMaxPool", "GroupNorm",
    "InstanceNorm", "Last", "LayerNorm", "LearnedPositions", "MaxNorm", "MaxPool", "Maxout", "Module",
    "MultiHeadAttention", "NonNegative", "PReLU", "RMSNorm", "RReLU", "Reshape", "Residual", "Sequential",
    "SimpleRNN", "SinusoidalPositions", "SpatialDropout", "Stack", "Stateful", "TransformerBlock", "UnitNorm",
    "avg_pool", "batch_norm", "celu", "conv", "conv_transpose", "cosine_similarity", "dot_product_attention", "elu",
    "gelu", "global_avg_pool", "global_max_pool", "glu", "group_norm", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "identity", "instance_norm", "l2_normalize", "layer_norm", "leaky_relu", "log_sigmoid",
    "log_softmax", "logsumexp", "max_pool", "min_pool", "mish", "moments", "one_hot", "prelu", "reduce_window",
    "relu", "relu6", "rms_norm", "rsqrt", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sum_pool", "swiglu", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

#: Layers of other libraries, by what does their work here.
COUNTERPARTS = {
    "nn.Dense": ("Linear",),
    "nn.softmax(x), on what the network gives": ("Softmax",),
    "nn.SimpleRNN": ("RNN",),
    "nn.MultiHeadAttention": ("MultiheadAttention", "Attention"),
    "nn.TransformerBlock": ("TransformerEncoderLayer", "TransformerEncoder"),
    "nn.BatchNorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "BatchNormalization"),
    "nn.LayerNorm": ("LayerNormalization",),
    "nn.RMSNorm": ("RMSNormalization",),
    "nn.GroupNorm": ("GroupNormalization",),
    "nn.InstanceNorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "nn.MaxPool": ("MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "MaxPool2D"),
    "nn.AvgPool": ("AvgPool1d", "AvgPool2d", "AvgPool3d", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
                   "AvgPool2D"),
    "nn.GlobalAvgPool": ("GlobalAveragePooling1D", "GlobalAveragePooling2D", "AdaptiveAvgPool2d"),
    "nn.GlobalMaxPool": ("GlobalMaxPooling1D", "GlobalMaxPooling2D", "AdaptiveMaxPool2d"),
    "nn.SpatialDropout": ("Dropout1d", "Dropout2d", "Dropout3d", "SpatialDropout1D", "SpatialDropout2D"),
    "nn.Reshape": ("Unflatten",),
    "nn.ConvTranspose1D": ("ConvTranspose1d", "Conv1DTranspose"),
    "nn.ConvTranspose2D": ("ConvTranspose2d", "Conv2DTranspose"),
    "nn.ConvTranspose3D": ("ConvTranspose3d", "Conv3DTranspose"),
    "nn.DepthwiseConv2D(...) and nn.Conv2D(filters, 1)": ("SeparableConv2D", "SeparableConv2d"),
    "gr.Variable": ("Parameter",),
    "nn.NonNegative": ("NonNeg",),
    "a list of layers, as an attribute": ("ModuleList", "ModuleDict", "ParameterList"),
    "class Network(nn.Module), or nn.Sequential(...)": ("Model",),
    "leave it out: the arguments of an entry are the inputs, @program.entry": ("Input", "InputLayer"),
    "graphc.init: kernel_initializer=init.he_normal": ("init", "initializers"),
    "graphc.losses": ("CrossEntropyLoss", "MSELoss", "L1Loss", "BCEWithLogitsLoss", "BCELoss", "NLLLoss", "HuberLoss",
                      "SmoothL1Loss", "KLDivLoss"),
    "nn.Maxout": ("MaxOut",),
    "nn.Residual(layers), or gr.concat and + in a __call__ of your own": ("Add", "Concatenate", "Lambda"),
}  # fmt: skip

#: What to say of names that are not here.
ALTERNATIVES = {theirs: ours for ours, names in COUNTERPARTS.items() for theirs in names}
ALTERNATIVES |= {
    name: f'nn.Activation("{name.lower()}")' for name in ("ReLU", "GELU", "SiLU", "ELU", "SELU", "Sigmoid", "Tanh")
}

__getattr__ = refusing("nn", __all__, ALTERNATIVES)
