"""Convolutions: right for every geometry on every target, the derivatives of one another, PyTorch's numbers, fused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, ops, optim
from graphc.ir.dim import Size, symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Array, Input, Scope
from graphc.ir.types import DType, TensorType, f32, f64, i32
from graphc.ops.base import numbers
from graphc.runtime.targets import Target
from tests.compiled import Allocator, CompiledGraph
from tests.guards import GuardedMemory
from tests.test_matmul import TARGETS, every_target

VECTORS = Path(__file__).parent / "vectors" / "convolution.npz"
N, T = symbol("N", typical=4), symbol("T", typical=12)
NOTHING = np.zeros((0, 0), np.float32)


class Shape(NamedTuple):
    """A trilinear form: the sizes of all three operands, and how they meet."""

    batch: Size
    image: tuple[Size, ...]
    kernel: tuple[int, ...]
    result: tuple[Size, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    low: tuple[int, ...]
    groups: int
    taken: int
    given: int

    def operands(self) -> dict[type[ops.Convolution], tuple[tuple[Size, ...], tuple[Size, ...]]]:
        """The shapes that each primitive takes."""
        x = (self.batch, *self.image, self.groups * self.taken)
        k = (*self.kernel, self.taken, self.groups * self.given)
        ct = (self.batch, *self.result, self.groups * self.given)
        return {ops.Conv: (x, k), ops.ConvInput: (ct, k), ops.ConvKernel: (x, ct)}

    def op(self, kind: type[ops.Convolution]) -> ops.Convolution:
        """The primitive."""
        sizes = {ops.Conv: self.result, ops.ConvInput: self.image, ops.ConvKernel: self.kernel}[kind]
        return kind(self.strides, self.low, self.dilation, sizes, self.groups)


def shapes(seed: object, count: int) -> Iterator[Shape]:
    """Random geometries: nothing about them fits together."""
    choose = random.Random(str(seed))
    for _ in range(count):
        rank = choose.choice((1, 2, 2, 2, 3))
        most = (20, 15, 8)[rank - 1]

        def each(low: int, high: int, rank: int = rank, choose: random.Random = choose) -> tuple[int, ...]:
            return tuple(choose.randint(low, high) for _ in range(rank))

        yield Shape(
            choose.choice((0, 1, 2, 3)), each(1, most), each(1, 5), each(choose.choice((0, 1, 1)), most),
            each(1, 3), each(1, 2), each(-1, 3),
            choose.choice((1, 1, 1, 2, 3, 17)), choose.choice((1, 1, 2, 3, 6, 16)),
            choose.choice((1, 2, 6, 16, 17, 33)),
        )  # fmt: skip


def whole(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    """Small whole numbers, whose sums are exact in any order."""
    return rng.integers(-3, 4, shape).astype(dtype.numpy)


def compiled(shape: Shape, kind: type[ops.Convolution], target: Target, dtype: DType) -> CompiledGraph:
    """One primitive as machine code; a first argument has the symbols' sizes."""
    scope = Scope()
    types = (f32[N, T], *(TensorType(dtype, s) for s in shape.operands()[kind]))
    sizes, x, y = (scope.typed(Input(f"x{i}"), t) for i, t in enumerate(types))
    return CompiledGraph(Graph("conv", scope, (sizes, x, y), (scope.node(shape.op(kind), x, y),)), {}, target)


def check(shape: Shape, target: Target, dtype: DType, allocate: Allocator | None = None) -> None:
    """All three primitives give exactly what they mean."""
    rng = np.random.default_rng(7)
    for kind, operands in shape.operands().items():
        a, b = (whole(rng, numbers(s), dtype) for s in operands)
        (got,) = compiled(shape, kind, target, dtype)([NOTHING, a, b], {}, allocate).outputs
        np.testing.assert_array_equal(got, shape.op(kind).eval(a, b), f"{kind.__name__} {shape}")


@every_target
def test_any_geometry(target: Target) -> None:
    for i, shape in enumerate(shapes(target.name, 16)):
        check(shape, target, (f32, f64, f32, i32)[i % 4])


@pytest.mark.slow
@every_target
def test_many_geometries(target: Target) -> None:
    for i, shape in enumerate(shapes(f"many {target.name}", 250)):
        check(shape, target, (f32, f64)[i % 2])


@pytest.mark.parametrize("at_start", [False, True])
def test_nothing_outside_is_touched(at_start: bool) -> None:
    memory = GuardedMemory(at_start)
    for shape in shapes("guards", 10):
        check(shape, TARGETS[-1], f32, memory)


SYMBOLIC = (
    Shape(N, (9, 8), (3, 3), (9, 8), (1, 1), (1, 1), (1, 1), 1, 3, 17),
    Shape(N, (T,), (3,), (T,), (1,), (1,), (1,), 1, 4, 6),
    Shape(2, (T, 5), (3, 2), ((T + 1) // 2, 5), (2, 1), (1, 1), (1, 0), 2, 2, 3),
    Shape(2, (5, T), (3, 5), (5, T), (1, 1), (1, 2), (1, 4), 1, 1, 16),
    Shape(1, (4, T), (1, 1), (4, T), (1, 1), (1, 1), (0, 0), 1, 6, 6),
)


@pytest.mark.parametrize("shape", SYMBOLIC, ids=range(len(SYMBOLIC)))
def test_one_binary_serves_every_size(shape: Shape) -> None:
    for kind, operands in shape.operands().items():
        code = compiled(shape, kind, TARGETS[-1], f32)
        rng = np.random.default_rng(3)
        for size in (0, 1, 2, 3, 7, 16, 31):
            values = {"N": size, "T": size}
            a, b = (whole(rng, numbers(f32[s].bind(values).shape), f32) for s in operands)
            (got,) = code([np.zeros((size, size), np.float32), a, b], {}).outputs
            np.testing.assert_array_equal(got, shape.op(kind).bind(values).eval(a, b), f"{kind.__name__} {size}")


def test_padding_is_left_out_not_multiplied() -> None:
    x, kernel = np.ones((1, 4, 4, 1), np.float32), np.zeros((3, 3, 1, 2), np.float32)
    kernel[0, 0] = np.inf
    y = gr.jit(nn.conv)(x, kernel)
    assert (y[0, 0] == 0).all() and (y[0, :, 0] == 0).all() and (y[0, 1:, 1:] == np.inf).all()


def test_rows_do_not_see_one_another() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(5, 9, 9, 3)).astype(np.float32), rng.normal(size=(3, 3, 3, 6)).astype(np.float32)

    @gr.jit
    def f(x: gr.f32["N", 9, 9, 3], kernel: gr.f32[3, 3, 3, 6]) -> Any:
        return nn.conv(x, kernel)

    together = f(x, kernel)
    for i in range(5):
        assert f(x[i : i + 1], kernel).tobytes() == together[i].tobytes()


def test_the_code_is_vectors_and_calls_nothing() -> None:
    shape = Shape(2, (16, 16), (3, 3), (16, 16), (1, 1), (1, 1), (1, 1), 1, 16, 32)
    for kind in shape.operands():
        text = compiled(shape, kind, TARGETS[-1], f32).text
        assert f"llvm.fma.v{TARGETS[-1].lanes(4)}f32" in text
        assert "call float @" not in text


# Derivatives


def functions() -> dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]]:
    """Name -> a function of x and a kernel, and their shapes."""
    return {
        "same": (nn.conv, (2, 4, 5, 2), (3, 3, 2, 3)),
        "even": (nn.conv, (1, 4, 5, 1), (2, 4, 1, 2)),
        "strided": (partial(nn.conv, strides=(2, 3), padding=((1, 0), (0, 2))), (2, 5, 6, 2), (3, 2, 2, 2)),
        "dilated": (partial(nn.conv, dilation=2, padding="VALID"), (1, 6, 5, 2), (2, 2, 2, 2)),
        "depthwise": (partial(nn.conv, groups=3), (1, 4, 4, 3), (3, 3, 1, 3)),
        "grouped": (partial(nn.conv, groups=2, strides=2), (2, 5, 4, 4), (3, 3, 2, 4)),
        "sequence": (partial(nn.conv, strides=2), (2, 7, 3), (3, 3, 2)),
        "volume": (partial(nn.conv, padding=1), (1, 3, 2, 3, 1), (2, 3, 2, 1, 2)),
        "transposed": (partial(nn.conv_transpose, strides=2), (1, 3, 2, 3), (3, 3, 2, 3)),
    }


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", functions())
def test_derivatives_agree_with_centred_differences(name: str, order: int) -> None:
    function, of_x, of_kernel = functions()[name]
    rng = np.random.default_rng(1)
    worst = gr.check_grads(
        lambda x, kernel: gr.sum(gr.tanh(function(x, kernel))), rng.normal(size=of_x), rng.normal(size=of_kernel),
        order=order,
    ).worst  # fmt: skip
    assert worst < (1e-6 if order == 1 else 1e-4)


def test_second_derivatives_compile() -> None:
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(2, 5, 4, 2)).astype(np.float32), rng.normal(size=(3, 3, 2, 3)).astype(np.float32)

    def energy(kernel: Any) -> Any:
        return gr.sum(nn.conv(x, kernel, strides=2) ** 3)

    product = gr.jit(lambda k, v: gr.hvp(energy, (k,), (v,)))
    gradient = gr.jit(gr.grad(energy))
    step = 1e-2
    slope = (gradient(kernel + step * kernel) - gradient(kernel - step * kernel)) / (2 * step)
    np.testing.assert_allclose(np.squeeze(product(kernel, kernel)), slope, rtol=2e-3, atol=2e-3)


# Inside of other things


def test_gradients_of_each_example() -> None:
    rng = np.random.default_rng(3)

    def loss(kernel: Any, x: Any) -> Any:
        return gr.sum(nn.conv(x[None], kernel, 2) ** 2)

    @gr.jit
    def each(kernel: gr.f32[3, 3, 2, 4], x: gr.f32["N", 6, 5, 2]) -> Any:
        return gr.vmap(gr.grad(loss), in_axes=(None, 0))(kernel, x)

    kernel, x = rng.normal(size=(3, 3, 2, 4)).astype(np.float32), rng.normal(size=(5, 6, 5, 2)).astype(np.float32)
    alone = gr.jit(gr.grad(loss))
    np.testing.assert_allclose(each(kernel, x), [alone(kernel, row) for row in x], rtol=1e-5, atol=1e-5)


def test_several_kernels_at_once() -> None:
    rng = np.random.default_rng(4)
    kernels, x = rng.normal(size=(3, 3, 2, 4)).astype(np.float32), rng.normal(size=(2, 9, 2)).astype(np.float32)

    @gr.jit
    def all_of(kernels: gr.f32["M", 3, 2, 4], x: gr.f32["N", 9, 2]) -> Any:
        return gr.vmap(lambda kernel: nn.conv(x, kernel))(kernels)

    np.testing.assert_allclose(all_of(kernels, x), [gr.jit(nn.conv)(x, k) for k in kernels], rtol=1e-5, atol=1e-5)


def test_a_recurrence_of_convolutions() -> None:
    rng = np.random.default_rng(5)
    x, kernel = rng.normal(size=(4, 2, 5, 5, 3)).astype(np.float32), 0.3 * rng.normal(size=(3, 3, 3, 3))

    def step(h: Any, row: Any, kernel: Any) -> Any:
        return gr.tanh(nn.conv(h, kernel) + row)

    def scanned(kernel: Any) -> Any:
        return gr.sum(gr.scan(lambda h, row: (step(h, row, kernel), None), x[0] * 0, x)[0] ** 2)

    def unrolled(kernel: Any) -> Any:
        h = gr.asarray(x[0] * 0)
        for row in x:
            h = step(h, row, kernel)
        return gr.sum(h**2)

    for got, expected in zip(*(gr.jit(gr.value_and_grad(f))(kernel.astype(np.float32)) for f in (scanned, unrolled)),
                             strict=True):  # fmt: skip
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_images_of_any_size() -> None:
    rng = np.random.default_rng(6)
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)

    def f(x: Any, kernel: Any) -> Any:
        y = nn.conv(x, kernel, strides=2)
        return (y, *gr.gradients(gr.sum(y * y), [x, kernel]))

    @gr.jit
    def of_any(x: gr.f32["N", "H", "W", 2], kernel: gr.f32[3, 3, 2, 4]) -> Any:
        return f(x, kernel)

    for shape in ((1, 5, 7, 2), (2, 8, 8, 2), (1, 1, 2, 2), (0, 3, 3, 2)):
        x = rng.normal(size=shape).astype(np.float32)
        for got, expected in zip(of_any(x, kernel), gr.jit(f)(x, kernel), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


# PyTorch's numbers

RECORDED: dict[str, Any] = {
    "plain": partial(nn.conv, padding=1),
    "strided": partial(nn.conv, strides=(2, 3), padding=(1, 2)),
    "dilated": partial(nn.conv, dilation=(3, 2), padding=((0, 0), (1, 1))),
    "grouped": partial(nn.conv, groups=3, padding="VALID"),
    "depthwise": partial(nn.conv, groups=5, padding=1, strides=2),
    "sequence": partial(nn.conv, padding=2),
    "volume": partial(nn.conv, strides=(1, 2, 1), padding=(1, 0, 1)),
    "transposed": partial(nn.conv_transpose, strides=2, padding=1, output_padding=1),
    "transposed_groups": partial(nn.conv_transpose, strides=(1, 3), padding=0, groups=2, dilation=(2, 1)),
    "transposed_sequence": partial(nn.conv_transpose, strides=3, padding=1),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_results_and_gradients_of_pytorch(name: str) -> None:
    with np.load(VECTORS) as vectors:
        case = {key.split("/")[1]: vectors[key] for key in vectors.files if key.startswith(f"{name}/")}
    function = RECORDED[name]

    def run(x: Any, kernel: Any, weights: Any) -> Any:
        y = function(x, kernel)
        return (y, *gr.gradients(gr.sum(y * weights), [x, kernel]))

    got = gr.jit(run)(case["x"], case["kernel"], case["weights"])
    for value, expected in zip(got, (case["y"], case["x_gradient"], case["kernel_gradient"]), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "taps", "stride", "same", "valid"),
    [(28, 5, 1, 28, 24), (7, 3, 2, 4, 3), (5, 2, 3, 2, 2), (4, 5, 1, 4, 0), (3, 5, 2, 2, 0), (6, 1, 4, 2, 2)],
)
def test_sizes(size: int, taps: int, stride: int, same: int, valid: int) -> None:
    x, kernel = np.ones((1, size, 1), np.float32), np.ones((taps, 1, 1), np.float32)
    for padding, expected in (("SAME", same), ("VALID", valid), ("valid", valid)):
        assert gr.jit(partial(nn.conv, strides=stride, padding=padding))(x, kernel).shape == (1, expected, 1)
    back = gr.jit(partial(nn.conv_transpose, strides=stride))(np.ones((1, same, 1), np.float32), kernel)
    assert back.shape == (1, same * stride, 1)
    wide = gr.jit(partial(nn.conv_transpose, strides=stride, padding="VALID"))(x, kernel)
    assert wide.shape == (1, size * stride + max(taps - stride, 0), 1)


# Networks


def small_network(optimizer: Any) -> gr.Program:
    """A training step of two convolutions and a dense layer."""
    net = nn.Sequential(
        nn.Conv2D(8, 3, activation="relu"), nn.Conv2D(4, 3, strides=2, groups=2, activation="relu"), nn.Flatten(),
        nn.Dense(3),
    )  # fmt: skip
    program = gr.Program("small")

    @program.entry
    def train_step(x: gr.f32["N", 6, 6, 2], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x), y)
        optimizer.minimize(loss)
        return loss

    return program


def test_a_network_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 6, 6, 2)).astype(np.float32)
    y = (x[:, :3, :3, 0].mean((1, 2)) > 0).astype(np.int32) + (x[:, 3:, :, 1].mean((1, 2)) > 0)
    step = small_network(optim.Adam(1e-2)).compile().train_step
    first, last = float(step(x, y)), float(step.repeat(200, x, y))
    assert last < 0.1 * first


def test_what_follows_a_convolution_runs_in_its_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path))
    small_network(optim.SGD(0.1)).compile()
    text = (tmp_path / "train_step" / "kernels.txt").read_text()
    labels = [line.split()[2] for line in text.splitlines() if line.startswith("kernel ")]
    forward = [name for name in labels if name.startswith("conv_") and name[5:].startswith(("add", "le", "select"))]
    updates = [name for name in labels if name.startswith("conv_kernel")]
    assert len(forward) == 2, labels
    assert len(updates) == 2 and all("sub" in name for name in updates), labels


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv1D(5, 3), (2, 7, 4), (3, 4, 5)),
        (nn.Conv2D(6, (5, 3), strides=2, use_bias=False), (2, 8, 8, 1), (5, 3, 1, 6)),
        (nn.Conv2D(6, 3, groups=3, in_channels=3), (2, 8, 8, 3), (3, 3, 1, 6)),
        (nn.Conv3D(2, 2, padding="VALID", dilation=2), (1, 5, 5, 5, 2), (2, 2, 2, 2, 2)),
    ],
)
def test_layers(layer: nn.Module, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    layer.build(f32[shape])
    params = layer.init(0)
    kernel = next(v for name, v in params.items() if name.endswith("kernel"))
    assert kernel.shape == expected
    y = gr.jit(lambda x, p: layer.apply(p, x))(np.ones(shape, np.float32), params)
    assert np.isfinite(y).all() and y.shape[-1] == expected[-1]
