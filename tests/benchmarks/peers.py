"""The same training step in graphc, PyTorch and JAX. Each builder gives `run(steps)`, which returns the last loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.loops import Run, jax_steps, torch_steps
from tests.benchmarks.models import Model


def compiled(model: Model) -> Any:
    """The model as a compiled graphc program with the model's weights."""
    import graphc as gr
    from graphc import losses, nn, optim

    hidden = [nn.Dense(size, activation=model.activation) for size in model.sizes[1:-1]]
    net = nn.Sequential(*hidden, nn.Dense(model.sizes[-1]))
    opt = optim.SGD(model.rate) if model.optimizer == "sgd" else optim.Adam(model.rate)
    target = gr.f32["N", 1] if model.regression else gr.i32["N"]
    loss_of = losses.mean_squared_error if model.regression else losses.sparse_softmax_cross_entropy
    program = gr.Program("model")

    @program.entry(x=gr.f32["N", model.sizes[0]], y=target)
    def step(x: Any, y: Any) -> Any:
        loss = loss_of(net(x), y)
        opt.minimize(loss)
        return loss

    result = program.compile()
    kernels = [name for name in result.state if name.endswith("/kernel")]
    for name, (kernel, bias) in zip(kernels, model.weights(), strict=True):
        result.state[name] = kernel
        result.state[name.replace("kernel", "bias")] = bias
    return result


def graphc_native(model: Model) -> Run:
    """Steps in compiled code."""
    step, (x, y) = compiled(model).step, model.data()
    return lambda steps: float(step.repeat(steps, x, y))


def graphc_python(model: Model) -> Run:
    """One call from Python a step."""
    step, (x, y) = compiled(model).step, model.data()

    def run(steps: int) -> float:
        for _ in range(steps):
            loss = step(x, y)
        return float(loss)

    return run


def torch_run(model: Model, fused: bool = False, compile_: bool = False) -> Run:
    """PyTorch: eager, with its fused Adam, or through torch.compile."""
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    for i, (kernel, bias) in enumerate(model.weights()):
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data[:], layer.bias.data[:] = torch.tensor(kernel.T), torch.tensor(bias)
        layers.append(layer)
        if i < len(model.sizes) - 2:
            layers.append(torch.nn.Tanh() if model.activation == "tanh" else torch.nn.ReLU())
    net = torch.nn.Sequential(*layers)
    if model.optimizer == "sgd":
        opt: Any = torch.optim.SGD(net.parameters(), model.rate, fused=fused)
    else:
        opt = torch.optim.Adam(net.parameters(), model.rate, fused=fused)
    x, y = model.data()
    inputs = torch.tensor(x)
    targets = torch.tensor(y if model.regression else y.astype(np.int64))
    loss_of = torch.nn.functional.mse_loss if model.regression else torch.nn.functional.cross_entropy

    def forward(a: Any, b: Any) -> Any:
        return loss_of(net(a), b)

    return torch_steps(forward, opt, inputs, targets, compile_=compile_)


def jax_run(model: Model, loop: bool) -> Run:
    """JAX with Optax, one jitted step: called from Python, or looped with `fori_loop` inside one jit."""
    import jax
    import jax.numpy as jnp
    import optax

    opt = optax.sgd(model.rate) if model.optimizer == "sgd" else optax.adam(model.rate)
    x, y = (jnp.asarray(a) for a in model.data())
    activation = jnp.tanh if model.activation == "tanh" else jax.nn.relu

    def loss_of(parameters: Any, a: Any, b: Any) -> Any:
        *hidden, last = parameters
        for kernel, bias in hidden:
            a = activation(a @ kernel + bias)
        out = a @ last[0] + last[1]
        if model.regression:
            return jnp.mean((out - b) ** 2)
        return optax.softmax_cross_entropy_with_integer_labels(out, b).mean()

    parameters = [(jnp.asarray(k), jnp.asarray(b)) for k, b in model.weights()]
    return jax_steps(loss_of, opt, parameters, x, y, loop=loop)


NATIVE: dict[str, Callable[[Model], Run]] = {
    "graphc": graphc_native,
    "torch eager": torch_run,
    "torch fused": lambda model: torch_run(model, fused=True),
    "torch.compile": lambda model: torch_run(model, compile_=True),
    "jax jit": lambda model: jax_run(model, loop=False),
    "jax fori_loop": lambda model: jax_run(model, loop=True),
}

FROM_PYTHON: dict[str, Callable[[Model], Run]] = {
    "graphc, a call a step": graphc_python,
    "jax jit, a call a step": lambda model: jax_run(model, loop=False),
}
