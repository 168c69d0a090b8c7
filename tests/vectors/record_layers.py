"""Records what PyTorch's layers and Keras's give, with all gradients, for tests that run without them.

    KERAS_BACKEND=torch python tests/vectors/record_layers.py      # with torch 2.13 and keras 3; writes layers.npz

Everything is float64, on inputs and parameters drawn from NumPy's generator with seed 0, in graphc's layout: images
with channels last, kernels [spatial ..., channels / groups, outputs], those of dense layers [inputs, units]. For each
case: `x`, `weights` (the cotangent of the value), `value`, `gradient` of x, each parameter `name` and its gradient
`name/gradient`, and buffers as the step left them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import keras
import numpy as np
import torch
from torch import nn

Arrays = dict[str, np.ndarray]

#: PyTorch's names of parameters -> graphc's.
AFFINE = MappingProxyType({"weight": "kernel", "bias": "bias"})


class Case(NamedTuple):
    """A module, its input's shape in graphc's layout, graphc's name for each of its parameters, and its mode."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    names: Mapping[str, str] = AFFINE
    training: bool = False
    images: bool = True


class Maxout(nn.Module):
    """The largest of two linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).unflatten(-1, (2, 4)).amax(-2)


SCALE = {"weight": "scale", "bias": "bias"}
RUNNING = {**SCALE, "running_mean": "mean", "running_var": "variance"}
MOMENTS = ("scale", "bias", "mean", "variance")
SLOPE = {"weight": "slope"}
DENSE, KERNEL = {"linear.weight": "kernel", "linear.bias": "bias"}, {"weight": "kernel"}

CASES: dict[str, Case] = {
    "dense": Case(lambda: nn.Linear(5, 4), (2, 3, 5), images=False),
    "conv1d": Case(lambda: nn.Conv1d(3, 4, 3, 2, 1), (2, 7, 3)),
    "conv2d": Case(lambda: nn.Conv2d(4, 6, (3, 2), 1, (1, 0), (2, 1), 2), (2, 6, 5, 4)),
    "conv2d_strided": Case(lambda: nn.Conv2d(3, 4, 3, 2, bias=False), (2, 7, 6, 3), KERNEL),
    "conv3d": Case(lambda: nn.Conv3d(2, 3, 2, 1, 1), (2, 3, 4, 3, 2)),
    "depthwise1d": Case(lambda: nn.Conv1d(3, 6, 3, groups=3), (2, 6, 3)),
    "depthwise2d": Case(lambda: nn.Conv2d(3, 6, 3, 1, 1, groups=3), (2, 5, 4, 3)),
    "conv_transpose1d": Case(lambda: nn.ConvTranspose1d(3, 4, 3, 2, 1), (2, 5, 3)),
    "conv_transpose2d": Case(lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), (2, 4, 3, 4)),
    "conv_transpose3d": Case(lambda: nn.ConvTranspose3d(2, 3, 2, 2), (1, 2, 3, 2, 2)),
    "max_pool1d": Case(lambda: nn.MaxPool1d(3, 2), (2, 8, 3), {}),
    "max_pool2d": Case(lambda: nn.MaxPool2d((3, 2), 2, (1, 1)), (2, 6, 5, 3), {}),
    "max_pool3d": Case(lambda: nn.MaxPool3d(2), (2, 4, 2, 4, 3), {}),
    "avg_pool1d": Case(lambda: nn.AvgPool1d(2), (2, 7, 3), {}),
    "avg_pool2d": Case(lambda: nn.AvgPool2d(3, 2, 1), (2, 6, 5, 3), {}),
    "avg_pool3d": Case(lambda: nn.AvgPool3d(2, count_include_pad=False, padding=1), (2, 3, 2, 4, 3), {}),
    "global_avg_pool": Case(lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (2, 3, 4, 5), {}),
    "batch_norm": Case(lambda: nn.BatchNorm2d(3), (4, 3, 2, 3), RUNNING, training=True),
    "batch_norm_flat": Case(lambda: nn.BatchNorm1d(3, momentum=0.3), (5, 3), RUNNING, training=True),
    "batch_norm_inference": Case(lambda: nn.BatchNorm2d(3), (4, 3, 2, 3), RUNNING),
    "layer_norm": Case(lambda: nn.LayerNorm(5), (2, 3, 5), SCALE, images=False),
    "layer_norm_two": Case(lambda: nn.LayerNorm((3, 5)), (2, 3, 5), SCALE, images=False),
    "rms_norm": Case(lambda: nn.RMSNorm(5), (2, 3, 5), {"weight": "scale"}, images=False),
    "group_norm": Case(lambda: nn.GroupNorm(3, 6), (2, 3, 2, 6), SCALE),
    "instance_norm": Case(lambda: nn.InstanceNorm2d(3, affine=True), (2, 4, 3, 3), SCALE),
    "prelu": Case(lambda: nn.PReLU(), (3, 4), SLOPE, images=False),
    "prelu_per_channel": Case(lambda: nn.PReLU(4), (2, 3, 4), SLOPE),
    "rrelu": Case(lambda: nn.RReLU(), (3, 5), {}, images=False),
    "maxout": Case(Maxout, (3, 5), DENSE, images=False),
}  # fmt: skip


def in_layout(name: str, value: torch.Tensor) -> np.ndarray:
    """A parameter, kernels [outputs, channels, spatial ...] as [spatial ..., channels, outputs]."""
    array = value.numpy().copy()
    return np.transpose(array, (*range(2, array.ndim), 1, 0)) if name == "kernel" else array


def channels(x: torch.Tensor, images: bool, source: int, target: int) -> torch.Tensor:
    """An image with its channels moved."""
    return x.movedim(source, target) if images and x.ndim > 2 else x


def record(case: Case, rng: np.random.Generator) -> Arrays:
    """Value, gradients and buffers of one case."""
    module = case.make().double().train(case.training)
    state = module.state_dict()
    for key in case.names:
        drawn = rng.standard_normal(tuple(state[key].shape))
        state[key].copy_(torch.tensor(drawn**2 + 0.5 if key == "running_var" else drawn))
    records = {name: in_layout(name, state[key]) for key, name in case.names.items()}
    x = torch.tensor(rng.standard_normal(case.shape), requires_grad=True)
    y = channels(module(channels(x, case.images, -1, 1)), case.images, 1, -1)
    weights = rng.standard_normal(tuple(y.shape))
    (y * torch.tensor(weights)).sum().backward()
    assert x.grad is not None
    records |= {"x": x.detach().numpy(), "value": y.detach().numpy(), "weights": weights, "gradient": x.grad.numpy()}
    parameters = dict(module.named_parameters())
    for key, name in case.names.items():
        found = parameters[key].grad if key in parameters else state[key]
        assert found is not None
        records[f"{name}/{'gradient' if key in parameters else 'after'}"] = in_layout(name, found)
    return records


def embedding(rng: np.random.Generator) -> Arrays:
    """The rows of a table, some of them twice."""
    table = torch.tensor(rng.standard_normal((6, 3)), requires_grad=True)
    x = rng.integers(0, 6, (2, 5))
    weights = rng.standard_normal((2, 5, 3))
    y = nn.functional.embedding(torch.tensor(x), table)
    (y * torch.tensor(weights)).sum().backward()
    assert table.grad is not None
    return {
        "x": x.astype(np.int32), "weights": weights, "value": y.detach().numpy(),
        "table": table.detach().numpy(), "table/gradient": table.grad.numpy(),
    }  # fmt: skip


#: Keras's layers, where they are not PyTorch's: the layer, its input's shape, graphc's names of its weights, its mode.
#: Batch normalisation is computed in float32 there, whatever the dtype.
KERAS: dict[str, tuple[Callable[[], keras.layers.Layer], tuple[int, ...], tuple[str, ...], bool]] = {
    "keras_batch_norm": (lambda: keras.layers.BatchNormalization(dtype="float64"), (4, 3, 2, 3), MOMENTS, True),
    "keras_batch_norm_inference": (
        lambda: keras.layers.BatchNormalization(dtype="float64"), (4, 3, 2, 3), MOMENTS, False,
    ),
    "keras_conv2d_same": (
        lambda: keras.layers.Conv2D(4, 3, 2, "same", dtype="float64"), (2, 6, 5, 3), ("kernel", "bias"), False,
    ),
    "keras_depthwise2d": (
        lambda: keras.layers.DepthwiseConv2D(3, 1, "same", 2, dtype="float64"), (2, 5, 4, 3), ("kernel", "bias"), False,
    ),
    "keras_conv_transpose2d_same": (
        lambda: keras.layers.Conv2DTranspose(4, 3, 2, "same", dtype="float64"), (2, 3, 4, 2), ("kernel", "bias"), False,
    ),
    "keras_max_pool_same": (lambda: keras.layers.MaxPooling2D(2, 2, "same", dtype="float64"), (2, 5, 3, 2), (), False),
}  # fmt: skip


def keras_record(name: str, rng: np.random.Generator) -> Arrays:
    """Value, gradients and buffers of one of Keras's layers, a depthwise kernel as graphc's."""
    make, shape, names, training = KERAS[name]
    layer = make()
    layer.build((None, *shape[1:]))
    arrays = [rng.standard_normal(tuple(w.shape)) for w in layer.weights]
    arrays = [a**2 + 0.5 if n == "variance" else a for a, n in zip(arrays, names, strict=True)]
    layer.set_weights(arrays)
    x = torch.tensor(rng.standard_normal(shape), requires_grad=True)
    y = layer(x, training=training)
    weights = rng.standard_normal(tuple(y.shape))
    (y * torch.tensor(weights)).sum().backward()
    assert x.grad is not None
    records = {"x": x.detach().numpy(), "weights": weights, "value": y.detach().numpy(), "gradient": x.grad.numpy()}
    for key, array, weight in zip(names, arrays, layer.weights, strict=True):
        result = weight.value.grad if weight.trainable else weight.value
        found = {key: array, f"{key}/{'gradient' if weight.trainable else 'after'}": result.detach().numpy()}
        if "depthwise" in name and key == "kernel":
            found = {k: a.reshape(*a.shape[:2], 1, -1) for k, a in found.items()}
        records |= found
    return records


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    records = {name: record(case, rng) for name, case in CASES.items()}
    records["embedding"] = embedding(rng)
    records |= {name: keras_record(name, rng) for name in KERAS}
    flat = {f"{case}/{name}": array for case, arrays in records.items() for name, array in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("layers.npz"), **flat)


if __name__ == "__main__":
    main()
