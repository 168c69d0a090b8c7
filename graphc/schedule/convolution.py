"""Lowering of convolutions: direct, without a copy of the image; the rest of the group runs on results in the cache.

A convolution computes a row of results after the other, each by tiles of pixels and channels. The data gradient is,
for each remainder of the place by the stride, a convolution of stride 1 with some of the taps, turned round. The kernel
gradient adds up image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd, prod

from graphc.ir.dim import Size, known_le, maximum, minimum
from graphc.ir.node import Node, Op
from graphc.ir.types import TensorType
from graphc.ops.convolution import Conv, ConvInput, ConvKernel, Convolution
from graphc.passes.fuse import Group
from graphc.passes.roles import through_aliases
from graphc.runtime.targets import Target
from graphc.schedule.access import Access, Axis, Buffer, Index, Row
from graphc.schedule.convolution_tiles import plan_convolution
from graphc.schedule.kernel import Convolve, Guard, Literal, Stmt, Store
from graphc.schedule.lower import Lowering, at, axes_of

Buffers = Mapping[Node, tuple[Buffer, ...]]

#: Channels of a group from which a tile of the kernel gradient has rows enough in one tap.
ENOUGH_CHANNELS = 4


@dataclass(frozen=True)
class Walk:
    """One spatial dimension: result m and tap t meet at m·stride + t·dilation + start of an axis of `size`.

    Result m stands at m·step + first of its own axis.
    """

    count: Size
    taps: int
    size: Size
    stride: int
    dilation: int
    start: Size
    step: int = 1
    first: Size = 0
    away: bool = False  # from the borders, by construction

    @property
    def inside(self) -> bool:
        """Whether they never meet outside the axis, as far as one can tell."""
        if self.taps == 0 or self.count == 0 or self.away:
            return True
        last = (self.count - 1) * self.stride + (self.taps - 1) * self.dilation + self.start
        return known_le(0, self.start) and known_le(last + 1, self.size)

    def parts(self) -> tuple[Walk, ...]:
        """Where symbols hide which is which: results at the front border, those away from borders, those at the back.

        A tile's rows are either all the same or known when its code is written: so the first and last part have none.
        """
        if self.inside or self.constant:
            return (self,)
        front = minimum(self.count, (maximum(-1 * self.start, 0) + (self.stride - 1)) // self.stride)
        fitting = self.size - self.start - (self.taps - 1) * self.dilation + (self.stride - 1)
        back = minimum(self.count, maximum(front, maximum(fitting, 0) // self.stride))
        return (
            self.part(0, front),
            replace(self.part(front, back - front), away=True),
            self.part(back, self.count - back),
        )

    def part(self, start: Size, count: Size) -> Walk:
        """Some of the results."""
        first = self.first + self.step * start
        return replace(self, count=count, start=self.start + self.stride * start, first=first)

    @property
    def constant(self) -> bool:
        """Whether it has no symbols."""
        return all(isinstance(s, int) for s in (self.count, self.size, self.start))


@dataclass(frozen=True)
class Channels:
    """Groups of channels: how many, how many of the operand and of the result each has."""

    groups: Size
    taken: int
    given: int

    @property
    def lanewise(self) -> bool:
        """Whether each group is one channel, so that vectors run over groups."""
        return self.taken == self.given == 1 and self.groups != 1


class Form:
    """The trilinear form as loops: its axes, and where the image, the kernel and the result are at their indices."""

    def __init__(self, batch: Size, walks: Sequence[Walk], channels: Channels):
        self.walks, self.channels = walks, channels
        self.batch, self.channel = Axis("n", batch), Axis("c", channels.taken)
        self.pixels = tuple(Axis(f"m{d}", w.count) for d, w in enumerate(walks))
        self.taps = tuple(Axis(f"t{d}", w.taps) for d, w in enumerate(walks))
        self.columns = Axis("j", channels.groups if channels.lanewise else channels.given)
        single = channels.lanewise or channels.groups == 1
        self.groups = () if single else (Axis("g", channels.groups),)

    @property
    def group(self) -> Index:
        """The number of the group."""
        return Index.of(self.groups[0]) if self.groups else Index()

    @property
    def meets(self) -> tuple[Index, ...]:
        """Where pixel and tap meet, along each spatial axis of the image."""
        each = zip(self.walks, self.pixels, self.taps, strict=True)
        return tuple(Index.of(m) * w.stride + Index.of(t) * w.dilation + w.start for w, m, t in each)

    @property
    def image(self) -> tuple[Index, ...]:
        """[batch, spatial ..., groups·taken]"""
        inner = Index.of(self.columns if self.channels.lanewise else self.channel)
        return Index.of(self.batch), *self.meets, inner + self.group * self.channels.taken

    @property
    def kernel(self) -> tuple[Index, ...]:
        """[taps ..., taken, groups·given]"""
        return *at(self.taps), Index.of(self.channel), Index.of(self.columns) + self.group * self.channels.given

    @property
    def kernel_shape(self) -> tuple[Size, ...]:
        """The kernel's."""
        taken, given = self.channels.taken, self.channels.groups * self.channels.given
        return *(t.extent for t in self.taps), taken, given

    @property
    def result(self) -> tuple[Index, ...]:
        """[batch, spatial ..., groups·given]"""
        places = (Index.of(m) * w.step + w.first for w, m in zip(self.walks, self.pixels, strict=True))
        return Index.of(self.batch), *places, Index.of(self.columns) + self.group * self.channels.given

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What keeps inside of the image, where anything has to."""
        return tuple(Guard(i, w.size) for i, w in zip(self.meets, self.walks, strict=True) if not w.inside)


def lower_convolution(group: Group, buffers: Buffers, target: Target) -> tuple[Stmt, ...]:
    """A convolution with the rest of the group behind it."""
    assert group.anchor is not None
    lowering = ConvolutionLowering(group, buffers, target)
    FORMS[type(group.anchor.op)](lowering)
    return tuple(lowering.frames[0].body)


class ConvolutionLowering(Lowering):
    """The kernel of one convolution while it is written."""

    def __init__(self, group: Group, buffers: Buffers, target: Target):
        super().__init__(group, buffers)
        assert group.anchor is not None and isinstance(group.anchor.op, Convolution)
        self.anchor, self.op, self.target = group.anchor, group.anchor.op, target

    def operand(self, position: int) -> Buffer:
        """Where an operand of the convolution lies."""
        return self.buffers[through_aliases(self.anchor.inputs[position])][0]

    @property
    def direct(self) -> Buffer | None:
        """The buffer that takes the sums as they are, where nothing else is to be done with them."""
        if self.group.outputs != (self.anchor,) or len(self.buffers[self.anchor]) != 1:
            return None
        return self.buffers[self.anchor][0]

    def statement(self, statement: Stmt) -> None:
        """Append a statement that gives no value."""
        self.frames[-1].body.append(statement)

    # -- results by rows of pixels ----------------------------------------------------------------------------------

    def convolve(
        self, walks: Sequence[Walk], kernel: Buffer, channels: Channels, own: tuple[Buffer, ...] = ()
    ) -> None:
        """A convolution of the first operand with a kernel [*taps, taken, groups·given], and what follows it."""
        for part in walks[-1].parts():
            self.rows_of_pixels((*walks[:-1], part), kernel, channels, own)

    def rows_of_pixels(
        self, walks: Sequence[Walk], kernel: Buffer, channels: Channels, own: tuple[Buffer, ...]
    ) -> None:
        """The same, row by row of pixels along the last spatial axis."""
        image, last = self.anchor.inputs[0].type, walks[-1]
        form = Form(image.shape[0], walks, channels)
        rows = form.pixels[-1:] if last.inside or last.constant else ()
        outer = (form.batch, *form.groups, *form.pixels[: len(walks) - len(rows)])
        for axis in outer:
            self.open(axis)
        sums, index = self.sums(form, (*rows, form.columns))
        scratch = own if self.direct else (*own, sums.buffer)
        lhs, rhs = Access(self.operand(0), image.shape, form.image), Access(kernel, form.kernel_shape, form.kernel)
        self.sum(form, rows, (*form.taps, form.channel), (sums, lhs, rhs), scratch=scratch)
        if not self.direct:
            self.finish((*rows, form.columns), sums, index)
        for _ in outer:
            self.close_loop("serial")

    def sums(self, form: Form, axes: tuple[Axis, ...]) -> tuple[Access, tuple[Index, ...]]:
        """Where sums along some axes go, and which element of the result they are: there at once, or to a row apart."""
        if self.direct:
            return Access(self.direct, self.anchor.type.shape, form.result), form.result
        shape = tuple(a.extent for a in axes)
        row = Buffer("row", TensorType(self.anchor.type.dtype, shape), "arena")
        return Access(row, shape, at(axes)), form.result

    def sum(
        self,
        form: Form,
        rows: tuple[Axis, ...],
        over: tuple[Axis, ...],
        places: tuple[Access, Access, Access],
        scratch: tuple[Buffer, ...],
        accumulate: bool = False,
    ) -> None:
        """Append the sums of products; `places` are where they go, lhs and rhs."""
        dtype = self.anchor.type.dtype
        into, lhs, rhs = (Row(p.buffer, p.linear()) for p in places)
        depth = prod(a.extent for a in over)
        known = depth if isinstance(depth, int) and not accumulate else None
        extents = tuple(a.extent for a in rows)
        plan = plan_convolution(self.target, dtype.name, extents, form.columns.extent, known, form.channels.lanewise)
        self.statement(
            Convolve(dtype, into, rows, form.columns, over, lhs, rhs, form.guards, plan, accumulate, scratch)
        )

    def finish(self, axes: tuple[Axis, ...], sums: Access, index: tuple[Index, ...]) -> None:
        """What follows the convolution, over axes along which its sums are in memory."""
        for axis in axes:
            self.open(axis)
        value = self.load_fresh(sums)
        self.frames[-1].known[(self.anchor, index)] = value
        for node in self.group.outputs:
            self.store(node, index)
        for i in range(len(axes)):
            self.close_loop("serial" if i else "lanes")

    # -- the kernel gradient ----------------------------------------------------------------------------------------

    def kernel_sums(self) -> None:
        """The kernel gradient: sums over pixels, image by image, in memory."""
        op, (image, result) = self.op, (n.type for n in self.anchor.inputs)
        channels = Channels(op.groups, op.per_group(image.shape[-1]), op.per_group(result.shape[-1]))
        form = Form(image.shape[0], walks_of(op, image.shape[1:-1], op.sizes, result.shape[1:-1]), channels)
        sums = Access(self.direct or Buffer("sums", self.anchor.type, "arena"), self.anchor.type.shape, form.kernel)
        self.clear(sums.buffer)
        last = form.walks[-1]
        spanning = channels.taken < ENOUGH_CHANNELS and (last.inside or last.constant)
        rows = (form.taps[-1], form.channel) if spanning else (form.channel,)
        outer = (form.batch, *form.groups, *(form.taps[:-1] if spanning else form.taps))
        for axis in outer:
            self.open(axis)
        lhs = Access(self.operand(0), image.shape, form.image)
        rhs = Access(self.operand(1), result.shape, (Index.of(form.batch), *at(form.pixels), form.result[-1]))
        scratch = () if self.direct else (sums.buffer,)
        self.sum(form, rows, form.pixels, (sums, lhs, rhs), scratch, accumulate=True)
        for _ in outer:
            self.close_loop("serial")
        if not self.direct:
            axes = axes_of(sums.shape)
            self.finish(axes, replace(sums, index=at(axes)), at(axes))

    def clear(self, buffer: Buffer) -> None:
        """Zeros everywhere in a buffer."""
        zero = self.fresh(0)
        self.statement(Literal(zero, buffer.type.dtype, bytes(buffer.type.dtype.itemsize)))
        axis = Axis("i", buffer.type.size)
        self.open(axis)
        self.statement(Store(Access(buffer, (axis.extent,), (Index.of(axis),)), zero))
        self.close_loop("lanes")

    # -- the data gradient ------------------------------------------------------------------------------------------

    def phases(self) -> None:
        """The data gradient: a convolution for each remainder of the place by the strides."""
        op, (ct, kernel) = self.op, (n.type for n in self.anchor.inputs)
        channels = Channels(op.groups, op.per_group(kernel.shape[-1]), constant(kernel.shape[-2]))
        dims = [
            list(phases_of(stride, dilation, low, constant(taps), size, count))
            for stride, dilation, low, taps, size, count in zip(
                op.strides, op.dilation, op.low, kernel.shape[:-2], ct.shape[1:-1], op.sizes, strict=True
            )
        ]
        for number, phase in enumerate(product(*dims)):
            turned = self.turned_kernel(number, [taps for _, taps in phase], channels)
            self.convolve([walk for walk, _ in phase], turned, channels, (turned,))

    def turned_kernel(self, number: int, taps: Sequence[range], channels: Channels) -> Buffer:
        """Some taps of the kernel, last ones first, with the channels that it takes and gives exchanged."""
        kernel = self.anchor.inputs[1].type
        shape = (*map(len, taps), channels.taken, channels.groups * channels.given)
        turned = Buffer(f"turned{number}", TensorType(kernel.dtype, shape), "arena")
        at_taps = [Axis(f"t{d}", len(t)) for d, t in enumerate(taps)]
        group, taken, given = Axis("g", channels.groups), Axis("j", channels.taken), Axis("c", channels.given)
        for axis in (*at_taps, group, taken, given):
            self.open(axis)
        source = (*(Index.of(a) * -t.step + t[-1] if t else Index() for a, t in zip(at_taps, taps, strict=True)),
                  Index.of(given), Index.of(group) * channels.taken + Index.of(taken))  # fmt: skip
        value = self.load_fresh(Access(self.operand(1), kernel.shape, source))
        target = (*at(tuple(at_taps)), Index.of(taken), Index.of(group) * channels.given + Index.of(given))
        self.statement(Store(Access(turned, shape, target), value))
        for i in range(len(at_taps) + 3):
            self.close_loop("serial" if i else "lanes")
        return turned


def walks_of(op: Convolution, image: Sequence[Size], kernel: Sequence[Size], result: Sequence[Size]) -> list[Walk]:
    """The spatial dimensions of a convolution between operands of such sizes."""
    dims = zip(result, kernel, image, op.strides, op.dilation, op.low, strict=True)
    return [
        Walk(count, constant(taps), size, stride, step, -1 * low) for count, taps, size, stride, step, low in dims
    ]


def constant(size: Size) -> int:
    """A size that the type rule wants to be a number."""
    assert isinstance(size, int)
    return size


def convolve(lowering: ConvolutionLowering) -> None:
    """The convolution itself."""
    op, (image, kernel) = lowering.op, (n.type for n in lowering.anchor.inputs)
    channels = Channels(op.groups, constant(kernel.shape[-2]), op.per_group(kernel.shape[-1]))
    walks = walks_of(op, image.shape[1:-1], kernel.shape[:-2], op.sizes)
    lowering.convolve(walks, lowering.operand(1), channels)


def phases_of(
    stride: int, dilation: int, low: Size, taps: int, size: Size, count: Size
) -> Iterator[tuple[Walk, range]]:
    """For each remainder r of q + low by the stride: the places q of `count`, and the taps that reach them.

    Tap t reaches q from result p = (q + low − t·dilation) / stride, an integer for every so many taps or for none.
    """
    apart = stride // gcd(stride, dilation)
    for rest in range(stride):
        first = (rest + (stride - 1) * low) % stride
        places = (count - first + (stride - 1)) // stride
        start = next((t for t in range(min(apart, taps)) if (rest - t * dilation) % stride == 0), taps)
        used = range(start, taps, apart)
        reach = apart * dilation // stride
        base = (first + low - rest) // stride + (rest - start * dilation) // stride - max(len(used) - 1, 0) * reach
        if isinstance(places, int) and places <= 0:
            continue
        yield Walk(places, len(used), size, 1, reach, base, stride, first), used


FORMS: dict[type[Op], Callable[[ConvolutionLowering], None]] = {
    Conv: convolve,
    ConvInput: ConvolutionLowering.phases,
    ConvKernel: ConvolutionLowering.kernel_sums,
}
