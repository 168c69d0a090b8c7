"""A physics-informed network: it learns the swing of a damped oscillator from the differential equation alone.

    x″ + 2δ x′ + ω² x = 0,   x(0) = 1,   x′(0) = 0

There are no data. The loss is how far the network x(t) is from solving the equation at points between 0 and 4 seconds,
and from the two initial conditions: it holds the network's first and second derivatives, and training differentiates
it once more. (Raissi, Perdikaris, Karniadakis, "Physics-informed neural networks", 2019.)

    python samples/pinn.py
"""

from __future__ import annotations

import numpy as np

import graphc as gr
from graphc import nn, optim

DAMPING, FREQUENCY, DURATION = 0.5, 4.0, 4.0
POINTS, STEPS = 128, 8000

net = nn.Sequential(*(nn.Dense(32, activation="tanh") for _ in range(3)), nn.Dense(1))
adam = optim.Adam(optim.schedules.CosineDecay(3e-3, STEPS))
program = gr.Program("pinn")


def position(t):
    """The network's x at times t: it sees them between −1 and 1."""
    return net(t * (2 / DURATION) - 1)


def motion(t):
    """x, x′ and x″ at times t, each f32[N, 1]."""
    x = position(t)
    velocity = gr.gradients(gr.sum(x), t)  # the sum's derivative: no x depends on another one's time
    return x, velocity, gr.gradients(gr.sum(velocity), t)


@program.entry
def train_step(t: gr.f32["N", 1]):
    """One step of Adam on the equation at times t, and on the start."""
    x, velocity, acceleration = motion(t)
    equation = acceleration + 2 * DAMPING * velocity + FREQUENCY**2 * x
    x0, velocity0, _ = motion(gr.zeros((1, 1)))
    loss = gr.mean(equation**2) + 100 * gr.sum((x0 - 1) ** 2) + 10 * gr.sum(velocity0**2)
    adam.minimize(loss)
    return {"loss": loss}


@program.entry
def predict(t: gr.f32["N", 1]):
    """Where the oscillator is at times t."""
    return position(t)


def exact(t):
    """The solution in closed form."""
    swing = np.sqrt(FREQUENCY**2 - DAMPING**2)
    return np.exp(-DAMPING * t) * (np.cos(swing * t) + DAMPING / swing * np.sin(swing * t))


def main():
    """Train, then compare with the exact solution."""
    t = np.linspace(0, DURATION, POINTS, dtype=np.float32)[:, None]
    oscillator = program.compile()
    for step in range(0, STEPS, STEPS // 8):
        loss = oscillator.train_step.repeat(STEPS // 8, t)["loss"]
        error = np.abs(oscillator.predict(t) - exact(t)).max()
        print(f"{step + STEPS // 8:6} steps: loss {loss:9.6f}, largest error {error:.5f}")
    for time, x in zip(t[::4].flat, oscillator.predict(t[::4]).flat, strict=True):
        print(f"{time:5.2f} s  {x:+.3f}  {' ' * round(20 + 20 * x)}●")


if __name__ == "__main__":
    main()
