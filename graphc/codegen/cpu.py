"""The check that a CPU has the features the code was compiled for: `cpuid` on x86, nothing elsewhere."""

from __future__ import annotations

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.runtime.targets import Target

#: (leaf, register, bit) of each feature; Intel SDM volume 2A, CPUID.
CPUID = {
    "sse3": (1, "c", 0), "ssse3": (1, "c", 9), "fma": (1, "c", 12), "cx16": (1, "c", 13), "sse4.1": (1, "c", 19),
    "sse4.2": (1, "c", 20), "movbe": (1, "c", 22), "popcnt": (1, "c", 23), "avx": (1, "c", 28), "f16c": (1, "c", 29),
    "bmi": (7, "b", 3), "avx2": (7, "b", 5), "bmi2": (7, "b", 8), "avx512f": (7, "b", 16), "avx512dq": (7, "b", 17),
    "avx512cd": (7, "b", 28), "avx512bw": (7, "b", 30), "avx512vl": (7, "b", 31),
    "sahf": (0x80000001, "c", 0), "lzcnt": (0x80000001, "c", 5),
}  # fmt: skip

#: Bits of XCR0 that say the operating system saves the registers: XMM and YMM; with AVX-512 also masks and ZMM.
YMM_STATE, ZMM_STATE = 0x06, 0xE6

#: What code may use before the check.
BASELINE = "+sse2"

REGISTERS = "abcd"


def lacks_features(b: Builder, target: Target) -> Value | None:
    """Whether the CPU we run on lacks a feature of the target; None where there is nothing to check."""
    if not target.triple.startswith("x86_64") or not target.features:
        return None
    lacking = Value("i1", "false")
    for leaf in sorted({CPUID[f][0] for f in target.features}):
        wanted = dict.fromkeys(REGISTERS, 0)
        for feature in target.features:
            where, register, bit = CPUID[feature]
            if where == leaf:
                wanted[register] |= 1 << bit
        found = cpuid(b, leaf)
        for register, bits in wanted.items():
            if bits:
                have = b.binary("and", found[register], word(bits))
                lacking = b.binary("or", lacking, b.icmp("ne", have, word(bits)))
    if "avx" in target.features:
        return b.binary("or", lacking, lacks_saved_registers(b, ZMM_STATE if target.masks else YMM_STATE))
    return lacking


def lacks_saved_registers(b: Builder, state: int) -> Value:
    """Whether the operating system does not save the wide registers (false where it can't be asked)."""
    osxsave = b.binary("and", cpuid(b, 1)["c"], word(1 << 27))
    ask, end = b.fresh("ask"), b.fresh("asked")
    before = b.block
    b.branch_if(b.icmp("ne", osxsave, word(0)), ask, end)
    b.label(ask)
    pair = b.emit("{ i32, i32 }", 'call { i32, i32 } asm sideeffect "xgetbv", "={ax},={dx},{cx}"(i32 0)')
    low = b.emit("i32", f"extractvalue {pair}, 0")
    missing = b.icmp("ne", b.binary("and", low, word(state)), word(state))
    b.branch(end)
    b.label(end)
    return b.phi("i1", [(Value("i1", "true"), before), (missing, ask)])


def cpuid(b: Builder, leaf: int) -> dict[str, Value]:
    """The four registers of a leaf, subleaf 0."""
    type_ = "{ i32, i32, i32, i32 }"
    outputs = ",".join(f"={{{r}x}}" for r in REGISTERS)
    constraints = f"{outputs},{{ax}},{{cx}}"
    found = b.emit(type_, f'call {type_} asm sideeffect "cpuid", "{constraints}"(i32 {word(leaf).name}, i32 0)')
    return {r: b.emit("i32", f"extractvalue {found}, {i}") for i, r in enumerate(REGISTERS)}


def word(bits: int) -> Value:
    """A 32-bit pattern as LLVM writes it."""
    return Value("i32", str(bits - (1 << 32) if bits >> 31 else bits))
