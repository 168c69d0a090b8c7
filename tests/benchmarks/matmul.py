"""Matmul kernels against the FMA peak of the same run: `python -m tests.benchmarks.matmul [--cpu x86-64-v3]`.

A kernel and the peak are measured by turns, so that the clock's drift hits both, for operands at several places in
memory (which of them share sets of a cache depends on their pages), all kernels at one before any at the next. A
figure is the median of the places; at each place it is the best of several medians.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from graphc.codegen.llvm import Builder, Module
from graphc.codegen.matmul_tile import Arithmetic
from graphc.runtime.targets import Target, target
from graphc.schedule.tiles import ITEMSIZE, Layout
from tests.matmul_kernel import DTYPES, Case, Compiled, Kernel, aligned, stored

SHAPES = [(32, 128, 784), (64, 64, 64), (16, 16, 16), (63, 64, 64), (256, 1024, 1024), (512, 512, 512)]
FORMS: dict[str, tuple[Layout, Layout, float]] = {
    "A.B": ("row", "row", 95.0),
    "At.B": ("transposed", "row", 95.0),
    "A.Bt": ("row", "transposed", 90.0),
}

#: Places in memory for each kernel's operands, and how often it is measured at each.
PLACES, ROUNDS = 5, 4

#: Independent accumulators of the peak loop, enough to cover the latency of two FMAs a cycle.
CHAINS = 12


def peak(machine: Target, dtype: str) -> Callable[[], float]:
    """A function that times a loop of FMAs on registers: GFLOP/s."""
    lanes = machine.lanes(ITEMSIZE[dtype])
    arithmetic = Arithmetic.of(machine, dtype, lanes)
    module = Module(machine.triple, machine.feature_text)
    b = Builder(module, "peak", [("ptr", "out"), ("i64", "count")], linkage="")
    x = b.load(arithmetic.vector, b.arguments[0])
    start = [b.load(arithmetic.vector, b.arguments[0]) for _ in range(CHAINS)]
    with b.loop(b.i64(0), b.arguments[1], 1, start) as loop:
        sums = loop.carried
        for _ in range(4):
            sums = [arithmetic.multiply_add(b, x, x, s) for s in sums]
        loop.next = sums
    for c, s in enumerate(loop.results):
        b.store(s, b.gep(arithmetic.element, b.arguments[0], b.i64(c * lanes)))
    b.ret()
    compiled = Compiled(module, machine)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(compiled.address("peak"))
    out = np.zeros(CHAINS * lanes, DTYPES[dtype])
    count = 50_000

    def measure(_alive: object = compiled) -> float:
        begin = time.thread_time()
        run(out.ctypes.data, count)
        return count * 4 * CHAINS * lanes * 2 / (time.thread_time() - begin) / 1e9

    return measure


def kernel_rate(kernel: Kernel) -> Callable[[], float]:
    """A function that times a kernel on operands of its own: GFLOP/s."""
    case = kernel.case
    m, n, k = (size or case.typical for size in case.sizes)
    draw = np.random.default_rng(0)
    a, b = (draw.standard_normal(shape).astype(DTYPES[case.dtype]) for shape in ((m, k), (k, n)))
    left, right = stored(a, case.a, kernel.panel), stored(b, case.b, kernel.panel)
    out, scratch = aligned(m * n, DTYPES[case.dtype]), kernel.scratch(k)
    flops = 2 * m * n * k
    repeat = max(1, 60_000_000 // flops)
    arrays = left, right, out, scratch
    pointers = [array.ctypes.data for array in arrays]

    def measure(_alive: object = arrays) -> float:
        begin = time.thread_time()
        kernel.run(*pointers, m, n, k, repeat)
        return flops * repeat / (time.thread_time() - begin) / 1e9

    return measure


def by_turns(functions: list[Callable[[], float]], rounds: int = 5, inner: int = 7) -> list[float]:
    """The best median of each, measured in turn."""
    best = [0.0] * len(functions)
    for _ in range(rounds):
        samples = [[f() for f in functions] for _ in range(inner)]
        best = [max(old, median(s)) for old, s in zip(best, zip(*samples, strict=True), strict=True)]
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", default="native")
    parser.add_argument("--dtype", default="f32", choices=("f32", "f64"))
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = target(options.cpu)
    print(f"{machine.name}: {machine.vector_bytes}-byte vectors, {options.dtype}")
    print(f"{'':6}{'M x N x K':>16}{'GFLOP/s':>10}{'peak':>8}{'%':>7}{'demand':>8}   tile")
    cases = [(name, Case(machine, s, *FORMS[name][:2], options.dtype)) for name in FORMS for s in SHAPES]
    top, kernels = peak(machine, options.dtype), [Kernel(case) for _, case in cases]
    places = [[kernel_rate(kernel) for kernel in kernels] for _ in range(PLACES)]
    figures = [[by_turns([top, rate], ROUNDS) for rate in rates] for rates in places]
    for (name, case), found in zip(cases, zip(*figures, strict=True), strict=True):
        ceiling, rate = sorted(found, key=lambda pair: pair[1] / pair[0])[PLACES // 2]
        plan, demand, share = case.planned(), FORMS[name][2], 100 * rate / ceiling
        tile = f"{plan.height}x{plan.width}x{plan.lanes}" + " pack" * plan.pack + " swapped" * plan.swapped
        mark = "" if share >= demand else "  <<"
        size = "x".join(map(str, case.sizes))
        print(f"{name:6}{size:>16}{rate:10.1f}{ceiling:8.1f}{share:7.1f}{demand:8.0f}   {tile}{mark}")


if __name__ == "__main__":
    main()
