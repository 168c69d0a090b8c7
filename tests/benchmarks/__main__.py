"""Every benchmark, one after the other: `python -m tests.benchmarks [name …]`. Peers need the extra `bench`."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.machine import describe

#: What each measures, in the order they run.
BENCHMARKS = {
    "steps": ["steps"],
    "recurrent": ["recurrent"],
    "transformer": ["transformer"],
    "startup": ["startup"],
    "compile": ["compile"],
    "matmul": ["matmul"],
    "matmul-avx2": ["matmul", "--cpu", "x86-64-v3"],
    "images": ["images"],
    "convolution": ["convolution"],
    "convolution-avx2": ["convolution", "--cpu", "x86-64-v3"],
    "vecmath": ["vecmath"],
    "augment": ["augment"],
    "fit": ["fit"],
}


def main(names: list[str]) -> None:
    """Run the benchmarks of these names, or all."""
    print(describe("graphc", "llvmlite", "numpy", "torch", "jax", "optax"))
    for name in names or BENCHMARKS:
        module, *arguments = BENCHMARKS[name]
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{module}", *arguments], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
