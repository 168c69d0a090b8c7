"""Speed and accuracy of the vector functions: `python -m tests.benchmarks.vecmath [--sweep STRIDE] [--cpu NAME …]`.

Prints nanoseconds an element (the whole loop over 4,096 floats, in the first-level cache) and the largest error in
ulp, for f32 over a strided sweep of all bit patterns (stride 1 is exhaustive), for f64 over random arguments.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.lane_kernels import TARGETS, Kernel, unary
from tests.vecmath_reference import FUNCTIONS, domain, patterns, reference, ulp_error

Floats = np.ndarray[Any, Any]
COUNT = 4096


def cpu_model() -> str:
    """The processor's name, as Linux gives it."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")


def nanoseconds(kernel: Kernel, x: Floats, operands: int = 1) -> float:
    """The least of many timings, an element."""
    out = np.empty_like(x)
    arguments = [out.ctypes.data, *[x.ctypes.data] * operands, len(x)]
    repeats = 50
    best = float("inf")
    for _ in range(40):
        start = time.perf_counter()
        for _ in range(repeats):
            kernel.function(*arguments)
        best = min(best, time.perf_counter() - start)
    return best / repeats / len(x) * 1e9


def worst_f32(name: str, target: str, stride: int) -> tuple[float, float]:
    """The largest error over the sweep, and where."""
    kernel = unary(name, "f32", TARGETS[target].lanes(4), target)
    worst, where = 0.0, 0.0
    for start in range(0, 1 << 32, stride << 20):
        x = patterns(start, min(start + (stride << 20), 1 << 32), stride)
        errors = ulp_error(kernel(x), reference(name, x))
        i = int(np.argmax(errors))
        if errors[i] > worst:
            worst, where = float(errors[i]), float(x[i])
    return worst, where


def worst_f64(name: str, target: str, count: int) -> tuple[float, float]:
    """The largest error over random arguments, and where."""
    x = domain(name, count)
    errors = ulp_error(unary(name, "f64", TARGETS[target].lanes(8), target)(x), reference(name, x))
    i = int(np.argmax(errors))
    return float(errors[i]), float(x[i])


def main() -> None:
    """Print a table for every target asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweep", type=int, default=4096, help="stride over float32 patterns")
    parser.add_argument("--cpu", nargs="*", default=list(TARGETS)[-1:], choices=list(TARGETS))
    parser.add_argument("--functions", nargs="*", default=list(FUNCTIONS))
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for target in options.cpu:
        print(f"{cpu_model()}, target {target}, one thread; sweep stride {options.sweep}")
        print(f"{'':8} {'f32 ns':>8} {'f32 ulp':>8} {'at':>14} {'f64 ns':>8} {'f64 ulp':>8} {'at':>14}")
        for name in options.functions:
            row = [name.ljust(8)]
            for dtype, itemsize in (("f32", 4), ("f64", 8)):
                x = rng.uniform(0.1, 4.0, COUNT).astype(f"f{itemsize}")
                speed = nanoseconds(unary(name, dtype, TARGETS[target].lanes(itemsize), target), x)
                ulp, at = worst_f32(name, target, options.sweep) if itemsize == 4 else worst_f64(name, target, 400_000)
                row += [f"{speed:8.3f}", f"{ulp:8.3f}", f"{at:14.6g}"]
            print(" ".join(row), flush=True)


if __name__ == "__main__":
    main()
