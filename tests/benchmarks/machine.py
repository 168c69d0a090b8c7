"""What a measurement was made on, and how repeats are taken: pinned, interleaved, medians."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path


def pin(core: int | None = None) -> None:
    """Run on one core, with one thread in every library that is imported afterwards."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1] if core is None else core})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def describe(*packages: str) -> str:
    """The machine, its load, and the versions of packages that are installed."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((li.split(":", 1)[1].strip() for li in info.read_text().splitlines() if "model name" in li), model)
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} -")
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{model}, {os.cpu_count()} cores, load {load:.1f}, Python {python}; {', '.join(versions)}"


def seconds_per_step(run: Callable[[int], object], budget: float = 0.05) -> float:
    """The time of one step of `run(steps)`, over as many steps as fill the budget."""
    run(1)
    start = time.perf_counter()
    run(1)
    steps = max(1, int(budget / max(time.perf_counter() - start, 1e-9)))
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def interleaved(
    runs: Mapping[str, Callable[[int], object]], repeats: int = 9, budget: float = 0.05
) -> dict[str, list[float]]:
    """Seconds a step of each, taken in turns, so that drift of the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds_per_step(run, budget))
    return times


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)
