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

from tests.lane_kernels import TARGETS, Kernel, named
from tests.vecmath_reference import FUNCTIONS, domain, patterns, power_sample, reference, ulp_error

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
    kernel = named(name, "f32", lanes_of("f32", target), target)
    largest, where = 0.0, 0.0
    for start in range(0, 1 << 32, stride << 20):
        x = patterns(start, min(start + (stride << 20), 1 << 32), stride)
        errors = ulp_error(kernel(x), reference(name, x))
        i = int(np.argmax(errors))
        if errors[i] > largest:
            largest, where = float(errors[i]), float(x[i])
    return largest, where


def worst_f64(name: str, target: str, count: int) -> tuple[float, float]:
    """The largest error over random arguments, and where."""
    x = domain(name, count)
    errors = ulp_error(named(name, "f64", lanes_of("f64", target), target)(x), reference(name, x))
    i = int(np.argmax(errors))
    return float(errors[i]), float(x[i])


def worst_power(dtype: str, target: str, count: int) -> tuple[float, float]:
    """The largest error of x^y over random arguments, and at which x."""
    x, y, exact = power_sample(dtype, count)
    errors = ulp_error(named("pow", dtype, lanes_of(dtype, target), target, 2)(x, y), exact)
    i = int(np.argmax(errors))
    return float(errors[i]), float(x[i])


def lanes_of(dtype: str, target: str) -> int:
    """A full vector."""
    return TARGETS[target].lanes(4 if dtype == "f32" else 8)


def worst(name: str, dtype: str, target: str, stride: int) -> tuple[float, float]:
    """The largest error of a function, and where."""
    if name == "pow":
        return worst_power(dtype, target, 400_000)
    return worst_f32(name, target, stride) if dtype == "f32" else worst_f64(name, target, 400_000)


def main() -> None:
    """Print a table for every target asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweep", type=int, default=4096, help="stride over float32 patterns")
    parser.add_argument("--cpu", nargs="*", default=list(TARGETS)[-1:], choices=list(TARGETS))
    parser.add_argument("--functions", nargs="*", default=[*FUNCTIONS, "pow"])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for target in options.cpu:
        print(f"{cpu_model()}, target {target}, one thread; sweep stride {options.sweep}")
        print(f"{'':8} {'f32 ns':>8} {'f32 ulp':>8} {'at':>14} {'f64 ns':>8} {'f64 ulp':>8} {'at':>14}")
        for name in options.functions:
            row = [name.ljust(8)]
            for dtype, kind in (("f32", np.float32), ("f64", np.float64)):
                operands = 2 if name == "pow" else 1
                kernel = named(name, dtype, lanes_of(dtype, target), target, operands)
                speed = nanoseconds(kernel, rng.uniform(0.1, 4.0, COUNT).astype(kind), operands)
                ulp, at = worst(name, dtype, target, options.sweep)
                row += [f"{speed:8.3f}", f"{ulp:8.3f}", f"{at:14.6g}"]
            print(" ".join(row), flush=True)


if __name__ == "__main__":
    main()
