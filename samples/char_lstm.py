"""A character LSTM: it reads a short story letter by letter, learns which letter comes next, and then writes.

It is trained on pieces of 64 letters from everywhere in the story. To write, one step of the same layer is an entry of
its own: `nn.Stateful` keeps what it has read and written in the program's state, the next letter is drawn in compiled
code, and a call takes less than a tenth of a millisecond; in C it would be the same letters. (Karpathy, "The
unreasonable effectiveness of recurrent neural networks", 2015.)

    python samples/char_lstm.py [how many letters to write]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

import graphc as gr
from graphc import losses, nn, optim, train

UNITS, PIECE, EPOCHS, BATCH = 128, 64, 5, 32

story = (Path(__file__).resolve().parent / "data" / "lighthouse.txt").read_text(encoding="utf-8")
alphabet = sorted(set(story))
LETTERS = len(alphabet)
text = np.array([alphabet.index(letter) for letter in story], np.int32)
pieces = np.lib.stride_tricks.sliding_window_view(text, PIECE + 1)

letters = nn.Embedding(LETTERS, 32, name="letters")
lstm = nn.LSTM(UNITS, name="lstm")
pen = nn.Stateful(lstm, batch=1, name="pen")
scores = nn.Dense(LETTERS, name="scores")
adam = optim.AdamW(optim.OneCycle(0.01, EPOCHS * -(-len(pieces) // BATCH)), clip_global_norm=1.0)
program = gr.Program("writer")


@program.entry
def train_step(text: gr.i32["N", PIECE + 1]):
    """One step on pieces of text: each letter is to be guessed from those before."""
    outputs, _ = lstm(letters(text[:, :-1]))
    logits = scores(outputs)
    loss = losses.sparse_softmax_cross_entropy(logits, text[:, 1:])
    adam.minimize(loss)
    right = gr.argmax(logits, axis=-1) == text[:, 1:]
    return {"loss": loss, "accuracy": gr.mean(right.astype(gr.f32))}


@program.entry
def write(letter: gr.i32[()], temperature: gr.f32[()]):
    """The letter after this one, given all before: drawn from e^(scores / temperature)."""
    output, _ = pen.step(letters(letter)[None])
    return gr.random.categorical(scores(output)[0] / temperature).astype(gr.i32)


@program.entry
def forget():
    """Nothing has been written yet."""
    pen.reset()


def written(writer, count: int, temperature: float, start: str = "\n") -> str:
    """So many letters by the network, after a text of ours."""
    writer.forget()
    for known in start:
        letter = writer.write(alphabet.index(known), temperature)
    found = [letter]
    while len(found) < count:
        letter = writer.write(letter, temperature)
        found.append(letter)
    return "".join(alphabet[letter] for letter in found)


def main(count: int) -> None:
    """Learn the story, write another."""
    writer = program.compile()
    print(f"untrained: {written(writer, 60, 1.0)!r}")
    history = train.fit(writer, pieces, epochs=EPOCHS, batch_size=BATCH, progress=True)
    print(
        f"next letter guessed {history['accuracy'][-1]:.1%}, perplexity {np.exp(history['loss'][-1]):.2f} of {LETTERS}"
    )

    for temperature in (0.5, 1.0):
        print(f"\n--- at temperature {temperature}\n{written(writer, count, temperature)}")
    words = re.findall(r"[a-z]+", written(writer, 5000, 0.5).lower())
    known = set(re.findall(r"[a-z]+", story.lower()))
    print(f"\nof {len(words)} words written, words of the story {np.mean([w in known for w in words]):.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
