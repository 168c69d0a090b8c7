"""Training steps of the peers, given a loss and an optimizer: `run(steps)` takes them and returns the last loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Run = Callable[[int], float]


def torch_steps(loss_of: Callable[..., Any], opt: Any, *data: Any, compile_: bool = False) -> Run:
    """PyTorch, eager or with the loss through torch.compile."""
    import torch

    forward = torch.compile(loss_of) if compile_ else loss_of

    def run(steps: int) -> float:
        for _ in range(steps):
            opt.zero_grad(set_to_none=True)
            loss = forward(*data)
            loss.backward()
            opt.step()
        return float(loss.item())

    return run


def jax_steps(loss_of: Callable[..., Any], opt: Any, parameters: Any, *data: Any, loop: bool = False) -> Run:
    """JAX with Optax, one jitted step: called from Python, or looped with `fori_loop` inside one jit.

    `loss_of(parameters, *data)`.
    """
    import jax
    import jax.numpy as jnp
    import optax

    def step(carry: Any, *data: Any) -> Any:
        parameters, slots, _ = carry
        loss, gradients = jax.value_and_grad(loss_of)(parameters, *data)
        updates, slots = opt.update(gradients, slots, parameters)
        return optax.apply_updates(parameters, updates), slots, loss

    def steps_in_one(carry: Any, count: Any, *data: Any) -> Any:
        return jax.lax.fori_loop(0, count, lambda _, c: step(c, *data), carry)

    state = [(parameters, opt.init(parameters), jnp.float32(0))]
    once, many = jax.jit(step, donate_argnums=0), jax.jit(steps_in_one, donate_argnums=0)

    def run(steps: int) -> float:
        if loop:
            state[0] = many(state[0], steps, *data)
        else:
            for _ in range(steps):
                state[0] = once(state[0], *data)
        return float(state[0][2])

    return run
