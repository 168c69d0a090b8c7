"""Training steps of convolutional networks beside PyTorch and JAX: `python -m tests.benchmarks.images [name …]`.

LeNet-5 on 28x28 images and a small network on 32x32x3, whole steps with SGD: forward, loss, backward and update. One
pinned thread, repeats in turns; the least processor times, and medians beside them. Before anything is timed, five
steps are taken: PyTorch's losses must be graphc's, and whose differ is marked. Needs the extra `bench`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.loops import Run, jax_steps, torch_steps
from tests.benchmarks.machine import describe, median, pin
from tests.benchmarks.steps import AGREEMENT, five_losses

RATE = 1e-4


@dataclass(frozen=True)
class Conv:
    """A convolution with a bias and relu; `pad` on all sides; `pool` halves both sizes after it."""

    taken: int
    given: int
    window: int
    pad: int
    pool: bool


@dataclass(frozen=True)
class Network:
    """Convolutions, then dense layers (relu between them) of these widths."""

    name: str
    image: tuple[int, int, int]
    batch: int
    convolutions: tuple[Conv, ...]
    dense: tuple[int, ...]

    def weights(self) -> list[tuple[Any, Any]]:
        """(kernel, bias) of each layer, kernels as graphc has them."""
        rng = np.random.default_rng(0)
        shapes: list[tuple[int, ...]] = [(c.window, c.window, c.taken, c.given) for c in self.convolutions]
        shapes += list(zip(self.dense, self.dense[1:], strict=False))
        fans = [np.sqrt(2 / np.prod(s[:-1])) for s in shapes]
        kernels = [(rng.standard_normal(s) * f).astype(np.float32) for s, f in zip(shapes, fans, strict=True)]
        return [(k, np.zeros(k.shape[-1], np.float32)) for k in kernels]

    def data(self) -> tuple[Any, Any]:
        """One batch."""
        rng = np.random.default_rng(1)
        x = rng.standard_normal((self.batch, *self.image)).astype(np.float32)
        return x, rng.integers(0, self.dense[-1], self.batch).astype(np.int32)


NETWORKS = (
    Network("LeNet-5", (28, 28, 1), 64, (Conv(1, 6, 5, 2, True), Conv(6, 16, 5, 0, True)), (400, 120, 84, 10)),
    Network(
        "CIFAR", (32, 32, 3), 32,
        (Conv(3, 32, 3, 1, False), Conv(32, 32, 3, 1, True), Conv(32, 64, 3, 1, False), Conv(64, 64, 3, 1, True)),
        (4096, 128, 10),
    ),
)  # fmt: skip


def graphc_run(network: Network) -> Run:
    """Steps in compiled code."""
    import graphc as gr
    from graphc import losses, nn, optim

    layers: list[Any] = []
    for c in network.convolutions:
        layers.append(nn.Conv2D(c.given, c.window, padding=c.pad, activation="relu"))
        layers += [lambda x: nn.max_pool(x, 2)] * c.pool
    *hidden, last = network.dense[1:]
    layers += [nn.Flatten(), *(nn.Dense(n, activation="relu") for n in hidden), nn.Dense(last)]
    net, opt = nn.Sequential(*layers), optim.SGD(RATE)
    program = gr.Program("images")

    @program.entry(x=gr.f32["N", *network.image], y=gr.i32["N"])
    def step(x: Any, y: Any) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x), y)
        opt.minimize(loss)
        return loss

    result = program.compile()
    kernels = [name for name in result.state if name.endswith("/kernel")]
    for name, (kernel, bias) in zip(kernels, network.weights(), strict=True):
        result.state[name] = kernel
        result.state[name.replace("kernel", "bias")] = bias
    x, y = network.data()
    return lambda steps: float(result.step.repeat(steps, x, y))


def torch_run(network: Network, compile_: bool = False, last: bool = False) -> Run:
    """PyTorch, eager or compiled, with channels first or `last` in memory."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    weights = iter(network.weights())
    height, width, _ = network.image
    layers: list[Any] = []
    for c in network.convolutions:
        layer: Any = nn.Conv2d(c.taken, c.given, c.window, padding=c.pad)
        kernel, bias = next(weights)
        layer.weight.data[:], layer.bias.data[:] = torch.tensor(kernel.transpose(3, 2, 0, 1)), torch.tensor(bias)
        layers += [layer, nn.ReLU(), *[nn.MaxPool2d(2)] * c.pool]
        height, width = ((s + 2 * c.pad - c.window + 1) // (1 + c.pool) for s in (height, width))
    layers.append(nn.Flatten())
    for i, (kernel, bias) in enumerate(weights):
        if i == 0:  # channels come first here
            kernel = kernel.reshape(height, width, -1, kernel.shape[-1]).transpose(2, 0, 1, 3).reshape(kernel.shape)
        layer = nn.Linear(*kernel.shape)
        layer.weight.data[:], layer.bias.data[:] = torch.tensor(kernel.T.copy()), torch.tensor(bias)
        layers += [layer, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    x, y = network.data()
    inputs, targets = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(y.astype(np.int64))
    if last:
        net, inputs = net.to(memory_format=torch.channels_last), inputs.to(memory_format=torch.channels_last)
    opt = torch.optim.SGD(net.parameters(), RATE)

    def forward(a: Any, b: Any) -> Any:
        return nn.functional.cross_entropy(net(a), b)

    return torch_steps(forward, opt, inputs, targets, compile_=compile_)


def jax_run(network: Network) -> Run:
    """JAX with Optax, one jitted step."""
    import jax
    import jax.numpy as jnp
    import optax

    x, y = (jnp.asarray(a) for a in network.data())

    def loss_of(parameters: Any, a: Any, b: Any) -> Any:
        for c, (kernel, bias) in zip(network.convolutions, parameters, strict=False):
            pads = [(c.pad, c.pad)] * 2
            a = jax.lax.conv_general_dilated(a, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            a = jax.nn.relu(a + bias)
            if c.pool:
                a = jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        a = a.reshape(a.shape[0], -1)
        *hidden, (kernel, bias) = parameters[len(network.convolutions) :]
        for k, h in hidden:
            a = jax.nn.relu(a @ k + h)
        logits = a @ kernel + bias
        chosen = jnp.take_along_axis(logits, b[:, None], 1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, 1) - chosen)

    parameters = [(jnp.asarray(k), jnp.asarray(b)) for k, b in network.weights()]
    return jax_steps(loss_of, optax.sgd(RATE), parameters, x, y)


RUNS: dict[str, Callable[[Network], Run]] = {
    "graphc": graphc_run,
    "torch eager": torch_run,
    "torch eager, channels last": lambda network: torch_run(network, last=True),
    "torch.compile": lambda network: torch_run(network, compile_=True),
    "jax jit": jax_run,
}


def compare(network: Network) -> None:
    """Print a table for one network."""
    runs = {name: build(network) for name, build in RUNS.items()}
    losses = {name: five_losses(run) for name, run in runs.items()}
    wrong = [name for name, values in losses.items() if differs(values, losses["graphc"])]
    if len(wrong) > len(runs) // 2 or "torch eager" in wrong:
        raise SystemExit(f"losses of {network.name} disagree: {losses}")
    times = by_turns(runs)
    ours = min(times["graphc"])
    print(f"\n{network.name}, batch {network.batch}")
    for name, values in times.items():
        note = "   (its losses are others)" if name in wrong else ""
        least = min(values)
        print(f"  {name:28} {least * 1e3:8.3f} ms (median {median(values) * 1e3:.3f})   {least / ours:6.2f}×{note}")


def by_turns(runs: dict[str, Run], rounds: int = 7, budget: float = 0.2) -> dict[str, list[float]]:
    """Seconds of the processor a step, which others on the machine do not add to, of each run in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start, steps = time.process_time(), 0
            while time.process_time() - start < budget:
                run(1)
                steps += 1
            times[name].append((time.process_time() - start) / steps)
    return times


def differs(values: list[float], expected: list[float]) -> bool:
    """Whether the losses of five steps are others."""
    return max(abs(a - b) / abs(b) for a, b in zip(values, expected, strict=True)) > AGREEMENT


def main(names: list[str]) -> None:
    """All networks, or those whose names contain one of the arguments."""
    pin()
    print(describe("graphc", "torch", "jax", "optax", "numpy"))
    for network in NETWORKS:
        if not names or any(n in network.name for n in names):
            compare(network)


if __name__ == "__main__":
    main(sys.argv[1:])
