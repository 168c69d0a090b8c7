"""Records what PyTorch's recurrent layers compute over 64 steps, for tests that run without it.

    python tests/vectors/record_recurrent.py        # with torch 2.13 installed; writes tests/vectors/recurrent.npz

Weights and data are `tests.recurrent_case`'s. Of gradients every `EVERY`-th element is kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.recurrent_case import BATCH, EVERY, FEATURES, HIDDEN, case

LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def record(cell: str) -> dict[str, np.ndarray]:
    """Last state and gradients of its weighted sum, of one cell."""
    x, weight, *arrays = case(cell)
    layer = LAYERS[cell](FEATURES, HIDDEN)
    parameters = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0]
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.data[:] = torch.tensor(array.T)
    layer.bias_hh_l0.data[:] = 0.0
    sequence = torch.tensor(x, requires_grad=True)
    states, _ = layer(sequence)
    assert states.shape[1:] == (BATCH, HIDDEN)
    (states[-1] * torch.tensor(weight)).sum().backward()
    gradients = [sequence.grad, *(p.grad.mT if p.ndim == 2 else p.grad for p in parameters)]
    names = ("x", "input", "hidden", "bias")
    found = {f"{cell}/{n}": g.numpy().ravel()[::EVERY] for n, g in zip(names, gradients, strict=True)}
    return {f"{cell}/last": states[-1].detach().numpy().ravel()[::7], **found}


def main() -> None:
    """Write the file."""
    records = {name: value for cell in LAYERS for name, value in record(cell).items()}
    np.savez_compressed(Path(__file__).with_name("recurrent.npz"), **records)


if __name__ == "__main__":
    main()
