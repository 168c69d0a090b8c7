"""Compile times of the digits program (three entries): `python -m tests.benchmarks.compile [repeats]`.

Each repeat is a new process. Times are of `program.compile()`, after imports: without a cache (LLVM imported before),
then from the cache, where neither llvmlite nor networkx may be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.machine import describe, median

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

SCRIPT = """
import json, sys, time
import graphc as gr
sys.path.insert(0, sys.argv[1])
import digits
if sys.argv[2] == "cold":
    import graphc.codegen.link, graphc.codegen.object, graphc.codegen.program, graphc.passes.pipeline
start = time.perf_counter()
digits.program.compile()
seconds = time.perf_counter() - start
print(json.dumps([seconds, [m for m in ("llvmlite", "networkx") if m in sys.modules]]))
"""


def once(kind: str, cache: str) -> tuple[float, list[str]]:
    """Seconds of compile(), and which heavy modules are loaded, in a new process."""
    command = [sys.executable, "-c", SCRIPT, str(SAMPLES), kind]
    result = subprocess.run(command, env={**os.environ, "GRAPHC_CACHE": cache}, stdout=subprocess.PIPE, check=True)
    seconds, modules = json.loads(result.stdout)
    return seconds, modules


def main(repeats: int) -> None:
    """Print both medians."""
    print(describe("graphc", "llvmlite", "numpy"))
    cold, warm = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(once("cold", cache)[0])
            seconds, modules = once("warm", cache)
            warm.append(seconds)
            if modules:
                raise SystemExit(f"a warm start imports {', '.join(modules)}")
    print(f"no cache: {median(cold) * 1e3:.0f} ms (asked: under 250)")
    print(f"cached:   {median(warm) * 1e3:.1f} ms (asked: under 10)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
