"""A tiny transformer that learns to sort digits, from examples alone.

Sixteen digits go in, at each place one comes out, all at once: the network has to count, which attention can do. The
examples are drawn and sorted within the compiled step, by `gr.random` and `gr.sort`, so there are no data at all and
training is one call. (Vaswani et al., "Attention is all you need", 2017.)

    python samples/sort_transformer.py
"""

from __future__ import annotations

import numpy as np

import graphc as gr
from graphc import losses, nn, optim

LENGTH, WIDTH, HEADS, BLOCKS = 16, 32, 4, 2
STEPS, BATCH = 1500, 64

net = nn.Sequential(
    nn.Embedding(10, WIDTH),
    nn.LearnedPositions(LENGTH),
    *(nn.TransformerBlock(HEADS, 2 * WIDTH) for _ in range(BLOCKS)),
    nn.LayerNorm(),
    nn.Dense(10),
)
adamw = optim.AdamW(optim.OneCycle(5e-3, STEPS), clip_global_norm=1.0)
program = gr.Program("sorter")


@program.entry
def train_step():
    """One step on digits that were never seen before."""
    digits = gr.random.randint(0, 10, (BATCH, LENGTH), dtype=gr.i32)
    loss = losses.sparse_softmax_cross_entropy(net(digits), gr.sort(digits, axis=1))
    adamw.minimize(loss)
    return loss


@program.entry
def arrange(digits: gr.i32["N", LENGTH]):
    """The digits in order, as the network sees it."""
    return gr.argmax(net(digits), axis=-1).astype(gr.i32)


def main() -> None:
    """Train, then sort what it has not seen."""
    sorter = program.compile()
    digits = np.random.default_rng(0).integers(0, 10, (2000, LENGTH)).astype(np.int32)
    wanted = np.sort(digits, axis=1)
    for part in range(6):
        loss = sorter.train_step.repeat(STEPS // 6)
        right = sorter.arrange.map(digits) == wanted
        print(
            f"{(part + 1) * STEPS // 6:5} steps: loss {loss:.4f}, "
            f"digits in place {right.mean():.1%}, rows sorted {right.all(axis=1).mean():.1%}"
        )
    for row, found in zip(digits[:5], sorter.arrange(digits[:5]), strict=True):
        print(*row, " → ", *found)


if __name__ == "__main__":
    main()
