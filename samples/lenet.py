"""LeNet on handwritten digits that are turned, sheared, zoomed and shifted as it learns: above 99%.

The plan of LeNet-5 (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
1998): twice a convolution and a pooling, then three dense layers; here with ReLUs, on 8×8 digits enlarged to 16×16.

    python samples/lenet.py
"""

from __future__ import annotations

import numpy as np
from digits import load_data
from pictures import draw_images

import graphc as gr
from graphc import augment, losses, metrics, nn, optim, train

EPOCHS, BATCH = 100, 32
STEPS = EPOCHS * 45  # in an epoch: 1,437 images, 32 at a time


def vary(x, key=None):
    """Other images of the same digits."""
    return augment.random_affine(x, shift=1.0, rotate=15.0, scale=(0.8, 1.2), shear=0.3, key=key)


net = nn.Sequential(
    nn.Conv2D(6, 5, activation="relu"),
    nn.MaxPool(2),
    nn.Conv2D(16, 5, padding="VALID", activation="relu"),
    nn.MaxPool(2),
    nn.Flatten(),
    nn.Dense(120, activation="relu"),
    nn.Dense(84, activation="relu"),
    nn.Dense(10),
)
program = train.supervised(
    net, gr.f32["N", 16, 16, 1], gr.i32["N"], loss=losses.sparse_softmax_cross_entropy,
    optimizer=optim.Adam(optim.CosineDecay(3e-3, STEPS)), metrics={"accuracy": metrics.accuracy}, augment=vary,
    name="lenet",
)  # fmt: skip


def images(pixels):
    """[N, 64] -> [N, 16, 16, 1]: each pixel four times."""
    return pixels.reshape(-1, 8, 8, 1).repeat(2, axis=1).repeat(2, axis=2)


def main() -> None:
    """Train, test, and look at the mistakes."""
    (x, y), (test_x, test_y) = ((images(pixels), labels) for pixels, labels in load_data())
    print(net.summary(gr.f32["N", 16, 16, 1]), end="\n\n")
    lenet = program.compile()
    history = train.fit(lenet, (x, y), epochs=EPOCHS, batch_size=BATCH, validation_data=(test_x, test_y))
    for epoch in range(9, EPOCHS, 10):
        figures = (history[name][epoch] for name in ("loss", "accuracy", "val_accuracy"))
        print("epoch {:3}   loss {:.4f}   accuracy {:.2%}   on the test {:.2%}".format(epoch + 1, *figures))
    found = lenet.predict(test_x).argmax(axis=1)
    wrong = np.flatnonzero(found != test_y)
    print(f"test accuracy {np.mean(found == test_y):.2%}: {len(wrong)} of {len(test_y)} are mistaken")
    for i in wrong:
        print(f"  a {test_y[i]} for a {found[i]}")
    varied = gr.jit(lambda x, seed: vary(x, gr.random.key(seed)))
    rows = {f"as it learns, {seed}": varied(x[:10], seed)[..., 0] for seed in (1, 2, 3)}
    draw_images("lenet.png", {"given": x[:10, ..., 0]} | rows | {"mistaken": test_x[wrong][:10, ..., 0]})


if __name__ == "__main__":
    main()
