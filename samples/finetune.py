"""Fine-tuning: a residual network that knows five textures learns three others from four images of each.

Its first layers are kept as they are (frozen, with the averages that normalise them), the later blocks change slowly, a
new head learns fast: three groups of one optimizer. Beside it, the same network learns the same twelve images from
nothing. One program holds it all: two heads over one body, an entry for each kind of step.

    python samples/finetune.py
"""

from __future__ import annotations

import numpy as np
from textures import SIDE, TEXTURES, block, make

import graphc as gr
from graphc import augment, losses, nn, optim

KNOWN, NEW = ("stripes", "zigzag", "rings", "checks", "bricks"), ("waves", "dots", "plaid")
EPOCHS, BATCH, SHOTS, STEPS, DRAWS = 8, 32, 4, 100, 8
Images, Labels = gr.f32["N", SIDE, SIDE, 1], gr.i32["N"]

first = nn.Sequential(nn.Conv2D(16, 5, strides=2, activation="relu"), block(16), name="first")
later = nn.Sequential(block(32, strides=2), block(64, strides=2), nn.GlobalAvgPool(), name="later")
old, new = nn.Dense(len(KNOWN), name="old"), nn.Dense(len(NEW), name="new")

learns = optim.Adam(optim.CosineDecay(3e-3, EPOCHS * 47), name="learns")
tunes = optim.Adam(
    1e-2,
    groups=[optim.Group(first, frozen=True), optim.Group(later, learning_rate=3e-4, name="later")],
    name="tunes",
)
begins = optim.Adam(3e-3, name="begins")
program = gr.Program("finetune")


def step(optimizer, head, x, y, frozen=False):
    """A step on images, each flipped as chance will have it."""
    seen = first(augment.random_flip(x, vertical=True), training=not frozen)
    loss = losses.sparse_softmax_cross_entropy(head(later(seen, training=True)), y)
    optimizer.minimize(loss)
    return {"loss": loss}


@program.entry
def learn(x: Images, y: Labels):
    """On the known textures, all of it trained."""
    return step(learns, old, x, y)


@program.entry
def tune(x: Images, y: Labels):
    """On the new ones, in groups."""
    return step(tunes, new, x, y, frozen=True)


@program.entry
def begin(x: Images, y: Labels):
    """On the new ones, all of it trained."""
    return step(begins, new, x, y)


@program.entry
def predict(x: Images):
    """Which of the new textures."""
    return gr.argmax(new(later(first(x, training=False), training=False)), axis=-1)


def select(images, labels, names):
    """The images of some textures, and the place of each one's among them."""
    places = np.array([names.index(name) if name in names else -1 for name in TEXTURES], np.int32)[labels]
    return images[places >= 0], places[places >= 0]


def main() -> None:
    """Learn the known textures, then the new ones both ways, from several draws of a few images."""
    rng = np.random.default_rng(0)
    images, tests = make(2400, rng), select(*make(800, rng), NEW)
    knowing = program.compile()
    for epoch in range(EPOCHS):
        loss = knowing.learn.epoch(*select(*images, KNOWN), batch_size=BATCH, shuffle=epoch)["loss"]
    print(f"{', '.join(KNOWN)}: loss {loss:.3f} after {EPOCHS} epochs")
    body = {name: value for name, value in knowing.state.items() if name.startswith(("first", "later"))}

    x, y = select(*images, NEW)
    found = {"tune": [], "begin": []}
    for draw in range(DRAWS):
        few = np.concatenate([rng.choice(np.flatnonzero(y == i), SHOTS, replace=False) for i in range(len(NEW))])
        tuned, begun = knowing.new_state(seed=draw), knowing.new_state(seed=draw)
        tuned.state.update(body)
        tuned.tune.repeat(STEPS, x[few], y[few])
        begun.begin.repeat(STEPS, x[few], y[few])
        for way, network in (("tune", tuned), ("begin", begun)):
            found[way].append(np.mean(network.predict(tests[0]) == tests[1]))
    print(f"{', '.join(NEW)}, from {SHOTS} images of each, on {len(tests[1])} others:")
    for way, name in (("tune", "fine-tuned"), ("begin", "from nothing")):
        print(f"  {name:12} {np.mean(found[way]):.1%}   ({', '.join(f'{a:.1%}' for a in found[way])})")


if __name__ == "__main__":
    main()
