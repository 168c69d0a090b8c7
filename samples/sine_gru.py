"""A GRU on noisy sines: it says where the wave really is, and goes on by itself when the measurements end.

Each wave has a frequency and a phase of its own. The network reads noisy measurements, one after the other, and learns
to give the next one. It can't know the noise, so the best it can do is the clean wave, which it was never shown. After
the last measurement it is fed its own answers, by `gru.step`, and swings on. All waves are drawn in the compiled step,
by `gr.random`.

    python samples/sine_gru.py
"""

from __future__ import annotations

import numpy as np
from pictures import draw

import graphc as gr
from graphc import losses, nn, optim

NOISE, SEEN, AHEAD = 0.2, 80, 60
STEPS, BATCH, UNITS = 1500, 32, 48

gru = nn.GRU(UNITS)
output = nn.Dense(1)
adam = optim.Adam(optim.CosineDecay(5e-3, STEPS), clip_global_norm=1.0)
program = gr.Program("sine")


def waves(count: int, length: int) -> gr.Tensor:
    """Sines of random frequency and phase, f32[count, length, 1]."""
    frequency = gr.random.uniform((count, 1, 1), low=0.15, high=0.5)
    phase = gr.random.uniform((count, 1, 1), high=2 * gr.pi)
    return gr.sin(frequency * gr.arange(length, dtype=gr.f32)[:, None] + phase)


def measured(clean: gr.Tensor) -> gr.Tensor:
    """With the errors of measurement."""
    return clean + NOISE * gr.random.normal(clean.shape)


@program.entry
def train_step():
    """One step on waves that were never seen before."""
    seen = measured(waves(BATCH, SEEN + AHEAD))
    ys, _ = gru(seen[:, :-1])
    loss = losses.mean_squared_error(output(ys), seen[:, 1:])
    adam.minimize(loss)
    return loss


@program.entry
def test():
    """New waves, what is measured of their first part, and the network's answers to the end."""
    clean = waves(200, SEEN + AHEAD)
    seen = measured(clean[:, :SEEN])
    ys, state = gru(seen)
    known = output(ys)

    def go_on(carry, _):
        y, state = carry
        h, state = gru.step(y, state)
        return (output(h), state), y

    _, ahead = gr.scan(go_on, (known[:, -1], state), length=AHEAD)
    answers = gr.concat([known[:, :-1], gr.permute_dims(ahead, (1, 0, 2))], axis=1)
    return {"clean": clean[:, :, 0], "seen": seen[:, :, 0], "answers": answers[:, :, 0]}


def main() -> None:
    """Train, then compare with the waves themselves."""
    sines = program.compile()
    for part in range(5):
        loss = sines.train_step.repeat(STEPS // 5)
        print(f"{(part + 1) * STEPS // 5:5} steps: loss {loss:.4f}, of which noise {NOISE**2:.4f}")

    found = sines.test()
    answers, clean = found["answers"], found["clean"][:, 1:]  # an answer is to the measurement before
    error = np.sqrt(np.mean((answers - clean) ** 2, axis=0))
    print(f"a measurement's error    {NOISE:.3f}")
    print(f"the network's answer      {error[SEEN // 2 : SEEN].mean():.3f} (after {SEEN // 2} measurements)")
    print(f"on its own, first 20      {error[SEEN : SEEN + 20].mean():.3f}")
    print(f"on its own, last 20 of {AHEAD} {error[-20:].mean():.3f}")

    def paint(*axes):
        for i, a in enumerate(axes):
            a.axvspan(SEEN, SEEN + AHEAD, color="0.95")
            a.plot(found["clean"][i], "k--", linewidth=1, label="true wave")
            a.plot(found["seen"][i], ".", color="grey", markersize=4, label="measured")
            a.plot(np.arange(1, SEEN + AHEAD), answers[i], color="tab:blue", label="network")
            a.set(ylim=(-1.7, 1.7))
        axes[0].legend(loc="lower left")

    draw("sine_gru.png", paint, width=9, height=2.2, rows=3)


if __name__ == "__main__":
    main()
