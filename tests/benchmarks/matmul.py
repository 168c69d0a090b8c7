"""Matmul kernels against the FMA peak of the same run: `python -m tests.benchmarks.matmul [--cpu x86-64-v3]`.

Each figure is the best of several medians; peak and kernels are measured by turns, so that the clock's drift hits both.
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


def kernel_rate(case: Case) -> Callable[[], float]:
    """A function that times one kernel: GFLOP/s."""
    kernel = Kernel(case)
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
    top = peak(machine, options.dtype)
    for name, (a, b, demand) in FORMS.items():
        for m, n, k in SHAPES:
            case = Case(machine, (m, n, k), a, b, options.dtype)
            plan = case.planned()
            tile = f"{plan.height}x{plan.width}x{plan.lanes}" + " pack" * plan.pack + " swapped" * plan.swapped
            ceiling, rate = by_turns([top, kernel_rate(case)])
            share = 100 * rate / ceiling
            mark = "" if share >= demand else "  <<"
            size = f"{m}x{n}x{k}"
            print(f"{name:6}{size:>16}{rate:10.1f}{ceiling:8.1f}{share:7.1f}{demand:8.0f}   {tile}{mark}", flush=True)


if __name__ == "__main__":
    main()
