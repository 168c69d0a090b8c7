"""Records what JAX computes for a Hessian-vector product of the digits network, for tests that run without it.

    python tests/recipes/hvp_digits.py        # with jax installed; writes tests/vectors/hvp_digits.npz

Computed in float64, kept in float32. Parameters, direction and batch are those of `problem`, which the test shares.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
SHAPES = {"w1": (64, 128), "b1": (128,), "w2": (128, 10), "b2": (10,)}


def problem():
    """(parameters, direction, images, labels): a batch of 64 digits, parameters and a direction from seed 0."""
    rng = np.random.default_rng(0)
    with np.load(TESTS.parent / "samples" / "data" / "digits.npz") as data:
        x = data["pixels"].reshape(-1, 64)[:64].astype(np.float64) / 16
        y = data["labels"][:64].astype(np.int32)
    params = {name: rng.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in SHAPES.items()}
    direction = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    return params, direction, x, y


def main():
    """Record H·v, and the loss."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    params, direction, x, y = problem()

    def loss(p):
        logits = jnp.maximum(x @ p["w1"] + p["b1"], 0) @ p["w2"] + p["b2"]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))

    _, product = jax.jvp(jax.grad(loss), (params,), (direction,))
    records = {name: np.asarray(value, np.float32) for name, value in product.items()}
    np.savez_compressed(TESTS / "vectors" / "hvp_digits.npz", loss=float(loss(params)), **records)


if __name__ == "__main__":
    main()
