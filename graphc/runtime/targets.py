"""What a CPU offers: vector registers and ISA features, from which every tile and every cache key follows."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from graphc.errors import TargetError
from graphc.records import Record
from graphc.sites import user_site

#: The x86 features that change what graphc emits, in the names LLVM gives them.
V2 = ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
V3 = (*V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
V4 = (*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

#: How /proc/cpuinfo spells a feature where it differs from LLVM.
CPUINFO = {
    "sse3": "pni", "sse4.1": "sse4_1", "sse4.2": "sse4_2", "bmi": "bmi1", "lzcnt": "abm", "sahf": "lahf_lm",
}  # fmt: skip


class Target(Record):
    """One instruction set to emit for."""

    name: str
    triple: str
    features: tuple[str, ...]
    vector_bytes: int
    vector_registers: int
    fma: bool

    @property
    def feature_text(self) -> str:
        """The features as LLVM wants them: `+avx,+avx2,…`."""
        return ",".join(f"+{f}" for f in self.features)

    @property
    def masks(self) -> bool:
        """Whether masked loads and stores cost what plain ones do (AVX-512)."""
        return "avx512f" in self.features

    def lanes(self, itemsize: int) -> int:
        """How many elements of that many bytes fill one vector register."""
        return max(1, self.vector_bytes // itemsize)


def x86(name: str, features: tuple[str, ...]) -> Target:
    """An x86-64 target with the widest vectors its features hold."""
    wide = "avx512f" in features
    width = 64 if wide else 32 if "avx2" in features else 16
    return Target(name, x86_triple(), features, width, 32 if wide else 16, "fma" in features)


def x86_triple() -> str:
    """The triple of the operating system we run on."""
    return {"darwin": "x86_64-apple-macosx", "win32": "x86_64-pc-windows-msvc"}.get(
        sys.platform, "x86_64-unknown-linux-gnu"
    )


@cache
def native() -> Target:
    """The machine we run on."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return Target("generic", "aarch64-unknown-linux-gnu", ("neon",), 16, 32, True)
    flags = cpu_flags()
    for level in (V4, V3, V2):
        if all(CPUINFO.get(f, f) in flags for f in level):
            return x86("native", level)
    return x86("native", ())


def cpu_flags() -> frozenset[str]:
    """The feature flags of the first processor; where they can't be read, those of x86-64-v2."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return frozenset(CPUINFO.get(f, f) for f in V2)
    with info.open() as lines:  # the kernel writes a processor at a time: no more are read than needed
        flags = next((line for line in lines if line.startswith("flags")), ":")
    return frozenset(flags.split(":", 1)[1].split())


#: The vectors of code whose bits are the same everywhere: a register of most CPUs, half of one or two of others.
EXACT_BYTES = 32


def exact(target: Target) -> Target:
    """A target whose code gives the bits that all CPUs' gives: vectors of one width, and no product kept unrounded.

    The order of operations follows from sizes and the vectors' width; IEEE arithmetic does the rest.
    """
    registers = min(target.vector_registers, target.vector_registers * target.vector_bytes // EXACT_BYTES)
    return replace(target, vector_bytes=EXACT_BYTES, vector_registers=registers, fma=False)


NAMED = {"x86-64-v2": V2, "x86-64-v3": V3, "x86-64-v4": V4}


def target(cpu: str = "native") -> Target:
    """The target of a name: `native`, `x86-64-v2`, `x86-64-v3` or `x86-64-v4`.

    Raises `TargetError` for any other.
    """
    if cpu == "native":
        return native()
    if not isinstance(cpu, str) or cpu not in NAMED:
        raise TargetError(f"unknown cpu {cpu!r}", site=user_site(), help=f"use one of native, {', '.join(NAMED)}")
    return x86(cpu, NAMED[cpu])
