"""Training steps of recurrent networks beside PyTorch and JAX: `python -m tests.benchmarks.recurrent [name …]`.

An LSTM or GRU over a sequence, a dense layer on its last state, softmax cross-entropy, Adam. graphc's is written with
`gr.scan`, as its users would; PyTorch's is `nn.LSTM` or `nn.GRU`, JAX's `lax.scan`. One pinned thread, repeats in
turns, medians; before anything is timed, the losses of five steps must agree. Needs the extra `bench`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.loops import Run, jax_steps, torch_steps
from tests.benchmarks.machine import describe, interleaved, median, pin

Array = NDArray[np.float32]
CLASSES = 10
RATE = 1e-3
AGREEMENT = 1e-4
#: Names of the weights, in the order of `Recurrent.weights`.
NAMES = ("input", "hidden", "bias", "kernel", "offset")


@dataclass(frozen=True)
class Recurrent:
    """A network over sequences of `features`."""

    cell: str  # "lstm" or "gru"
    features: int
    hidden: int
    steps: int
    batch: int

    @property
    def name(self) -> str:
        """What the table says."""
        return f"{self.cell.upper()} {self.hidden}, T {self.steps}, batch {self.batch}, Adam"

    @property
    def gates(self) -> int:
        """Columns of the weights: gates i, f, g, o of an LSTM; r, z, n of a GRU, as PyTorch has them."""
        return self.hidden * (4 if self.cell == "lstm" else 3)

    def weights(self) -> list[Array]:
        """What `NAMES` says; the bias of a GRU is added to the input's part."""
        rng = np.random.default_rng(0)
        shapes = [
            (self.features, self.gates), (self.hidden, self.gates), (self.gates,), (self.hidden, CLASSES), (CLASSES,),
        ]  # fmt: skip
        bound = 1 / np.sqrt(self.hidden)
        return [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]

    def data(self) -> tuple[Array, NDArray[np.int32]]:
        """One batch."""
        rng = np.random.default_rng(1)
        x = rng.standard_normal((self.steps, self.batch, self.features)).astype(np.float32)
        return x, rng.integers(0, CLASSES, self.batch).astype(np.int32)


MODELS = (Recurrent("lstm", 128, 128, 32, 32), Recurrent("gru", 64, 64, 64, 16))


def lstm_cell(np_: Any, sigmoid: Any, state: Any, x: Any, weights: Any) -> Any:
    """One step of an LSTM in any library whose arrays have the usual operators."""
    h, c = state
    input_, hidden, bias = weights
    gates = x @ input_ + h @ hidden + bias
    n = h.shape[-1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np_.tanh(g)
    return sigmoid(o) * np_.tanh(c), c


def gru_cell(np_: Any, sigmoid: Any, state: Any, x: Any, weights: Any) -> Any:
    """One step of a GRU; its second bias is zero."""
    (h,) = state
    input_, hidden, bias = weights
    from_x, from_h = x @ input_ + bias, h @ hidden
    n = h.shape[-1]
    r = sigmoid(from_x[:, :n] + from_h[:, :n])
    z = sigmoid(from_x[:, n : 2 * n] + from_h[:, n : 2 * n])
    new = np_.tanh(from_x[:, 2 * n :] + r * from_h[:, 2 * n :])
    return ((1 - z) * new + z * h,)


CELLS = {"lstm": (lstm_cell, 2), "gru": (gru_cell, 1)}


def compiled(model: Recurrent) -> Any:
    """The network as a compiled graphc program."""
    import graphc as gr
    from graphc import losses, nn, optim

    cell, states = CELLS[model.cell]
    variables = [gr.Variable(value, name=name) for name, value in zip(NAMES, model.weights(), strict=True)]
    *recurrent, kernel, offset = variables
    opt = optim.Adam(RATE)
    program = gr.Program("recurrent")

    @program.entry(x=gr.f32[model.steps, model.batch, model.features], y=gr.i32[model.batch])
    def step(x: Any, y: Any) -> Any:
        def one(state: Any, x_t: Any) -> Any:
            return cell(gr, nn.functional.sigmoid, state, x_t, recurrent), None

        start = tuple(gr.zeros((model.batch, model.hidden)) for _ in range(states))
        last, _ = gr.scan(one, start, x)
        loss = losses.sparse_softmax_cross_entropy(last[0] @ kernel + offset, y)
        opt.minimize(loss, variables)
        return loss

    return program.compile()


def graphc_run(model: Recurrent) -> Run:
    """Steps in compiled code."""
    step, (x, y) = compiled(model).step, model.data()
    return lambda steps: float(step.repeat(steps, x, y))


def torch_run(model: Recurrent, compile_: bool = False) -> Run:
    """PyTorch: its own recurrent layer, eager or through torch.compile; the fused Adam."""
    import torch

    torch.set_num_threads(1)
    layer = (torch.nn.LSTM if model.cell == "lstm" else torch.nn.GRU)(model.features, model.hidden)
    head = torch.nn.Linear(model.hidden, CLASSES)
    input_, hidden, bias, kernel, offset = (torch.tensor(w) for w in model.weights())
    layer.weight_ih_l0.data[:], layer.weight_hh_l0.data[:] = input_.T, hidden.T
    layer.bias_ih_l0.data[:], layer.bias_hh_l0.data[:] = bias, 0.0
    layer.bias_hh_l0.requires_grad = False
    head.weight.data[:], head.bias.data[:] = kernel.T, offset
    parameters = [p for p in (*layer.parameters(), *head.parameters()) if p.requires_grad]
    opt = torch.optim.Adam(parameters, RATE, fused=True)
    x, y = model.data()
    inputs, targets = torch.tensor(x), torch.tensor(y.astype(np.int64))

    def forward(a: Any, b: Any) -> Any:
        states, _ = layer(a)
        return torch.nn.functional.cross_entropy(head(states[-1]), b)

    return torch_steps(forward, opt, inputs, targets, compile_=compile_)


def jax_run(model: Recurrent) -> Run:
    """JAX with Optax: `lax.scan`, steps in a `fori_loop` inside one jit."""
    import jax
    import jax.numpy as jnp
    import optax

    cell, states = CELLS[model.cell]
    x, y = (jnp.asarray(a) for a in model.data())

    def loss_of(parameters: Any, a: Any, b: Any) -> Any:
        *recurrent, kernel, offset = parameters
        start = tuple(jnp.zeros((model.batch, model.hidden)) for _ in range(states))
        last, _ = jax.lax.scan(lambda s, x_t: (cell(jnp, jax.nn.sigmoid, s, x_t, recurrent), None), start, a)
        return optax.softmax_cross_entropy_with_integer_labels(last[0] @ kernel + offset, b).mean()

    return jax_steps(loss_of, optax.adam(RATE), [jnp.asarray(w) for w in model.weights()], x, y, loop=True)


RUNS: dict[str, Callable[[Recurrent], Run]] = {
    "graphc": graphc_run,
    "torch eager": torch_run,
    "torch.compile": lambda model: torch_run(model, compile_=True),
    "jax lax.scan": jax_run,
}


def compare(model: Recurrent) -> None:
    """Print a table for one network."""
    runs = {name: build(model) for name, build in RUNS.items()}
    losses = {name: [run(1) for _ in range(5)] for name, run in runs.items()}
    expected = losses["graphc"]
    for name, values in losses.items():
        worst = max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(values, expected, strict=True))
        if worst > AGREEMENT:
            raise SystemExit(f"{name} disagrees on the losses of {model.name}: {values}, graphc {expected}")
    results = interleaved(runs)
    times = {name: median(values) for name, values in results.items()}
    best = min((t, name) for name, t in times.items() if name != "graphc")
    print(f"\n{model.name}")
    for name, t in times.items():
        least = min(results[name])
        print(f"  {name:14} {t * 1e6:10.2f} µs (least {least * 1e6:10.2f})   {t / times['graphc']:8.2f}×")
    print(f"  best peer {best[1]}: {best[0] / times['graphc']:.2f}× (asked: 1×)")


def main(names: list[str]) -> None:
    """All networks, or those whose names contain one of the arguments."""
    pin()
    print(describe("graphc", "torch", "jax", "optax", "numpy"))
    for model in MODELS:
        if not names or any(n in model.name for n in names):
            compare(model)


if __name__ == "__main__":
    main(sys.argv[1:])
