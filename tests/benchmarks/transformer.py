"""A small transformer's training step beside PyTorch and JAX, in one run: `python -m tests.benchmarks.transformer`.

Two pre-norm encoder layers of width 64, 4 heads, 256 hidden units, over 32 places and a batch of 16; the mean over the
places into ten classes, cross-entropy, Adam. One pinned thread, repeats in turns, medians and minima; before anything
is timed, the losses of five steps must agree. Needs the extra `bench`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks.loops import Run, jax_steps, torch_steps
from tests.benchmarks.machine import describe, interleaved, median, pin
from tests.benchmarks.models import Array

LAYERS, WIDTH, HEADS, HIDDEN, TIME, BATCH, CLASSES = 2, 64, 4, 256, 32, 16, 10
RATE = 1e-3


def parameters() -> dict[str, Array]:
    """The same weights for every library, by name."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> Array:
        return (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)

    found: dict[str, Array] = {}
    for i in range(LAYERS):
        for name in ("q", "k", "v", "o"):
            found[f"{i}/{name}"] = matrix(WIDTH, WIDTH)
        found |= {f"{i}/up": matrix(WIDTH, HIDDEN), f"{i}/up_bias": np.zeros(HIDDEN, np.float32)}
        found |= {f"{i}/down": matrix(HIDDEN, WIDTH), f"{i}/down_bias": np.zeros(WIDTH, np.float32)}
        for norm in ("first", "second"):
            found |= {f"{i}/{norm}_scale": np.ones(WIDTH, np.float32), f"{i}/{norm}_shift": np.zeros(WIDTH, np.float32)}
    return found | {"out": matrix(WIDTH, CLASSES), "out_bias": np.zeros(CLASSES, np.float32)}


def data() -> tuple[Array, np.ndarray[Any, np.dtype[np.int32]]]:
    """One batch."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((BATCH, TIME, WIDTH)).astype(np.float32)
    return x, rng.integers(0, CLASSES, BATCH).astype(np.int32)


def encoder(
    p: Any, x: Any, attention: Callable[..., Any], norm: Callable[..., Any], act: Callable[..., Any], swap: Any
) -> Any:
    """The network in a library's functions; `swap` exchanges the two middle axes."""

    def heads(y: Any) -> Any:
        return swap(y.reshape((-1, TIME, HEADS, WIDTH // HEADS)))

    for i in range(LAYERS):
        y = norm(x, p[f"{i}/first_scale"], p[f"{i}/first_shift"])
        mixed = attention(*(heads(y @ p[f"{i}/{name}"]) for name in ("q", "k", "v")))
        x = x + swap(mixed).reshape((-1, TIME, WIDTH)) @ p[f"{i}/o"]
        y = norm(x, p[f"{i}/second_scale"], p[f"{i}/second_shift"])
        x = x + act(y @ p[f"{i}/up"] + p[f"{i}/up_bias"]) @ p[f"{i}/down"] + p[f"{i}/down_bias"]
    return x.mean(1) @ p["out"] + p["out_bias"]


def graphc_run(activation: str) -> Run:
    """Steps in compiled code."""
    step, (x, y) = graphc_program(activation).compile().step, data()
    return lambda steps: float(step.repeat(steps, x, y))


def graphc_program(activation: str) -> Any:
    """The training step as a program."""
    import graphc as gr
    from graphc import losses, nn, optim

    p = {name: gr.Variable(value, name=name) for name, value in parameters().items()}
    opt = optim.Adam(RATE)
    program = gr.Program("transformer")

    @program.entry(x=gr.f32["N", TIME, WIDTH], y=gr.i32["N"])
    def step(x: Any, y: Any) -> Any:
        def swap(a: Any) -> Any:
            return gr.permute_dims(a, (0, 2, 1, 3))

        logits = encoder(p, x, nn.dot_product_attention, nn.layer_norm, getattr(nn, activation), swap)
        loss = losses.sparse_softmax_cross_entropy(logits, y)
        opt.minimize(loss)
        return loss

    return program


def torch_run(activation: str, compile_: bool = False) -> Run:
    """PyTorch, eager or through torch.compile, with its fused Adam."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    p = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in parameters().items()}
    opt = torch.optim.Adam(p.values(), RATE, fused=True)
    x, y = data()
    inputs, targets = torch.tensor(x), torch.tensor(y.astype(np.int64))

    def forward(a: Any, b: Any) -> Any:
        def norm(v: Any, scale: Any, shift: Any) -> Any:
            return F.layer_norm(v, (WIDTH,), scale, shift)

        attention, act = F.scaled_dot_product_attention, getattr(F, activation)
        return F.cross_entropy(encoder(p, a, attention, norm, act, lambda v: v.transpose(1, 2)), b)

    return torch_steps(forward, opt, inputs, targets, compile_=compile_)


def jax_run(activation: str, loop: bool) -> Run:
    """JAX with Optax: one jitted step called from Python, or looped inside one jit."""
    import jax
    import jax.numpy as jnp
    import optax

    opt = optax.adam(RATE)
    x, y = (jnp.asarray(a) for a in data())
    act = jax.nn.relu if activation == "relu" else partial(jax.nn.gelu, approximate=False)

    def norm(v: Any, scale: Any, shift: Any) -> Any:
        mean = v.mean(-1, keepdims=True)
        return (v - mean) * jax.lax.rsqrt(jnp.mean((v - mean) ** 2, -1, keepdims=True) + 1e-5) * scale + shift

    def attention(q: Any, k: Any, v: Any) -> Any:
        scores = jnp.einsum("bhqd,bhkd->bhqk", q * (WIDTH // HEADS) ** -0.5, k)
        return jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores, -1), v)

    def loss_of(p: Any, a: Any, b: Any) -> Any:
        logits = encoder(p, a, attention, norm, act, lambda v: jnp.swapaxes(v, 1, 2))
        return optax.softmax_cross_entropy_with_integer_labels(logits, b).mean()

    start = {name: jnp.asarray(value) for name, value in parameters().items()}
    return jax_steps(loss_of, opt, start, x, y, loop=loop)


RUNS: dict[str, Callable[[str], Run]] = {
    "graphc": graphc_run,
    "torch eager": torch_run,
    "torch.compile": partial(torch_run, compile_=True),
    "jax jit": partial(jax_run, loop=False),
    "jax fori_loop": partial(jax_run, loop=True),
}


def main(names: list[str]) -> None:
    """A table for relu and one for gelu; only the libraries named, where some are."""
    pin()
    print(describe("graphc", "torch", "jax", "optax", "numpy"))
    for activation in ("relu", "gelu"):
        runs = {name: build(activation) for name, build in RUNS.items() if not names or name in names}
        losses = {name: [run(1) for _ in range(5)] for name, run in runs.items()}
        expected = next(iter(losses.values()))
        for name, values in losses.items():
            if not np.allclose(values, expected, rtol=1e-4):
                raise SystemExit(f"{name} disagrees on the losses: {values}, not {expected}")
        print(f"\ntransformer, {activation}, batch {BATCH}")
        for name, times in interleaved(runs).items():
            print(f"  {name:14} median {median(times) * 1e6:10.1f} µs   least {min(times) * 1e6:10.1f} µs")


if __name__ == "__main__":
    main(sys.argv[1:])
