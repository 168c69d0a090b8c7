"""Whole processes: `python -m tests.benchmarks.startup [repeats]`. Needs torch (extra `bench`) beside graphc.

Training the digits network from nothing, with an empty cache and with a warm one, beside `import torch`;
`import graphc` beside `import numpy`. Runs are taken in turns; ratios are of medians of wall time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.machine import describe, median

DIGITS = [str(Path(__file__).resolve().parents[2] / "samples" / "digits.py"), "--train-only"]


def wall(arguments: list[str], cache: str) -> float:
    """Seconds of one process."""
    start = time.perf_counter()
    environment = {**os.environ, "GRAPHC_CACHE": cache}
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(repeats: int) -> None:
    """Print medians and ratios."""
    print(describe("graphc", "torch", "numpy"))
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as warm:
        wall(DIGITS, warm)
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as empty:
                times.setdefault("digits, empty cache", []).append(wall(DIGITS, empty))
            times.setdefault("digits, warm cache", []).append(wall(DIGITS, warm))
            for name in ("torch", "numpy", "graphc"):
                times.setdefault(f"import {name}", []).append(wall(["-c", f"import {name}"], warm))
    medians = {name: median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:20} {seconds:7.3f} s")
    for name, peer, asked in (
        ("digits, empty cache", "import torch", 1.0),
        ("digits, warm cache", "import torch", 0.5),
        ("import graphc", "import numpy", 1.5),
    ):
        print(f"{name} / {peer}: {medians[name] / medians[peer]:.2f} (asked: at most {asked})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
