"""An autoencoder: digits of 64 pixels through 8 numbers and back, beside the best that a linear map can do.

The encoder says each image in 8 numbers, the decoder draws it from them; both learn from the difference alone. The
first 8 principal components are the best linear way to do so. Between the codes of two digits lie codes of others.

    python samples/autoencoder.py
"""

from __future__ import annotations

import numpy as np
from digits import load_data
from pictures import draw_images

import graphc as gr
from graphc import losses, nn, optim

CODE, EPOCHS, BATCH = 8, 200, 64
STEPS = EPOCHS * 23  # in an epoch: 1,437 images, 64 at a time

encoder = nn.Sequential(
    nn.Dense(128, activation="gelu"),
    nn.Dense(64, activation="gelu"),
    nn.Dense(CODE),
    name="encoder",
)
decoder = nn.Sequential(
    nn.Dense(64, activation="gelu"),
    nn.Dense(128, activation="gelu"),
    nn.Dense(64, activation="sigmoid"),
    name="decoder",
)
adam = optim.AdamW(optim.CosineDecay(3e-3, STEPS), weight_decay=0.01)
program = gr.Program("autoencoder")


@program.entry
def encode(x: gr.f32["N", 64]):
    """Images as a few numbers."""
    return encoder(x)


@program.entry
def decode(code: gr.f32["N", CODE]):
    """Images from these numbers."""
    return decoder(code)


@program.entry
def train_step(x: gr.f32["N", 64]):
    """One step towards images that come back as they were."""
    loss = losses.mean_squared_error(decoder(encoder(x)), x)
    adam.minimize(loss)
    return {"loss": loss}


def by_components(x, test):
    """The test images from as many principal components of the others."""
    mean = x.mean(axis=0)
    components = np.linalg.svd(x - mean, full_matrices=False)[2][:CODE]
    return mean + (test - mean) @ components.T @ components


def main() -> None:
    """Train, compare, and walk from digit to digit."""
    (x, _), (test, labels) = load_data()
    autoencoder = program.compile()
    for epoch in range(EPOCHS):
        loss = autoencoder.train_step.epoch(x, batch_size=BATCH, shuffle=epoch)["loss"]
        if epoch % 40 == 39:
            back = autoencoder.decode(autoencoder.encode(test))
            print(f"epoch {epoch + 1:3}   loss {loss:.5f}   test error {np.mean((back - test) ** 2):.5f}")
    linear = by_components(x, test)
    print(f"mean squared error on the test: {np.mean((back - test) ** 2):.5f}")
    print(f"by {CODE} principal components:    {np.mean((linear - test) ** 2):.5f}")

    ten = [np.flatnonzero(labels == digit)[0] for digit in range(10)]
    codes = autoencoder.encode(test[ten])
    steps = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
    rows = {"on the test": test[ten], f"by {CODE} numbers": back[ten], "by components": linear[ten]}
    for one, other in ((3, 8), (1, 7), (0, 6)):
        rows[f"from {one} to {other}"] = autoencoder.decode((1 - steps) * codes[one] + steps * codes[other])
    draw_images("autoencoder.png", {name: images.reshape(-1, 8, 8) for name, images in rows.items()})


if __name__ == "__main__":
    main()
