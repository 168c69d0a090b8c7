"""An ensemble: eight networks trained at once, by `gr.vmap` over the pure form of one, and what they don't know.

Each network starts from its own seed and sees its own bootstrap sample of the points (each point weighted by how often
it was drawn). Where there are points the eight agree; in the gap and beyond the ends they do not, so their spread says
where not to trust the mean. It is a lower bound: beyond the ends they still err together. (Lakshminarayanan, Pritzel,
Blundell, "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017.)

    python samples/ensemble.py
"""

from __future__ import annotations

import numpy as np
from pictures import draw

import graphc as gr
from graphc import nn, optim

NETWORKS, STEPS, NOISE = 8, 3000, 0.1

net = nn.Sequential(nn.Dense(64, activation="tanh"), nn.Dense(64, activation="tanh"), nn.Dense(1))
net.build(gr.f32["N", 1])
starts = [net.init(seed) for seed in range(NETWORKS)]
params = {name: gr.Variable(np.stack([start[name] for start in starts]), name=name) for name in starts[0]}
adam = optim.Adam(optim.CosineDecay(5e-3, STEPS))
program = gr.Program("ensemble")


def each(x):
    """What each of the networks says of each x, f32[8, N]."""
    return gr.vmap(net.apply, in_axes=(0, None))(params, x)[:, :, 0]


@program.entry
def train_step(x: gr.f32["N", 1], y: gr.f32["N"], drawn: gr.f32[NETWORKS, "N"]):
    """One step of every network on its own sample: the sum's gradient is every network's own."""
    loss = gr.sum(gr.mean(drawn * (each(x) - y) ** 2, axis=1))
    adam.minimize(loss)
    return loss / NETWORKS


@program.entry
def predict(x: gr.f32["N", 1]):
    """The networks' mean and spread."""
    y = each(x)
    return {"mean": gr.mean(y, axis=0), "spread": gr.std(y, axis=0), "each": y}


def truth(x: np.ndarray) -> np.ndarray:
    """What the points are noisy values of."""
    return np.sin(2 * x) + 0.3 * x


def main() -> None:
    """Train on points with a gap, then see where the networks agree."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-3, -0.8, 60), rng.uniform(0.8, 3, 60)]).astype(np.float32)
    y = (truth(x) + NOISE * rng.standard_normal(len(x))).astype(np.float32)
    drawn = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), NETWORKS).astype(np.float32)

    ensemble = program.compile()
    loss = ensemble.train_step.repeat(STEPS, x[:, None], y, drawn)
    print(f"{NETWORKS} networks, {STEPS} steps: mean squared error {loss:.4f} of which noise {NOISE**2:.4f}")

    grid = np.linspace(-4.5, 4.5, 361, dtype=np.float32)
    found = ensemble.predict(grid[:, None])
    regions = {
        "where points are": (np.abs(grid) > 1) & (np.abs(grid) < 2.8),
        "in the gap": np.abs(grid) < 0.6,
        "beyond the ends": np.abs(grid) > 3.5,
    }
    for name, where in regions.items():
        error = np.sqrt(np.mean((found["mean"] - truth(grid))[where] ** 2))
        print(f"{name:18} spread {found['spread'][where].mean():.3f}   error of the mean {error:.3f}")
    single = np.sqrt(np.mean((found["each"] - truth(grid))[:, regions["where points are"]] ** 2))
    print(f"one network's error where points are {single:.3f}")

    def paint(axes):
        mean, spread = found["mean"], found["spread"]
        axes.fill_between(grid, mean - 2 * spread, mean + 2 * spread, alpha=0.2, label="± 2 spreads")
        axes.plot(grid, found["each"].T, color="tab:blue", linewidth=0.5, alpha=0.6)
        axes.plot(grid, mean, color="tab:blue", label="mean of eight networks")
        axes.plot(grid, truth(grid), "k--", linewidth=1, label="truth")
        axes.scatter(x, y, s=10, color="black", zorder=3)
        axes.set(ylim=(-4, 4), xlabel="x", ylabel="y")
        axes.legend(loc="upper left")

    draw("ensemble.png", paint, width=7)


if __name__ == "__main__":
    main()
