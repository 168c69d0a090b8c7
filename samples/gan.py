"""A generative adversarial network learns eight clouds on a ring: two networks, two optimizers, one program.

The generator makes points out of noise, the discriminator tells them from points of the ring, each trained against the
other in one compiled step that draws all its numbers itself. What keeps the two in balance is a penalty on the
discriminator's gradient at real points (Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually
converge?", 2018), so the step holds a derivative of a derivative.

    python samples/gan.py
"""

from __future__ import annotations

import math

import numpy as np
from pictures import draw

import graphc as gr
from graphc import nn, optim

CLOUDS, SPREAD, BATCH = 8, 0.05, 128
LOOKS = (100, 300, 1000, 3000, 10000)  # after so many steps


def perceptron(outputs: int, name: str) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(*(nn.Dense(64, activation="leaky_relu") for _ in range(2)), nn.Dense(outputs), name=name)


generator, discriminator = perceptron(2, "generator"), perceptron(1, "discriminator")
makes, tells = optim.Adam(1e-3, beta1=0.5, name="makes"), optim.Adam(1e-3, beta1=0.5, name="tells")
program = gr.Program("gan")


def ring():
    """Points of the clouds, [BATCH, 2]."""
    angle = gr.random.randint(0, CLOUDS, (BATCH,)) * (2 * math.pi / CLOUDS)
    return gr.stack([gr.cos(angle), gr.sin(angle)], axis=1) + SPREAD * gr.random.normal((BATCH, 2))


def generate(count: int):
    """Points out of noise, [count, 2]."""
    return generator(gr.random.normal((count, 8)))


@program.entry
def train_step():
    """One step of the discriminator, one of the generator."""
    real = ring()
    score, made = discriminator(real), gr.stop_gradient(generate(BATCH))
    slope = gr.gradients(gr.sum(score), real)
    told = gr.mean(nn.softplus(-score) + nn.softplus(discriminator(made)))
    told = told + 0.05 * gr.mean(gr.sum(slope**2, axis=1))
    tells.minimize(told, discriminator.parameters())
    fooled = gr.mean(nn.softplus(-discriminator(generate(BATCH))))
    makes.minimize(fooled, generator.parameters())
    return {"discriminator": told, "generator": fooled}


@program.entry
def sample():
    """A thousand points of the generator's."""
    return generate(1000)


def judge(points) -> tuple[int, float]:
    """How many clouds have at least a third of their share, and which share of the points is in a cloud."""
    angle = np.arange(CLOUDS) * (2 * np.pi / CLOUDS)
    middles = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    distance = np.linalg.norm(points[:, None] - middles, axis=2)
    inside = distance.min(axis=1) < 4 * SPREAD
    counts = np.bincount(distance.argmin(axis=1)[inside], minlength=CLOUDS)
    return int(np.sum(counts > len(points) / CLOUDS / 3)), float(inside.mean())


def main() -> None:
    """Train, and look at the points now and then."""
    gan, looks = program.compile(), {}
    for before, after in zip((0, *LOOKS), LOOKS, strict=False):
        loss = gan.train_step.repeat(after - before)
        looks[after] = gan.sample()
        clouds, share = judge(looks[after])
        print(
            f"{after:6} steps: losses {loss['discriminator']:.3f} and {loss['generator']:.3f}, "
            f"{clouds} of {CLOUDS} clouds, {share:.1%} of the points in them"
        )

    def paint(*axes):
        for spot, (steps, points) in zip(axes, looks.items(), strict=True):
            spot.scatter(*points.T, s=3, alpha=0.4, linewidths=0)
            spot.set(title=f"{steps:,} steps", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[], yticks=[])

    draw("gan.png", paint, len(looks), width=2.4, height=2.7)


if __name__ == "__main__":
    main()
