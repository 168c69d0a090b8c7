"""Layers with the parameters of PyTorch's and Keras's: values, all gradients and buffers as recorded from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import nn

VECTORS = np.load(Path(__file__).parent / "vectors" / "layers.npz")

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "dense": lambda: nn.Dense(4),
    "conv1d": lambda: nn.Conv1D(4, 3, 2, 1),
    "conv2d": lambda: nn.Conv2D(6, (3, 2), 1, (1, 0), dilation=(2, 1), groups=2),
    "conv2d_strided": lambda: nn.Conv2D(4, 3, 2, "VALID", use_bias=False),
    "conv3d": lambda: nn.Conv3D(3, 2, 1, 1),
    "depthwise1d": lambda: nn.DepthwiseConv1D(3, 2, padding="VALID"),
    "depthwise2d": lambda: nn.DepthwiseConv2D(3, 2, padding=1),
    "conv_transpose1d": lambda: nn.ConvTranspose1D(4, 3, 2, 1),
    "conv_transpose2d": lambda: nn.ConvTranspose2D(6, 3, 2, 1, groups=2, output_padding=1),
    "conv_transpose3d": lambda: nn.ConvTranspose3D(3, 2, 2, "VALID"),
    "max_pool1d": lambda: nn.MaxPool(3, 2),
    "max_pool2d": lambda: nn.MaxPool((3, 2), 2, (1, 1)),
    "max_pool3d": lambda: nn.MaxPool(),
    "avg_pool1d": lambda: nn.AvgPool(),
    "avg_pool2d": lambda: nn.AvgPool(3, 2, 1, count_include_pad=True),
    "avg_pool3d": lambda: nn.AvgPool(padding=1),
    "global_avg_pool": lambda: nn.GlobalAvgPool(),
    "batch_norm": lambda: nn.BatchNorm(),
    "batch_norm_flat": lambda: nn.BatchNorm(momentum=0.7),
    "batch_norm_inference": lambda: nn.BatchNorm(),
    "keras_batch_norm": lambda: nn.BatchNorm(style="keras"),
    "keras_batch_norm_inference": lambda: nn.BatchNorm(style="keras"),
    "keras_conv2d_same": lambda: nn.Conv2D(4, 3, 2),
    "keras_depthwise2d": lambda: nn.DepthwiseConv2D(3, 2),
    "keras_conv_transpose2d_same": lambda: nn.ConvTranspose2D(4, 3, 2),
    "keras_max_pool_same": lambda: nn.MaxPool(2, padding="SAME"),
    "layer_norm": lambda: nn.LayerNorm(),
    "layer_norm_two": lambda: nn.LayerNorm((-2, -1)),
    "rms_norm": lambda: nn.RMSNorm(),
    "group_norm": lambda: nn.GroupNorm(3),
    "instance_norm": lambda: nn.InstanceNorm(),
    "prelu": lambda: nn.PReLU(),
    "prelu_per_channel": lambda: nn.PReLU(per_channel=True),
    "rrelu": lambda: nn.RReLU(),
    "maxout": lambda: nn.Maxout(4),
    "embedding": lambda: nn.Embedding(6, 3),
}
NOT_PARAMETERS = {"x", "weights", "value", "gradient"}
#: Cases that run in single precision by default.
OFTEN = {"conv2d", "depthwise2d", "conv_transpose2d", "max_pool2d", "batch_norm", "layer_norm", "embedding", "maxout"}
TRAINING = {"batch_norm", "batch_norm_flat", "keras_batch_norm"}


def compiled(case: str, dtype: Any) -> Any:
    """A program whose one entry gives a layer's value and all gradients; and the gradients' names."""
    layer, program = LAYERS[case](), gr.Program(case)
    x, weights = VECTORS[f"{case}/x"], VECTORS[f"{case}/weights"]
    integers = x.dtype.kind == "i"
    if case == "embedding" and dtype is gr.f64:
        layer = nn.Embedding(6, 3, dtype=gr.f64)
    types = (gr.i32 if integers else dtype)[("N", *x.shape[1:])], dtype[("N", *weights.shape[1:])]

    @program.entry(x=types[0], weights=types[1])
    def step(x: Any, weights: Any) -> Any:
        y = layer(x, training=case in TRAINING)
        parameters = layer.parameters()
        found = gr.gradients(gr.sum(y * weights), [*([] if integers else [x]), *parameters])
        names = [*([] if integers else ["gradient"]), *(f"{p.default_name}/gradient" for p in parameters)]
        return {"value": y, **dict(zip(names, found, strict=True))}

    return program.compile()


def check(case: str, dtype: Any, tolerance: float) -> None:
    """Compare everything that was recorded of a case."""
    program = compiled(case, dtype)
    records = {key.removeprefix(f"{case}/"): VECTORS[key] for key in VECTORS if key.startswith(f"{case}/")}
    stems = {name.rpartition("/")[2]: name for name in program.state}
    for stem, name in stems.items():
        program.state[name] = records[stem].astype(dtype.numpy)
    x = records["x"] if records["x"].dtype.kind == "i" else records["x"].astype(dtype.numpy)
    results = program.step(x, records["weights"].astype(dtype.numpy))
    expected = {name: records[name] for name in results}
    expected |= {name: array for name, array in records.items() if name.endswith("/after")}
    results |= {f"{stem}/after": program.state[name] for stem, name in stems.items() if f"{stem}/after" in expected}
    assert set(stems) == {name for name in records if "/" not in name} - NOT_PARAMETERS
    for name, array in expected.items():
        scale = max(1.0, float(np.abs(array).max()))
        slack = 1e-5 if "keras_batch_norm" in case else tolerance  # Keras computes it in float32
        assert results[name].shape == array.shape
        np.testing.assert_allclose(results[name], array, rtol=0, atol=slack * scale, err_msg=name)


@pytest.mark.parametrize("case", LAYERS)
def test_in_double_precision(case: str) -> None:
    check(case, gr.f64, 1e-10)


@pytest.mark.parametrize("case", [c if c in OFTEN else pytest.param(c, marks=pytest.mark.slow) for c in LAYERS])
def test_in_single_precision(case: str) -> None:
    check(case, gr.f32, 1e-5)
