"""Resampling and augmentation of images: `python -m tests.benchmarks.augment`. PyTorch is optional.

Bilinear resampling at one matrix an image, nanoseconds of the processor for each number, the least of many rounds that
take turns; checks that PyTorch's `grid_sample` gives the same. Then each kind of augmentation, with its random numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gr
from graphc import augment
from tests.benchmarks.machine import describe, pin

#: Batch, side, channels.
SHAPES = ((1024, 8, 1), (256, 28, 1), (256, 32, 3), (4, 224, 3), (64, 32, 16))
KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "shift": lambda x, key: augment.random_shift(x, 2, key=key),
    "affine": lambda x, key: augment.random_affine(x, shift=2.0, rotate=10.0, scale=(0.9, 1.1), key=key),
    "flip": lambda x, key: augment.random_flip(x, key=key),
    "brightness": lambda x, key: augment.random_brightness(x, key=key),
    "contrast": lambda x, key: augment.random_contrast(x, key=key),
    "noise": lambda x, key: augment.random_noise(x, key=key),
    "cutout": lambda x, key: augment.cutout(x, 8, key=key),
    "mixup": lambda x, key: augment.mixup(x, x, key=key)[0],
}


def least(runs: dict[str, Callable[[], Any]], rounds: int = 40) -> dict[str, float]:
    """Seconds of the processor of each, the least."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return best


def rotations(count: int) -> Any:
    """A matrix for each image: a turn, and a shift."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(-0.3, 0.3, count)
    matrices = np.zeros((count, 2, 3), np.float32)
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angle)
    matrices[:, 0, 1] = np.sin(angle)
    matrices[:, 1, 0] = -matrices[:, 0, 1]
    matrices[:, :, 2] = rng.uniform(-2, 2, (count, 2))
    return matrices


def torch_runs(x: Any, matrices: Any, expected: Any) -> dict[str, Callable[[], Any]]:
    """The same in PyTorch, in both memory formats; nothing where it is not installed."""
    try:
        import torch
        from torch.nn.functional import affine_grid, grid_sample
    except ImportError:
        return {}
    torch.set_num_threads(1)
    theta = matrices[:, ::-1, [1, 0, 2]].copy()
    theta[:, :, 2] *= 2 / x.shape[1]
    nhwc, theta = torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(theta)

    def run(images: Any) -> Callable[[], Any]:
        return lambda: grid_sample(images, affine_grid(theta, images.shape, align_corners=False), align_corners=False)

    np.testing.assert_allclose(run(nhwc)().permute(0, 2, 3, 1).numpy(), expected, atol=1e-4)
    return {"torch": run(nhwc.contiguous()), "torch, channels last": run(nhwc)}


def main() -> None:
    """Print both tables."""
    pin()
    print(describe("graphc", "torch"))
    print("affine, ns a number")
    for count, side, channels in SHAPES:
        x = np.random.default_rng(1).random((count, side, side, channels), np.float32)
        matrices = rotations(count)
        resample = gr.jit(augment.affine)
        runs = {"graphc": lambda: resample(x, matrices)} | torch_runs(x, matrices, resample(x, matrices))  # noqa: B023
        figures = ", ".join(f"{name} {1e9 * t / x.size:.2f}" for name, t in least(runs).items())
        print(f"  {count}×{side}×{side}×{channels}: {figures}")
    x = np.random.default_rng(1).random((256, 28, 28, 1), np.float32)
    drawn = {name: gr.jit(lambda x, seed, f=f: f(x, gr.random.key(seed))) for name, f in KINDS.items()}
    times = least({name: lambda f=f: f(x, 1) for name, f in drawn.items()})  # type: ignore[misc]
    print("256×28×28×1, µs: " + ", ".join(f"{name} {1e6 * t:.0f}" for name, t in times.items()))


if __name__ == "__main__":
    main()
