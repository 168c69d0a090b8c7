"""Recurrent and attention layers with PyTorch's and Keras's weights: results and all gradients, as recorded from them.

`tests/vectors/record_sequences.py` made the records, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gr
from graphc import interop, nn
from graphc.frontend.structure import flatten

UNITS, HEADS, HIDDEN = 6, 2, 12
LENGTHS = np.int32([5, 2, 3])
KNOWN = (np.arange(5) < LENGTHS[:, None])[:, :, None]
VISIBLE = (np.arange(7) < np.array([7, 2, 4])[:, None])[:, None]
Arrays = dict[str, Any]


def group(case: str, name: str) -> Arrays:
    """The records of one kind of a case, by name."""
    with np.load(Path(__file__).parent / "vectors" / "sequences.npz") as records:
        prefix = f"{case}/{name}/"
        return {key.removeprefix(prefix): records[key] for key in records if key.startswith(prefix)}


class Case(NamedTuple):
    """A layer, a call of it on its inputs, and of how many tensors the state of one cell is (0: there is none)."""

    layer: Callable[[], nn.Module]
    call: Callable[..., Any] = lambda net, x: net(x)
    parts: int = 0

    def outputs(self, net: Callable[..., Any], inputs: Arrays) -> list[Any]:
        """What PyTorch gives: the outputs, then the states of all layers and directions, h and c apart."""
        if not self.parts:
            return [self.call(net, **inputs)]
        ys, state = self.call(net, **inputs)
        cells = flatten(state)[0]
        return [ys, *(gr.stack(cells[i :: self.parts]) for i in range(self.parts))]


def padded(net: Callable[..., Any], x: Any) -> Any:
    """A call on sequences of different lengths, with 0 after them as PyTorch has it."""
    ys, state = net(x, lengths=LENGTHS)
    return gr.where(KNOWN, ys, 0.0), state


def both(layer: nn.Module) -> nn.Module:
    return nn.Bidirectional(layer)  # type: ignore[arg-type]


TORCH = {
    "rnn": Case(lambda: nn.SimpleRNN(UNITS), lambda net, x, h: net(x, h[0]), 1),
    "gru": Case(lambda: nn.GRU(UNITS), lambda net, x, h: net(x, h[0]), 1),
    "lstm": Case(lambda: nn.LSTM(UNITS), lambda net, x, h, c: net(x, (h[0], c[0])), 2),
    "bidirectional": Case(lambda: both(nn.LSTM(UNITS)), parts=2),
    "lengths": Case(lambda: both(nn.GRU(UNITS)), padded, 1),
    "stack": Case(lambda: nn.Stack(nn.LSTM(UNITS), nn.LSTM(UNITS)), parts=2),
    "deep": Case(lambda: nn.Stack(*(both(nn.GRU(UNITS, use_bias=False)) for _ in range(2))), parts=1),
    "self": Case(lambda: nn.MultiHeadAttention(HEADS)),
    "causal": Case(lambda: nn.MultiHeadAttention(HEADS, use_bias=False, causal=True)),
    "cross": Case(lambda: nn.MultiHeadAttention(HEADS), lambda net, x, kv: net(x, kv, mask=VISIBLE)),
    "post_norm": Case(lambda: nn.TransformerBlock(HEADS, HIDDEN, pre_norm=False)),
    "pre_norm": Case(lambda: nn.TransformerBlock(HEADS, HIDDEN)),
}


def of_torch(layer: nn.Module, found: Arrays, gradient: bool) -> Arrays:
    """PyTorch's parameters, or their gradients: where it adds two biases, each has the gradient of their sum."""
    if gradient and not any(isinstance(part, nn.GRU) for part in layer.modules()):
        found = {k: np.zeros_like(v) if k.startswith("bias_hh") else v for k, v in found.items()}
    return interop.from_torch(layer, found)


def gates_in_order(layer: nn.Module, columns: Any) -> Any:
    """Keras's gates in our order: those of a GRU are z, r, n there."""
    if not isinstance(layer, nn.GRU):
        return columns
    z, r, n = np.split(columns, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def of_keras(layer: nn.Module, found: Arrays, gradient: bool) -> Arrays:
    """Keras's parameters, or their gradients: kernel, recurrent kernel and bias of each cell."""
    cells = [part for part in layer.modules() if isinstance(part, (nn.LSTM, nn.GRU))]
    naming, values = layer.naming(), {}
    for cell, (kernel, recurrent, bias) in zip(cells, zip(*[iter(found.values())] * 3, strict=True), strict=True):
        variables = [cell.kernel, cell.recurrent_kernel, cell.bias]
        arrays = [kernel, recurrent, *np.atleast_2d(bias)]
        if len(arrays) == 4:
            variables.append(cell.recurrent_bias)
        for variable, array in zip(variables, arrays, strict=True):
            values[naming.variables[variable]] = gates_in_order(cell, array)
    return values


class Unpacked(Case):
    """A case of Keras, which gives each state by itself."""

    def outputs(self, net: Callable[..., Any], inputs: Arrays) -> list[Any]:
        return flatten(self.call(net, **inputs))[0]


KERAS = {
    "keras_gru_before": Unpacked(lambda: nn.GRU(UNITS, reset_after=False)),
    "keras_gru": Unpacked(lambda: nn.GRU(UNITS)),
    "keras_lstm": Unpacked(lambda: nn.LSTM(UNITS)),
    "keras_sum": Unpacked(lambda: nn.Bidirectional(nn.LSTM(UNITS), merge="sum")),
}


def expect_records(name: str, case: Case, read: Callable[..., Arrays], dtype: Any) -> None:
    """A layer with the recorded parameters gives the recorded outputs and gradients, to 1e-5 or 1e-10."""
    kind, bound = (gr.f32, 1e-5) if dtype == "float32" else (gr.f64, 1e-10)
    inputs = {key: value.astype(dtype) for key, value in group(name, "in").items()}
    weights = [value.astype(dtype) for value in group(name, "weight").values()]
    layer = case.layer()
    layer.build(*(kind[("N", f"T{i}", inputs[key].shape[-1])] for i, key in enumerate(inputs) if key in ("x", "kv")))
    params = {key: value.astype(dtype) for key, value in read(layer, group(name, "param"), False).items()}
    assert set(params) == set(layer.init())

    def total(params: Arrays, inputs: Arrays) -> Any:
        outputs = case.outputs(partial(layer.apply, params), inputs)
        return sum((gr.sum(y * w) for y, w in zip(outputs, weights, strict=True)), start=gr.asarray(0, kind)), outputs

    (_, outputs), (slopes, by_input) = gr.jit(gr.value_and_grad(total, argnums=(0, 1), has_aux=True))(params, inputs)

    def close(found: Any, expected: Any, what: str) -> None:
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=bound, atol=bound * scale, err_msg=what)
        assert found.dtype == dtype

    for found, expected in zip(outputs, group(name, "out").values(), strict=True):
        close(found, expected, "outputs")
    gradients = group(name, "grad")
    for key in inputs:
        close(by_input[key], gradients.pop(key), key)
    for key, expected in read(layer, gradients, True).items():
        close(slopes[key], expected, key)


every_dtype = pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])


@pytest.mark.parametrize("name", ["lstm", "gru", "cross"])
def test_layers_are_pytorchs_in_single_precision(name: str) -> None:
    expect_records(name, TORCH[name], of_torch, "float32")


@every_dtype
@pytest.mark.parametrize("name", TORCH)
def test_layers_are_pytorchs(name: str, dtype: str) -> None:
    expect_records(name, TORCH[name], of_torch, dtype)


@every_dtype
@pytest.mark.parametrize("name", KERAS)
def test_forms_of_keras(name: str, dtype: str) -> None:
    expect_records(name, KERAS[name], of_keras, dtype)
