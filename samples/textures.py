"""A residual network tells eight textures apart: 32×32 images that the sample makes, turned, scaled, faint, noisy.

Every image has its own angle, scale, place, contrast and noise, so that no pixel says anything: a dense network on the
pixels learns them by heart, one of convolutions learns what makes a texture. Its plan is that of ResNet (He, Zhang, Ren
and Sun, "Deep residual learning for image recognition", 2016), with batch normalisation.

    python samples/textures.py
"""

from __future__ import annotations

import numpy as np
from pictures import draw_images

import graphc as gr
from graphc import augment, losses, metrics, nn, optim, train

SIDE, EPOCHS, BATCH = 32, 8, 32
EXAMPLES, TESTS = 2400, 800

#: From two coordinates of each pixel, in radians, to its grey.
TEXTURES = {
    "stripes": lambda u, v: np.sin(u),
    "waves": lambda u, v: np.sin(u + 1.5 * np.sin(v)),
    "zigzag": lambda u, v: np.sin(u + 2 * np.arcsin(np.sin(v))),
    "rings": lambda u, v: np.sin(np.hypot(u, v)),
    "checks": lambda u, v: np.sign(np.sin(u) * np.sin(v)),
    "dots": lambda u, v: 2.0 * (np.cos(u) + np.cos(v) > 0.8) - 1,
    "bricks": lambda u, v: 2.0 * np.maximum(np.cos(2 * u), np.cos(v + np.pi * (np.floor(u / np.pi) % 2)) > 0.95) - 1,
    "plaid": lambda u, v: 0.5 * (np.sin(u) + np.sin(v)),
}


def make(count: int, rng):
    """Images f32[count, SIDE, SIDE, 1] and which texture each is of, i32[count]."""
    images = np.empty((count, SIDE, SIDE, 1), np.float32)
    labels = (np.arange(count) % len(TEXTURES)).astype(np.int32)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for image, label in zip(images, labels, strict=True):
        angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
        places = scale * np.stack([x, y], axis=-1) @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        u, v = np.moveaxis(places + rng.uniform(-6, 6, 2), -1, 0)
        grey = list(TEXTURES.values())[label](u, v) * rng.uniform(0.4, 1) * rng.choice([-1, 1])
        image[..., 0] = grey + rng.normal(0, 0.3, (SIDE, SIDE))
    return images, labels


def block(filters: int, strides: int = 1) -> nn.Module:
    """Two convolutions beside a shortcut, which is a third one where the size changes."""
    return nn.Residual(
        nn.Conv2D(filters, 3, strides=strides, use_bias=False), nn.BatchNorm(), nn.Activation("relu"),
        nn.Conv2D(filters, 3, use_bias=False), nn.BatchNorm(),
        shortcut=nn.Conv2D(filters, 1, strides=strides) if strides > 1 else None, activation="relu",
    )  # fmt: skip


residual = nn.Sequential(
    nn.Conv2D(16, 5, strides=2, activation="relu"),
    block(16), block(32, strides=2), block(64, strides=2),
    nn.GlobalAvgPool(),
    nn.Dense(len(TEXTURES)),
)  # fmt: skip
dense = nn.Sequential(nn.Flatten(), nn.Dense(128, activation="relu"), nn.Dense(len(TEXTURES)))


def trained(name: str, net: nn.Module, examples, tests):
    """The program of a network, trained and tested."""
    adam = optim.Adam(optim.CosineDecay(3e-3, EPOCHS * EXAMPLES // BATCH))
    program = train.supervised(
        net, gr.f32["N", SIDE, SIDE, 1], gr.i32["N"], loss=losses.sparse_softmax_cross_entropy, optimizer=adam,
        metrics={"accuracy": metrics.accuracy}, augment=lambda x: augment.random_flip(x, vertical=True), name=name,
    )  # fmt: skip
    compiled = program.compile()
    history = train.fit(compiled, examples, epochs=EPOCHS, batch_size=BATCH, validation_data=tests)
    for epoch in range(EPOCHS):
        figures = (history[name][epoch] for name in ("loss", "accuracy", "val_accuracy"))
        print("epoch {:2}   loss {:.4f}   accuracy {:.2%}   on the test {:.2%}".format(epoch + 1, *figures))
    print(f"{name}: test accuracy {history['val_accuracy'][-1]:.2%}\n")
    return compiled


def main() -> None:
    """Make images, train both networks, and look at what is mistaken for what."""
    rng = np.random.default_rng(0)
    examples, (x, y) = make(EXAMPLES, rng), make(TESTS, rng)
    trained("dense", dense, examples, (x, y))
    found = trained("residual", residual, examples, (x, y)).predict(x).argmax(axis=1)
    for i, name in enumerate(TEXTURES):
        wrong = np.bincount(found[(y == i) & (found != i)], minlength=len(TEXTURES))
        others = ", ".join(f"{count} for {other}" for count, other in zip(wrong, TEXTURES, strict=True) if count)
        print(f"  {name:8} {np.mean(found[y == i] == i):7.2%}   {others}")
    draw_images("textures.png", {n: examples[0][i::8, ..., 0][:10] / 3 + 0.5 for i, n in enumerate(TEXTURES)})


if __name__ == "__main__":
    main()
