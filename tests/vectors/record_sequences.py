"""Records what recurrent and attention layers of PyTorch and Keras compute in float64, for tests that run without them.

    KERAS_BACKEND=torch python tests/vectors/record_sequences.py     # torch 2.13, keras 3; writes sequences.npz

Each case has its inputs (`case/in/…`), parameters (`case/param/…`, with the library's names and shapes), results
(`case/out/…`) and the gradients of Σ out·weight (`case/weight/…`) for inputs and parameters (`case/grad/…`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from keras.src.backend.common import dtypes

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 6
WIDTH, HEADS, HIDDEN = 8, 2, 12
LENGTHS = np.array([5, 2, 3])

Records = dict[str, np.ndarray]


def tensors(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Random inputs that have gradients."""
    return {name: torch.randn(shape, dtype=torch.float64, requires_grad=True) for name, shape in shapes.items()}


def recorded(case: str, inputs: dict[str, torch.Tensor], parameters: dict[str, Any], outputs: list[Any]) -> Records:
    """What a case has in the file."""
    weights = [torch.randn_like(y) for y in outputs]
    sum((y * w).sum() for y, w in zip(outputs, weights, strict=True)).backward()
    groups = {
        "in": inputs,
        "param": parameters,
        "out": dict(enumerate(outputs)),
        "weight": dict(enumerate(weights)),
        "grad": {name: t.grad for name, t in (inputs | parameters).items()},
    }
    return {f"{case}/{g}/{n}": t.detach().numpy().copy() for g, group in groups.items() for n, t in group.items()}


def flat(value: Any) -> list[torch.Tensor]:
    """The tensors of nested tuples."""
    return [value] if isinstance(value, torch.Tensor) else [t for part in value for t in flat(part)]


def of_torch(case: str, module: torch.nn.Module, call: Callable[..., Any], **shapes: tuple[int, ...]) -> Records:
    """A module whose parameters are all random, called on random inputs."""
    module.double()
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    inputs = tensors(**shapes)
    return recorded(case, inputs, dict(module.named_parameters()), flat(call(module, **inputs)))


def of_keras(case: str, layer: keras.Layer, **shapes: tuple[int, ...]) -> Records:
    """A Keras layer; its parameters are numbered in the layer's own order."""
    inputs = tensors(**shapes)
    layer(inputs["x"].detach())
    for variable in layer.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.path)).uniform(-0.5, 0.5, variable.shape))
    outputs = flat(layer(inputs["x"]))
    return recorded(case, inputs, {str(i): v.value for i, v in enumerate(layer.trainable_variables)}, outputs)


def packed(module: torch.nn.Module, x: torch.Tensor) -> Any:
    """A call on sequences of different lengths."""
    rnn = torch.nn.utils.rnn
    ys, state = module(rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    return rnn.pad_packed_sequence(ys, batch_first=True)[0], state


def recurrent() -> Records:
    """PyTorch's recurrent layers."""
    nn, x = torch.nn, {"x": (BATCH, TIME, FEATURES)}
    options: dict[str, Any] = {"batch_first": True}
    h = {"h": (1, BATCH, UNITS)}
    found = of_torch("rnn", nn.RNN(FEATURES, UNITS, **options), lambda m, x, h: m(x, h), **x, **h)
    found |= of_torch("gru", nn.GRU(FEATURES, UNITS, **options), lambda m, x, h: m(x, h), **x, **h)
    lstm = nn.LSTM(FEATURES, UNITS, **options)
    found |= of_torch("lstm", lstm, lambda m, x, h, c: m(x, (h, c)), **x, **h, c=h["h"])
    both = nn.LSTM(FEATURES, UNITS, bidirectional=True, **options)
    found |= of_torch("bidirectional", both, lambda m, x: m(x), **x)
    found |= of_torch("lengths", nn.GRU(FEATURES, UNITS, bidirectional=True, **options), packed, **x)
    found |= of_torch("stack", nn.LSTM(FEATURES, UNITS, num_layers=2, **options), lambda m, x: m(x), **x)
    deep = nn.GRU(FEATURES, UNITS, num_layers=2, bidirectional=True, bias=False, **options)
    return found | of_torch("deep", deep, lambda m, x: m(x), **x)


def attention() -> Records:
    """PyTorch's attention layers."""
    nn, x, memory = torch.nn, {"x": (BATCH, TIME, WIDTH)}, {"kv": (BATCH, 7, WIDTH)}
    causal = torch.triu(torch.ones(TIME, TIME, dtype=torch.bool), 1)
    hidden = torch.arange(7) >= torch.tensor([7, 2, 4])[:, None]

    def layer(**options: Any) -> torch.nn.Module:
        return nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options)

    found = of_torch("self", layer(), lambda m, x: m(x, x, x)[0], **x)
    found |= of_torch("causal", layer(bias=False), lambda m, x: m(x, x, x, attn_mask=causal)[0], **x)
    found |= of_torch("cross", layer(), lambda m, x, kv: m(x, kv, kv, key_padding_mask=hidden)[0], **x, **memory)
    for case, first in (("post_norm", False), ("pre_norm", True)):
        block = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=first)
        found |= of_torch(case, block, lambda m, x: m(x), **x)
    return found


def keras_forms() -> Records:
    """Keras's layers, where their forms differ from PyTorch's."""
    layers, x = keras.layers, {"x": (BATCH, TIME, FEATURES)}
    options: dict[str, Any] = {"return_sequences": True, "return_state": True}
    found = of_keras("keras_gru_before", layers.GRU(UNITS, reset_after=False, **options), **x)
    found |= of_keras("keras_gru", layers.GRU(UNITS, **options), **x)
    found |= of_keras("keras_lstm", layers.LSTM(UNITS, **options), **x)
    return found | of_keras("keras_sum", layers.Bidirectional(layers.LSTM(UNITS, **options), merge_mode="sum"), **x)


def main() -> None:
    """Write the file."""
    torch.manual_seed(0)
    keras.config.set_floatx("float64")
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # off TensorFlow it would round products to float32
    np.savez_compressed(Path(__file__).with_name("sequences.npz"), **recurrent(), **attention(), **keras_forms())


if __name__ == "__main__":
    main()
