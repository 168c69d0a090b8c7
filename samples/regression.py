"""Linear regression with basis functions: a curve through noisy points, and the same program on ten features.

A model is linear in its weights, whatever is made of x before: y = Σ w_k φ_k(x) + b, here with Gaussian bumps φ_k
along the axis. The data are made up after the well-known diabetes set: the body mass index of 300 people, and how far a
disease has come a year later. A weight decay keeps the bumps from chasing the noise. The loss has one minimum, which
the closed form of ridge regression gives as well: the two agree in six digits and more.

With scikit-learn installed, its real diabetes set is fitted in the same way and compared with scikit-learn's answer.

    python samples/regression.py
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from pictures import draw

import graphc as gr
from graphc import nn, optim

CENTRES = np.linspace(16, 44, 12)
WIDTH, NOISE, STEPS = 3.5, 25.0, 4000


def bumps(x: gr.Tensor) -> gr.Tensor:
    """Gaussian basis functions of x, f64[N, 1]: f64[N, 12]."""
    return gr.exp(-0.5 * ((x - CENTRES) / WIDTH) ** 2)


def ridge(name: str, inputs: int, decay: float, basis=lambda x: x) -> gr.Program:
    """A program that minimises Σ(y − ŷ)² + decay·|w|², with the bias free."""
    line = nn.Dense(1, kernel_initializer="zeros", name="line")
    descent = optim.Nesterov(learning_rate=0.1, momentum=0.99)
    program = gr.Program(name)

    @program.entry
    def predict(x: gr.f64["N", inputs]):
        return line(basis(x))[:, 0]

    @program.entry
    def train_step(x: gr.f64["N", inputs], y: gr.f64["N"]):
        error = y - line(basis(x))[:, 0]
        loss = gr.mean(error**2) + decay / x.shape[0] * gr.sum(line.kernel**2)
        descent.minimize(loss)
        return loss

    return program


def closed_form(features: np.ndarray, y: np.ndarray, decay: float) -> np.ndarray:
    """The weights at the same minimum, from the normal equations of centred data."""
    centred = features - features.mean(axis=0)
    return np.linalg.solve(centred.T @ centred + decay * np.eye(features.shape[1]), centred.T @ (y - y.mean()))


def truth(index: np.ndarray) -> np.ndarray:
    """What the made-up disease does: little below 25, then steeply up, levelling off."""
    return 90 + 190 / (1 + np.exp(-(index - 29) / 2.2)) + 12 * np.sin(index / 2.5)


def rms(x: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(x**2)))


def curve() -> None:
    """The made data: against the closed form, and against the curve that they came from."""
    rng = np.random.default_rng(0)
    index = np.clip(rng.normal(27, 5, (300, 1)), 17, 43)
    y = truth(index[:, 0]) + NOISE * rng.standard_normal(300)

    fitted = ridge("curve", 1, decay=0.3, basis=bumps).compile()
    loss = fitted.train_step.repeat(STEPS, index, y)
    weights = closed_form(np.exp(-0.5 * ((index - CENTRES) / WIDTH) ** 2), y, decay=0.3)
    difference = np.abs(fitted.state["line/kernel"][:, 0] / weights - 1).max()
    grid = np.linspace(18, 40, 200)
    found, straight = fitted.predict(grid[:, None]), np.polyval(np.polyfit(index[:, 0], y, 1), grid)
    print(f"curve: loss {loss:.2f} of which noise {NOISE**2:.0f}")
    print(f"  largest relative difference from the closed form's weights {difference:.1e}")
    print(f"  distance from the truth {rms(found - truth(grid)):.1f}")
    print(f"  a straight line's {rms(straight - truth(grid)):.1f}")

    def paint(axes):
        axes.scatter(index, y, s=8, color="silver", label="people")
        axes.plot(grid, truth(grid), "k--", label="truth")
        axes.plot(grid, straight, color="tab:orange", label="straight line")
        axes.plot(grid, found, color="tab:blue", label="12 Gaussian bumps")
        axes.set(xlabel="body mass index", ylabel="progression of the disease")
        axes.legend()

    draw("regression.png", paint, width=7)


def diabetes() -> None:
    """The real data: ten features, 442 people, every fourth for the test."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge

    x, y = load_diabetes(return_X_y=True)
    x = x / x.std(axis=0)
    test = np.arange(len(x)) % 4 == 0
    fitted = ridge("diabetes", 10, decay=20.0).compile()
    fitted.train_step.repeat(STEPS, x[~test], y[~test])
    theirs = Ridge(alpha=20.0).fit(x[~test], y[~test]).predict(x[test])
    found = fitted.predict(x[test])
    print(f"diabetes: R² on people not seen {1 - rms(y[test] - found) ** 2 / y[test].var():.3f}")
    print(f"  largest difference from scikit-learn's predictions {np.abs(found - theirs).max():.1e}")


def main() -> None:
    """The made data, and the real ones where they are installed."""
    curve()
    if find_spec("sklearn") is not None:
        diabetes()


if __name__ == "__main__":
    main()
