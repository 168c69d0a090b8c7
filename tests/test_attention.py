"""Attention: values and gradients against PyTorch's, masks, rows without keys, symbolic sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import nn
from graphc.errors import DTypeError, ShapeError
from graphc.frontend import attention_blocks
from graphc.ir.dim import evaluate
from graphc.ir.node import Array
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import target
from graphc.schedule.program import schedule_entry

VECTORS = np.load(Path(__file__).parent / "vectors" / "functional.npz")


def attention(q: Array, k: Array, v: Array, mask: Array | None = None, scale: float | None = None) -> Array:
    """The definition in float64; a float mask is added, a row of −∞ gives 0."""
    scores = q @ np.swapaxes(k, -1, -2) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = powers.sum(-1, keepdims=True)
    return np.asarray(powers / np.where(total == 0, 1, total) @ v)


@pytest.mark.parametrize("name", ["attention", "attention_causal", "attention_mask"])
def test_attention_and_its_gradients_are_pytorchs(name: str) -> None:
    operands = [VECTORS[f"{name}/x{i}"] for i in range(4) if f"{name}/x{i}" in VECTORS]
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 2e-5)):
        weights = VECTORS[f"{name}/weights"].astype(dtype)

        def value_and_gradients(*xs: Any, weights: Any = weights) -> Any:
            y = nn.dot_product_attention(*xs, causal=name == "attention_causal")
            return y, gr.gradients(gr.sum(y * weights), list(xs))

        y, gradients = gr.jit(value_and_gradients)(*(x.astype(dtype) for x in operands))
        np.testing.assert_allclose(y, VECTORS[f"{name}/value"], rtol=tolerance, atol=tolerance)
        for i, gradient in enumerate(gradients):
            np.testing.assert_allclose(gradient, VECTORS[f"{name}/gradient{i}"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (5, 3, 17, 2), (33, 16, 8, 15), (2, 0, 3, 4)])
def test_odd_sizes_and_masks(sizes: tuple[int, int, int, int]) -> None:
    queries, keys, dim, out = sizes
    rng = np.random.default_rng(8)
    q, k, v = (rng.normal(size=(2, 3, *s)) for s in ((queries, dim), (keys, dim), (keys, out)))
    hidden = rng.random((2, 1, queries, keys)) < 0.5
    hidden[0, 0, 0] = False
    added = rng.normal(size=(queries, keys))
    causal = np.tril(np.ones((queries, keys), bool))
    arrays = [x.astype(np.float32) for x in (q, k, v)]
    if not keys:
        np.testing.assert_array_equal(gr.jit(nn.dot_product_attention)(*arrays), np.zeros((2, 3, queries, out)))
        return
    cases: list[tuple[Any, dict[str, Any]]] = [
        (attention(q, k, v), {}),
        (attention(q, k, v, hidden), {"mask": hidden}),
        (attention(q, k, v, added), {"mask": added.astype(np.float32)}),
        (attention(q, k, v, causal), {"causal": True}),
        (attention(q, k, v, hidden & causal), {"mask": hidden, "causal": True}),
        (attention(q, k, v, scale=0.3), {"scale": 0.3}),
    ]
    for expected, options in cases:
        got = gr.jit(lambda q, k, v, o=options: nn.dot_product_attention(q, k, v, **o))(*arrays)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_a_query_without_keys_gives_zero_and_gradients_that_are_numbers() -> None:
    rng = np.random.default_rng(9)
    q, k, v = (rng.normal(size=(1, 1, 3, 4)) for _ in range(3))
    mask = np.array([[True, False, True], [False] * 3, [True] * 3])
    function = lambda q, k, v: nn.dot_product_attention(q, k, v, mask=mask)  # noqa: E731
    assert (gr.jit(function)(q, k, v)[0, 0, 1] == 0).all()
    assert gr.check_grads(function, q, k, v).worst < 1e-6
    assert gr.check_grads(function, q, k, v, order=2).worst < 1e-4


def test_symbolic_batch_and_time() -> None:
    program = gr.Program("attention")

    @program.entry
    def attend(q: gr.f32["N", 2, "T", 4], k: gr.f32["N", 2, "S", 4], v: gr.f32["N", 2, "S", 3]):  # type: ignore[no-untyped-def, name-defined]
        return nn.dot_product_attention(q, k, v, causal=True)

    compiled = program.compile()
    rng = np.random.default_rng(10)
    for n, t, s in ((1, 1, 1), (2, 5, 7), (3, 17, 16), (0, 3, 2)):
        q, k, v = (rng.normal(size=(n, 2, *shape)).astype(np.float32) for shape in ((t, 4), (s, 4), (s, 3)))
        expected = attention(q, k, v, np.tril(np.ones((t, s), bool)))
        np.testing.assert_allclose(compiled.attend(q, k, v), expected, rtol=2e-5, atol=2e-6)


CAUSES = {"all": (False, None), "causal": (True, None), "mask": (False, "full"), "causal_padding": (True, "keys")}


@pytest.mark.parametrize("case", CAUSES)
def test_blocks_of_keys_give_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten keys in blocks of four, so that the last one is not full."""
    monkeypatch.setattr(attention_blocks, "BLOCK", 4)
    monkeypatch.setattr("graphc.frontend.attention.LARGE", 8)
    causal, kind = CAUSES[case]
    rng = np.random.default_rng(11)
    q, k, v = (rng.normal(size=(2, 3, *s)) for s in ((7, 5), (10, 5), (10, 6)))
    mask = rng.random((2, 1, 7 if kind == "full" else 1, 10)) < 0.5
    mask[0, 0, 0] = False
    options: dict[str, Any] = {"causal": causal} | ({"mask": mask} if kind else {})
    seen = np.tril(np.ones((7, 10), bool)) if causal else np.ones((7, 10), bool)
    expected = attention(q, k, v, seen & mask if kind else seen)

    def function(q: Any, k: Any, v: Any) -> Any:
        return nn.dot_product_attention(q, k, v, **options)

    np.testing.assert_allclose(gr.jit(function)(q, k, v), expected, rtol=1e-12, atol=1e-13)
    assert gr.check_grads(function, q, k, v).worst < 1e-6
    singles = [x.astype(np.float32) for x in (q, k, v)]
    np.testing.assert_allclose(gr.jit(function)(*singles), expected, rtol=2e-5, atol=2e-6)


def test_blocks_of_16_bit_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_blocks, "BLOCK", 4)
    monkeypatch.setattr("graphc.frontend.attention.LARGE", 4)
    x = np.random.default_rng(14).normal(size=(2, 9, 8)).astype(np.float16)
    got = gr.jit(lambda x: nn.dot_product_attention(x, x, x, causal=True))(x)
    assert got.dtype == np.float16
    wide = x.astype(np.float64)
    expected = attention(wide, wide, wide, np.tril(np.ones((9, 9), bool)))
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-3)


def test_blocks_under_vmap_and_jvp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_blocks, "BLOCK", 4)
    rng = np.random.default_rng(15)
    x, direction = (rng.normal(size=(2, 1, 2, 6, 3)) for _ in range(2))

    def function(x: Any) -> Any:
        return nn.dot_product_attention(x, x, x, causal=True)

    def everything(x: Any, direction: Any) -> Any:
        gradient = gr.grad(lambda x: gr.sum(function(x) ** 2))
        return gr.vmap(function)(x), gr.vmap(gradient)(x), gr.jvp(function, (x[0],), (direction[0],))[1]

    plain = gr.jit(lambda x, direction: everything(x, direction))(x, direction)
    monkeypatch.setattr("graphc.frontend.attention.LARGE", 1)
    for got, expected in zip(gr.jit(everything)(x, direction), plain, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


def test_blocks_differentiate_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_blocks, "BLOCK", 2)
    monkeypatch.setattr("graphc.frontend.attention.LARGE", 1)
    rng = np.random.default_rng(12)
    q, k, v = (rng.normal(size=(1, 1, 3, 2)) for _ in range(3))
    assert gr.check_grads(lambda q, k, v: nn.dot_product_attention(q, k, v, causal=True), q, k, v, order=2).worst < 1e-4


def test_long_sequences_take_memory_linear_in_time() -> None:
    """Forward and backward, symbolic in time: twice the time, twice the workspace; never a matrix of T×T."""
    time = gr.dim("T", min=1, typical=1024)
    program = gr.Program("long")

    @program.entry
    def train(q: gr.f32[1, 2, time, 8]):  # type: ignore[no-untyped-def, valid-type]
        y = nn.dot_product_attention(q, q, q, causal=True)
        return y, gr.gradients(gr.sum(y * y), [q])[0]

    compiled = program.compile()
    for n in (1, 127, 300):
        q = np.random.default_rng(13).normal(size=(1, 2, n, 8)).astype(np.float32)
        expected = attention(q, q, q, np.tril(np.ones((n, n), bool)))
        np.testing.assert_allclose(compiled.train(q)[0], expected, rtol=3e-5, atol=3e-6)
    graph = optimise(program.trace().entries[0].graph)
    schedule = schedule_entry(graph, {}, target("native"))
    sizes = [sum(evaluate(p.size, {"T": t}) for p in schedule.arena) for t in (4096, 8192)]
    assert sizes[1] < 2.2 * sizes[0]


def test_mistakes_are_named() -> None:
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ShapeError, match="do not fit together"):
        gr.jit(nn.dot_product_attention)(x, x, x[:, :2])
    with pytest.raises(ShapeError, match=r"a mask bool\[4\] does not broadcast to \(2, 3, 3\)"):
        gr.jit(lambda x: nn.dot_product_attention(x, x, x, mask=np.ones(4, bool)))(x)
    with pytest.raises(DTypeError, match="the mask is i32"):
        gr.jit(lambda x: nn.dot_product_attention(x, x, x, mask=np.ones((3, 3), np.int32)))(x)
