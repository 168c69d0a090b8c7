"""Handwritten digits: train a 64-128-10 perceptron, check its gradients, ship it as a shared object.

python samples/digits.py [folder]       all of it; writes digits.so and digits.h (into build/ by default)
python samples/digits.py --train-only   train and test, nothing else
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import graphc as gr
from graphc import losses, nn, optim

SAMPLES = Path(__file__).resolve().parent
EPOCHS, BATCH, LEARNING_RATE = 10, 32, 0.01


def load_data():
    """((x, y) to train on, (x, y) to test on): pixels in 0..1 and labels; every fifth image is for the test."""
    with np.load(SAMPLES / "data" / "digits.npz") as data:
        x = data["pixels"].reshape(-1, 64).astype(np.float32) / 16
        y = data["labels"].astype(np.int32)
    test = np.arange(len(x)) % 5 == 0
    return (x[~test], y[~test]), (x[test], y[test])


training, test = load_data()
MEAN = training[0].mean(axis=0)


def centred(x):
    """Pixels minus the mean image, a constant in the compiled code. Around 0 no unit of the network dies early."""
    return x - MEAN


net = nn.Sequential(centred, nn.Dense(128, activation="relu"), nn.Dense(10))
adam = optim.Adam(LEARNING_RATE)
program = gr.Program("digits")


@program.entry
def predict(x: gr.f32["N", 64]):
    """The probability of each digit."""
    return nn.softmax(net(x))


@program.entry
def train_step(x: gr.f32["N", 64], y: gr.i32["N"]):
    """One step of Adam on a minibatch."""
    loss = losses.sparse_softmax_cross_entropy(net(x), y)
    adam.minimize(loss)
    return {"loss": loss}


@program.entry
def evaluate(x: gr.f32["N", 64], y: gr.i32["N"]):
    """How good the network is on these images."""
    logits = net(x)
    correct = gr.argmax(logits, axis=-1) == y
    return {
        "loss": losses.sparse_softmax_cross_entropy(logits, y),
        "accuracy": gr.mean(correct.astype(gr.f32)),
    }


def train(digits, x, y):
    """Train, with a learning rate that falls to nothing; yields (epoch, loss). An epoch is one call into C."""
    for epoch in range(EPOCHS):
        digits.state["adam/learning_rate"] = LEARNING_RATE * (1 - epoch / EPOCHS)
        yield epoch, digits.train_step.epoch(x, y, batch_size=BATCH, shuffle=epoch)["loss"]


def train_only():
    """As quick as it gets: from the Python above to a tested network."""
    digits = program.compile()
    for _ in train(digits, *training):
        pass
    print(f"test accuracy {digits.evaluate(*test)['accuracy']:.2%}")


def main(folder: Path):
    """Train, test, check, ship, reload."""
    import subprocess  # here, so that --train-only starts without it

    digits = program.compile()
    for epoch, loss in train(digits, *training):
        print(f"epoch {epoch + 1:2}   loss {loss:.4f}   test accuracy {digits.evaluate(*test)['accuracy']:.2%}")

    print("\ngradients against centred differences:")
    print(gr.check_grads(train_step, training[0][:8], training[1][:8], rtol=1e-6))

    folder.mkdir(parents=True, exist_ok=True)
    library = digits.build(folder / "digits.so")
    probabilities = digits.predict(test[0])
    command = [sys.executable, __file__, "--predict", library]
    elsewhere = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    assert elsewhere == probabilities.tobytes(), "the reloaded program predicts something else"
    print(f"\n{library} and {library.with_suffix('.h').name}: reloaded in a new process, predicts the same bits")

    print("\nconfusion on the test images (rows: the digit, columns: what it was taken for)")
    print_confusion(test[1], probabilities.argmax(axis=1))


def predict_elsewhere(library: str):
    """What the new process does: load the file, write its predictions. Neither LLVM nor the network above is used."""
    sys.stdout.buffer.write(gr.load(library).predict(test[0]).tobytes())


def print_confusion(labels, guesses):
    """How often each digit was taken for each."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, guesses), 1)
    print("    " + "".join(f"{digit:4}" for digit in range(10)))
    for digit, row in enumerate(counts):
        print(f"{digit:4}" + "".join(f"{count or '·':>4}" for count in row))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--train-only"]:
            train_only()
        case ["--predict", path]:
            predict_elsewhere(path)
        case [path]:
            main(Path(path))
        case _:
            main(SAMPLES.parent / "build")
