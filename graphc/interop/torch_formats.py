"""How PyTorch's modules store what graphc's layers have: names, transposed matrices, the order of gates.

A format goes both ways. `write` gives a module's arrays by PyTorch's names, from the values of a layer's Variables;
`read` the other way. What PyTorch has twice (two biases that are only added) is one here: `write` leaves the second 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from graphc import nn
from graphc.frontend.variable import Variable
from graphc.ir.node import Array
from graphc.nn.recurrent import Recurrent

Arrays: TypeAlias = Mapping[str, Array]
Values: TypeAlias = Callable[[Variable], Array]
Pairs: TypeAlias = Iterator[tuple[Variable, Array]]


class Format(Protocol):
    """A module of PyTorch that has the parameters of a layer."""

    #: Whether it has those of the layer's parts, too.
    whole: ClassVar[bool]

    def write(self, values: Values) -> dict[str, Array]:
        """Its arrays by name, from a layer's values."""

    def read(self, arrays: Arrays) -> Pairs:
        """A layer's values, from its arrays; they have the shapes that `write` gives."""


def turned(kernel: Array) -> Array:
    """[spatial ..., inputs, outputs] as [outputs, inputs, spatial ...]."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def turned_back(weight: Array) -> Array:
    """[outputs, inputs, spatial ...] as [spatial ..., inputs, outputs]."""
    return np.moveaxis(weight, (0, 1), (-1, -2))


@dataclass(frozen=True)
class Plain(Format):
    """A module with one array for each Variable."""

    whole: ClassVar[bool] = False

    variables: Mapping[str, Variable]  # by PyTorch's names
    kernel: str | None = None  # the one that is turned
    image: Sequence[int] | None = None  # [channels, spatial ...] that was flattened to the kernel's inputs

    def fits(self) -> bool:
        """Whether the kernel takes as many inputs as the image has numbers."""
        kernel = self.variables.get(self.kernel or "")
        return kernel is not None and self.image is not None and kernel.type.shape[-2] == math.prod(self.image)

    def write(self, values: Values) -> dict[str, Array]:
        found = {name: values(variable) for name, variable in self.variables.items()}
        if self.kernel in found:
            kernel = found[self.kernel]
            if self.image is not None:
                last = kernel.reshape(*self.image[1:], self.image[0], -1)
                kernel = np.moveaxis(last, -2, 0).reshape(kernel.shape)
            found[self.kernel] = turned(kernel)
        if "running_mean" in found:
            found["num_batches_tracked"] = np.zeros((), np.int64)
        return found

    def read(self, arrays: Arrays) -> Pairs:
        for name, variable in self.variables.items():
            if name != self.kernel:
                yield variable, arrays[name]
                continue
            kernel = turned_back(arrays[name])
            if self.image is not None:
                first = kernel.reshape(*self.image, -1)
                kernel = np.moveaxis(first, 0, -2).reshape(kernel.shape)
            yield variable, kernel


@dataclass(frozen=True)
class RecurrentFormat(Format):
    """`RNN`, `LSTM` or `GRU`, of one layer or more, in one direction or both."""

    whole: ClassVar[bool] = True

    cells: Mapping[str, Recurrent]  # by what their parameters' names end with

    def write(self, values: Values) -> dict[str, Array]:
        found = {}
        for suffix, cell in self.cells.items():
            found[f"weight_ih{suffix}"] = values(cell.kernel).T
            found[f"weight_hh{suffix}"] = values(cell.recurrent_kernel).T
            if cell.use_bias:
                bias = values(cell.bias)
                second = values(cell.recurrent_bias) if isinstance(cell, nn.GRU) else np.zeros_like(bias)
                found |= {f"bias_ih{suffix}": bias, f"bias_hh{suffix}": second}
        return found

    def read(self, arrays: Arrays) -> Pairs:
        for suffix, cell in self.cells.items():
            yield cell.kernel, arrays[f"weight_ih{suffix}"].T
            yield cell.recurrent_kernel, arrays[f"weight_hh{suffix}"].T
            if cell.use_bias:
                first, second = arrays[f"bias_ih{suffix}"], arrays[f"bias_hh{suffix}"]
                if isinstance(cell, nn.GRU):
                    yield cell.bias, first
                    yield cell.recurrent_bias, second
                else:
                    yield cell.bias, first + second


@dataclass(frozen=True)
class AttentionFormat(Format):
    """`MultiheadAttention`, whose first three projections are one matrix where q, k and v have one width."""

    whole: ClassVar[bool] = True

    layer: nn.MultiHeadAttention

    def write(self, values: Values) -> dict[str, Array]:
        inner = (self.layer.query, self.layer.key, self.layer.value)
        kernels = [values(part.kernel).T for part in inner]
        if len({kernel.shape for kernel in kernels}) == 1:
            found = {"in_proj_weight": np.concatenate(kernels)}
        else:
            found = {f"{name}_proj_weight": kernel for name, kernel in zip("qkv", kernels, strict=True)}
        found["out_proj.weight"] = values(self.layer.output.kernel).T
        if self.layer.use_bias:
            found["in_proj_bias"] = np.concatenate([values(part.bias) for part in inner])
            found["out_proj.bias"] = values(self.layer.output.bias)
        return found

    def read(self, arrays: Arrays) -> Pairs:
        inner = (self.layer.query, self.layer.key, self.layer.value)
        joined = arrays.get("in_proj_weight")
        kernels = [arrays[f"{n}_proj_weight"] for n in "qkv"] if joined is None else np.split(joined, 3)
        for part, kernel in zip(inner, kernels, strict=True):
            yield part.kernel, kernel.T
        yield self.layer.output.kernel, arrays["out_proj.weight"].T
        if self.layer.use_bias:
            ends = np.cumsum([part.bias.type.shape[0] for part in inner])[:-1]
            for part, bias in zip(inner, np.split(arrays["in_proj_bias"], ends), strict=True):
                yield part.bias, bias
            yield self.layer.output.bias, arrays["out_proj.bias"]


#: PyTorch's names by attribute, for layers with one array each.
AFFINE = {"kernel": "weight", "bias": "bias"}
SCALED = {"scale": "weight", "bias": "bias"}
ATTRIBUTES: dict[type[nn.Module], Mapping[str, str]] = {
    nn.Dense: AFFINE,
    **dict.fromkeys((nn.Conv1D, nn.Conv2D, nn.Conv3D), AFFINE),
    **dict.fromkeys((nn.ConvTranspose1D, nn.ConvTranspose2D, nn.ConvTranspose3D), AFFINE),
    **dict.fromkeys((nn.DepthwiseConv1D, nn.DepthwiseConv2D, nn.DepthwiseConv3D), AFFINE),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.InstanceNorm), SCALED),
    nn.BatchNorm: SCALED | {"mean": "running_mean", "variance": "running_var"},
    nn.Embedding: {"table": "weight"},
    nn.PReLU: {"slope": "weight"},
}


def format_of(layer: nn.Module, image: Sequence[int] | None = None) -> Format | None:
    """The module of PyTorch that has a layer's parameters; None for a layer whose parts have their own.

    Where PyTorch has no such layer, it is one with the layer's own Variables by their own names.
    """
    if isinstance(layer, nn.MultiHeadAttention):
        return AttentionFormat(layer)
    cells = cells_of(layer)
    if cells is not None:
        return RecurrentFormat(cells)
    own = {attribute: v for attribute, v in vars(layer).items() if isinstance(v, Variable)}
    if not own:
        return None
    names: Mapping[str, str] = ATTRIBUTES.get(type(layer), {})
    return Plain(
        {names.get(attribute, attribute): v for attribute, v in own.items()},
        "weight" if "kernel" in names and "kernel" in own else None,
        image,
    )


def cells_of(layer: Any) -> dict[str, Recurrent] | None:
    """The cells of a recurrent layer by what PyTorch's names end with; None where it has no such layer."""
    rows = layer.layers if isinstance(layer, nn.Stack) else [layer]
    found: dict[str, Any] = {}
    for i, row in enumerate(rows):
        directions = (row.forward, row.backward) if isinstance(row, nn.Bidirectional) else (row,)
        for direction, suffix in zip(directions, ("", "_reverse"), strict=False):
            found[f"_l{i}{suffix}"] = direction
    cells = list(found.values())
    alike = all(type(cell) is type(cells[0]) and isinstance(cell, Recurrent) for cell in cells)
    return found if alike and all(getattr(cell, "reset_after", True) for cell in cells) else None
