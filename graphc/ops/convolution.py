"""Convolution: one trilinear form of an image, a kernel and a result, and the three primitives that it gives.

    form(x, k, ct) = Σ x[n, p·stride + t·dilation − low, g, c] · k[t, c, g, j] · ct[n, p, g, j]

over all indices at which x has an element: around it, nothing is added. x is [N, *S, G·C], k is [*T, C, G·J] and ct is
[N, *P, G·J], with any number of spatial dimensions, whose sizes S, T and P do not depend on one another. Each primitive
is the form's derivative by one of the three, a bilinear map of the other two; so its own derivatives are the other two
primitives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import ClassVar, TypeVar

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import DType, TensorType, f32, f64, i32, i64
from graphc.ops.base import all_batched, batch_size, expect_arity, expect_same, numbers

Slices = tuple[slice, ...]
Form = TypeVar("Form", bound="Convolution")


class Convolution(Op):
    """The form's derivative by one operand; `sizes` are the result's spatial sizes, x has `groups` groups of channels.

    Strides and dilations are at least 1; `low` may be negative. C, J and the kernel's sizes are numbers, not symbols.
    """

    strides: tuple[int, ...]
    low: tuple[Size, ...]
    dilation: tuple[int, ...]
    sizes: tuple[Size, ...]
    groups: Size = 1

    #: What the operands may be.
    dtypes: ClassVar[tuple[DType, ...]] = (f32, f64, i32, i64)

    @property
    def spatial(self) -> int:
        """The number of spatial dimensions."""
        return len(self.strides)

    def sibling(self, kind: type[Form], like: Node) -> Form:
        """Another derivative of the same form: the one with the spatial sizes of a node."""
        shape = like.type.shape
        sizes = shape[: self.spatial] if kind is ConvKernel else shape[1 : 1 + self.spatial]
        return kind(self.strides, self.low, self.dilation, sizes, self.groups)

    def expect(self, operands: tuple[TensorType, ...]) -> tuple[TensorType, TensorType]:
        """The two operands, if there are two of the form's rank and of one dtype. Raises otherwise."""
        expect_arity(self, operands, 2)
        a, b = operands
        expect_same(self, (a.with_shape(()), b.with_shape(())), self.dtypes)
        for operand in operands:
            if operand.rank != self.spatial + 2:
                raise ShapeError(f"{self.mnemonic()}: {operand} does not have {self.spatial} spatial dimensions")
        return a, b

    def per_group(self, channels: Size) -> int:
        """The channels of one group. Raises `ShapeError` where they are no whole number."""
        share = channels // self.groups if self.groups != 0 else 0
        if not isinstance(share, int) or share * self.groups != channels:
            raise ShapeError(f"{self.mnemonic()}: {channels} channels are not {self.groups} groups of a constant size")
        return share

    def expect_window(self, kernel: TensorType) -> None:
        """Raise `ShapeError` unless a kernel's sizes are numbers."""
        if not all(isinstance(s, int) for s in kernel.shape[:-1]):
            raise ShapeError(f"{self.mnemonic()}: the kernel {kernel} has a symbolic size")

    def products(self, kernel: TensorType, result: TensorType) -> Size:
        """A multiplication and an addition for each element of y, tap and channel of its group."""
        return 2 * result.size * kernel.with_shape(kernel.shape[:-1]).size

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        x, other = xs
        size = batch_size(batched, xs)
        if batched == (True, False) and not isinstance(self, ConvKernel):
            y = build.apply(self, build.reshape(x, (size * x.type.shape[1], *x.type.shape[2:])), other)
            return build.reshape(y, (size, x.type.shape[1], *y.type.shape[1:]))
        single = self.infer(*(t.type.with_shape(t.type.shape[one:]) for one, t in zip(batched, xs, strict=True)))
        folded = [
            build.reshape(moved, (*moved.type.shape[:-2], size * moved.type.shape[-1]))
            for moved in (build.move_axis(t, 0, t.type.rank - 2) for t in all_batched(batched, xs))
        ]
        y = build.apply(replace(self, groups=size * self.groups), *folded)
        return build.move_axis(build.reshape(y, (*single.shape[:-1], size, single.shape[-1])), y.type.rank - 1, 0)

    def taps(
        self, image: Array, kernel: tuple[int, ...], result: Array
    ) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
        """Each place in the kernel, with the parts of the image and of the result that it connects."""
        for tap in product(*map(range, kernel)):
            parts = [
                connected(tap[i] * self.dilation[i] - low, self.strides[i], image.shape[1 + i], result.shape[1 + i])
                for i, low in enumerate(numbers(self.low))
            ]
            if all(p.stop > p.start for _, p in parts):
                every = slice(None)
                yield tap, (every, *(s for s, _ in parts)), (every, *(p for _, p in parts))

    def grouped(self, x: Array) -> Array:
        """The last axis as [groups, channels of one]."""
        (groups,) = numbers((self.groups,))
        return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups if groups else 0)


def connected(start: int, stride: int, size: int, count: int) -> tuple[slice, slice]:
    """The places start + p·stride inside an axis of some size, p < count: as a slice of the axis, and of p."""
    first = max(0, -(start // stride))
    last = min(count, (size - 1 - start) // stride + 1)
    place = start + first * stride
    return slice(place, start + (last - 1) * stride + 1, stride) if last > first else slice(0, 0), slice(first, last)


class Conv(Convolution):
    """`conv(x, k)`: y[n, p, g, j] = Σ x[n, p·stride + t·dilation − low, g, c]·k[t, c, g, j] over t and c."""

    def infer(self, *operands: TensorType) -> TensorType:
        x, k = self.expect(operands)
        self.expect_window(k)
        self.per_group(k.shape[-1])
        if x.shape[-1] != self.groups * k.shape[-2]:
            raise ShapeError(f"conv: {k} takes {k.shape[-2]} channels a group, not the {x.shape[-1]} of {x}")
        return x.with_shape((x.shape[0], *self.sizes, k.shape[-1]))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.products(operands[1], result)

    def eval(self, *operands: Array) -> Array:
        x, k = self.grouped(operands[0]), self.grouped(operands[1])
        y = np.zeros((x.shape[0], *numbers(self.sizes), *k.shape[-2:]), x.dtype)
        for tap, of_x, of_y in self.taps(x, k.shape[: self.spatial], y):
            y[of_y] += np.einsum("...gc,cgj->...gj", x[of_x], k[tap])
        return y.reshape(*y.shape[:-2], operands[1].shape[-1])

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, k = xs
        return build.apply(self.sibling(ConvInput, x), ct, k), build.apply(self.sibling(ConvKernel, k), x, ct)


class ConvInput(Convolution):
    """`conv_input(ct, k)`: x[n, q, g, c] = Σ ct[n, p, g, j]·k[t, c, g, j] over j, and p and t that meet at q.

    That is where p·stride + t·dilation − low = q: the transposed convolution.
    """

    def infer(self, *operands: TensorType) -> TensorType:
        ct, k = self.expect(operands)
        self.expect_window(k)
        self.per_group(k.shape[-1])
        if ct.shape[-1] != k.shape[-1]:
            raise ShapeError(f"conv_input: {k} gives {k.shape[-1]} channels, not the {ct.shape[-1]} of {ct}")
        return ct.with_shape((ct.shape[0], *self.sizes, self.groups * k.shape[-2]))

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.products(operands[1], operands[0])

    def eval(self, *operands: Array) -> Array:
        ct, k = self.grouped(operands[0]), self.grouped(operands[1])
        x = np.zeros((ct.shape[0], *numbers(self.sizes), k.shape[-2], k.shape[-3]), ct.dtype)
        for tap, of_x, of_ct in self.taps(x, k.shape[: self.spatial], ct):
            x[of_x] += np.einsum("...gj,cgj->...gc", ct[of_ct], k[tap])
        return x.reshape(*x.shape[:-2], k.shape[-2] * k.shape[-3])

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        of_y, k = xs
        return build.apply(self.sibling(Conv, of_y), ct, k), build.apply(self.sibling(ConvKernel, k), ct, of_y)


class ConvKernel(Convolution):
    """`conv_kernel(x, ct)`: k[t, c, g, j] = Σ x[n, p·stride + t·dilation − low, g, c]·ct[n, p, g, j] over n and p."""

    def infer(self, *operands: TensorType) -> TensorType:
        x, ct = self.expect(operands)
        self.per_group(ct.shape[-1])
        if x.shape[0] != ct.shape[0]:
            raise ShapeError(f"conv_kernel: batches differ ({x} and {ct})")
        k = x.with_shape((*self.sizes, self.per_group(x.shape[-1]), ct.shape[-1]))
        self.expect_window(k)
        return k

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.products(result, operands[1])

    def eval(self, *operands: Array) -> Array:
        x, ct = self.grouped(operands[0]), self.grouped(operands[1])
        window = numbers(self.sizes)
        k = np.zeros((*window, x.shape[-1], *ct.shape[-2:]), x.dtype)
        for tap, of_x, of_ct in self.taps(x, window, ct):
            pixels = "nabcdef"[: self.spatial + 1]
            k[tap] = np.einsum(f"{pixels}xy,{pixels}xz->yxz", x[of_x], ct[of_ct])
        return k.reshape(*k.shape[:-2], operands[1].shape[-1])

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, of_y = xs
        return build.apply(self.sibling(ConvInput, x), of_y, ct), build.apply(self.sibling(Conv, of_y), x, ct)


ALL = (Conv, ConvInput, ConvKernel)
