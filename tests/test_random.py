"""Random numbers: published vectors in compiled code, the same numbers everywhere, distributions of fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import ops
from graphc.errors import DTypeError
from graphc.frontend.interpret import initial_state
from graphc.frontend.promotion import apply, stretch
from graphc.ir.types import u32

#: Random123 1.14, kat_vectors: threefry2x32 of 20 rounds: key, counter, block.
PUBLISHED = (
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
)

DRAWS: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda key: gr.random.uniform((1000, 20), key, -1.0, 3.0),
    "normal": lambda key: gr.random.normal((1000, 20), key, 0.5, 2.0),
    "truncated_normal": lambda key: gr.random.truncated_normal((1000, 20), key),
    "exponential": lambda key: gr.random.exponential((1000, 20), key, 2.0),
    "gumbel": lambda key: gr.random.gumbel((1000, 20), key),
    "gamma": lambda key: gr.random.gamma(2.5, (1000, 20), key, 2.0),
    "beta": lambda key: gr.random.beta(2.0, 3.0, (1000, 20), key),
    "bernoulli": lambda key: gr.random.bernoulli(0.3, (1000, 20), key),
    "randint": lambda key: gr.random.randint(-3, 7, (1000, 20), key),
    "permutation": lambda key: gr.random.permutation(1000, key=key),
    "categorical": lambda key: gr.random.categorical(np.log(np.float32([0.1, 0.2, 0.7])), shape=(1000, 20), key=key),
}

#: Means and variances of the distributions above.
MOMENTS = {
    "uniform": (1.0, 16 / 12), "normal": (0.5, 4.0), "truncated_normal": (0.0, 0.774), "exponential": (2.0, 4.0),
    "gumbel": (0.5772, np.pi**2 / 6), "gamma": (5.0, 10.0), "beta": (0.4, 0.04), "bernoulli": (0.3, 0.21),
    "randint": (1.5, 99 / 12), "permutation": (499.5, (1000**2 - 1) / 12), "categorical": (1.6, 0.44),
}  # fmt: skip


def of_seed(draw: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda seed: draw(gr.random.key(seed))


@pytest.mark.parametrize(("key", "counter", "block"), PUBLISHED)
def test_compiled_threefry_gives_the_published_vectors(key: Any, counter: Any, block: Any) -> None:
    def words(k: Any, c: Any) -> Any:
        parts = [stretch(gr.reshape(v, ()), (37,)) for v in (k[0], k[1], c[0], c[1])]
        return tuple(apply(ops.Threefry(word), *parts) for word in (0, 1))

    got = gr.jit(words)(np.array(key, u32.numpy), np.array(counter, u32.numpy))
    for word, expected in zip(got, block, strict=True):
        np.testing.assert_array_equal(word, np.full(37, expected, np.uint32))


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_gives_the_same_numbers_everywhere(name: str, tmp_path: Path) -> None:
    draw = of_seed(DRAWS[name])
    compiled = gr.jit(draw)(np.int64(7))
    interpreted = gr.interpret(draw)(np.int64(7))
    if compiled.dtype.kind == "f":
        np.testing.assert_allclose(compiled, interpreted, 2e-5, 2e-6)
    else:
        np.testing.assert_array_equal(compiled, interpreted)
    program = gr.Program("draws")
    program.entry(seed=gr.i64[()])(named(draw))
    loaded = gr.load(program.build(tmp_path / "draws.so"))
    np.testing.assert_array_equal(loaded.draw(np.int64(7)), compiled)
    assert not np.array_equal(gr.jit(draw)(np.int64(8)), compiled)


def named(draw: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def entry(seed: Any) -> Any:
        return draw(seed)

    entry.__name__ = "draw"
    return entry


@pytest.mark.parametrize("name", DRAWS)
def test_moments_are_those_of_the_distribution(name: str) -> None:
    x = np.asarray(gr.jit(of_seed(DRAWS[name]))(np.int64(3)), np.float64)
    mean, variance = MOMENTS[name]
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / x.size)
    assert abs(x.var() - variance) < 0.06 * variance + 1e-9
    assert np.isfinite(x).all()


def test_a_permutation_has_every_place_once_and_moves_slices_whole() -> None:
    x = np.arange(60, dtype=np.float32).reshape(3, 20)
    got = gr.jit(lambda seed, x: gr.random.permutation(x, 1, gr.random.key(seed)))(np.int64(1), x)
    order = got[0].astype(int)
    assert sorted(order) == list(range(20)) and list(order) != list(range(20))
    np.testing.assert_array_equal(got, x[:, order])


def test_categorical_follows_its_logits_along_any_axis() -> None:
    logits = np.log(np.float32([[0.9, 0.1], [0.2, 0.8]]))
    draw = gr.jit(lambda seed, x: gr.random.categorical(x, 0, (4000, 2), gr.random.key(seed)))
    share = draw(np.int64(5), logits).mean(0)
    np.testing.assert_allclose(share, [2 / 11, 8 / 9], atol=0.03)


def test_probabilities_may_be_a_tensor() -> None:
    p = np.float32([0.0, 0.5, 1.0])
    got = gr.jit(lambda seed, p: gr.random.bernoulli(p, (500, 3), gr.random.key(seed)))(np.int64(2), p)
    assert not got[:, 0].any() and got[:, 2].all() and 200 < got[:, 1].sum() < 300


def test_numbers_that_are_no_floats_are_refused() -> None:
    with pytest.raises(DTypeError, match="random numbers of i32"):
        gr.interpret(lambda seed: gr.random.gumbel((3,), gr.random.key(seed), dtype=gr.i32))(np.int64(1))
    with pytest.raises(DTypeError, match="are no logits"):
        gr.interpret(lambda x: gr.random.categorical(x, key=gr.random.key(1)))(np.int32([1, 2]))


def test_numbers_depend_on_the_place_in_row_major_order_only() -> None:
    """So the first rows keep theirs when there are more, and loops run over all as one row."""

    @gr.jit
    def draw(x: gr.f32["N", 3, "W"], seed: gr.i64):
        key = gr.random.key(seed)
        return gr.random.normal(x.shape, key), gr.random.normal((60,), key), gr.random.normal((), key)

    cube, row, one = draw(np.zeros((4, 3, 5), np.float32), 3)
    np.testing.assert_array_equal(cube.ravel(), row)
    np.testing.assert_array_equal(one, row[0])
    np.testing.assert_array_equal(draw(np.zeros((2, 3, 5), np.float32), 3)[0], cube[:2])


def test_random_numbers_come_from_the_counter_and_the_place() -> None:
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N"]) -> Any:
        return gr.random.uniform(x.shape), gr.random.uniform(x.shape)

    @program.entry
    def g(x: gr.f32["N"]) -> Any:
        return x

    x = np.zeros(1000, np.float32)
    draw, again, other = (gr.interpret(f, seed=s) for s in (3, 3, 4))
    first, second = draw(x), draw(x)
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], second[0])
    np.testing.assert_array_equal(again(x)[0], first[0])
    np.testing.assert_array_equal(again(x[:10])[0], second[0][:10])
    assert not np.array_equal(other(x)[0], first[0])
    assert draw.state["graphc/random"] == initial_state(program, 3)["graphc/random"] + 2
    assert [e.pure for e in program.trace().entries] == [False, True]


def test_explicit_keys_repeat() -> None:
    def f(seed: Any) -> Any:
        key = gr.random.key(seed)
        one, two = gr.random.split(key)
        draw = lambda k: gr.random.uniform((100,), k)  # noqa: E731
        return draw(key), draw(key), draw(one), draw(two), draw(gr.random.fold_in(key, 1))

    a, b, c, d, e = gr.interpret(f)(np.int64(7))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(d, e)
    assert not np.array_equal(a, c) and not np.array_equal(c, d)


@pytest.mark.parametrize("dtype", [gr.f32, gr.f64])
def test_distributions_have_their_moments(dtype: Any) -> None:
    n = 200_000

    def f(seed: Any) -> Any:
        keys = gr.random.split(gr.random.key(seed), 5)
        return (
            gr.random.uniform((n,), keys[0], -1.0, 3.0, dtype),
            gr.random.normal((n,), keys[1], 2.0, 0.5, dtype),
            gr.random.truncated_normal((n,), keys[2], dtype=dtype),
            gr.random.bernoulli(0.3, (n,), keys[3]),
            gr.random.randint(-2, 5, (n,), keys[4]),
        )

    uniform, normal, truncated, coins, whole = gr.interpret(f)(np.int64(1))
    assert uniform.dtype == dtype.numpy and uniform.min() >= -1 and uniform.max() < 3
    assert uniform.mean() == pytest.approx(1, abs=0.02) and uniform.std() == pytest.approx(4 / 12**0.5, rel=0.01)
    assert normal.mean() == pytest.approx(2, abs=0.01) and normal.std() == pytest.approx(0.5, rel=0.01)
    assert np.mean((normal - 2) ** 4) == pytest.approx(3 * 0.5**4, rel=0.05)
    assert np.abs(truncated).max() <= 2.0001 and truncated.std() == pytest.approx(0.87962566, rel=0.01)
    assert coins.mean() == pytest.approx(0.3, abs=0.01)
    assert set(whole) == set(range(-2, 5)) and whole.mean() == pytest.approx(1, abs=0.02)
