"""Records what PyTorch computes for convolutions, for tests that run without it.

    python tests/recipes/convolution.py        # with torch 2.13 installed; writes tests/vectors/convolution.npz

Everything is float64, in graphc's layouts. Each case: x, kernel, y, weights, and the gradients of ⟨weights, y⟩.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)

#: Name -> (transposed, shape of x, shape of the kernel, options); names are those of the tests' table.
CASES: dict[str, tuple[bool, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": (False, (2, 6, 7, 3), (3, 3, 3, 4), {"padding": 1}),
    "strided": (False, (2, 9, 8, 2), (3, 4, 2, 5), {"stride": (2, 3), "padding": (1, 2)}),
    "dilated": (False, (1, 8, 9, 2), (2, 3, 2, 3), {"dilation": (3, 2), "padding": (0, 1)}),
    "grouped": (False, (2, 5, 5, 6), (3, 3, 2, 9), {"groups": 3}),
    "depthwise": (False, (2, 5, 6, 5), (3, 3, 1, 5), {"groups": 5, "padding": 1, "stride": 2}),
    "sequence": (False, (3, 11, 4), (5, 4, 2), {"padding": 2}),
    "volume": (False, (1, 4, 5, 3, 2), (2, 3, 2, 2, 3), {"stride": (1, 2, 1), "padding": (1, 0, 1)}),
    "transposed": (True, (2, 4, 5, 4), (3, 3, 3, 4), {"stride": 2, "padding": 1, "output_padding": 1}),
    "transposed_groups": (True, (1, 4, 3, 4), (2, 3, 3, 4), {"stride": (1, 3), "groups": 2, "dilation": (2, 1)}),
    "transposed_sequence": (True, (2, 5, 3), (4, 2, 3), {"stride": 3, "padding": 1}),
}


def record(rng: np.random.Generator, name: str) -> dict[str, np.ndarray]:
    """One case's arrays."""
    transposed, of_x, of_kernel, options = CASES[name]
    rank = len(of_x) - 2
    x, kernel = (torch.tensor(rng.standard_normal(s), requires_grad=True) for s in (of_x, of_kernel))
    function = (TRANSPOSED if transposed else CONVOLUTIONS)[rank - 1]
    y = function(x.movedim(-1, 1), kernel.permute(rank + 1, rank, *range(rank)), **options).movedim(1, -1)
    weights = torch.tensor(rng.standard_normal(y.shape))
    (y * weights).sum().backward()
    arrays = {"x": x, "kernel": kernel, "y": y, "weights": weights}
    arrays |= {"x_gradient": x.grad, "kernel_gradient": kernel.grad}
    return {f"{name}/{key}": value.detach().numpy() for key, value in arrays.items()}


def main() -> None:
    rng = np.random.default_rng(0)
    records = {key: array for name in CASES for key, array in record(rng, name).items()}
    target = Path(__file__).parent.parent / "vectors" / "convolution.npz"
    np.savez_compressed(target, torch_version=torch.__version__, **records)


if __name__ == "__main__":
    main()
