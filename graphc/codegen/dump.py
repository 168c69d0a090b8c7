"""GRAPHC_DUMP of code: each entry's kernels as LLVM IR and assembly, and the whole program's."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from graphc.codegen.entry import emit_body
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Module
from graphc.codegen.object import emit_assembly
from graphc.dump import heading, write
from graphc.runtime.targets import Target
from graphc.schedule.layout import StateLayout
from graphc.schedule.program import EntrySchedule

#: The opcode of each instruction in LLVM IR and in assembly.
OPCODE = re.compile(r"^  (?:%[\w.]+ = )?([a-z]+)", re.MULTILINE)
MNEMONIC = re.compile(r"^\t([a-z]\w*)", re.MULTILINE)


def dump_code(
    folder: Path, program: str, schedules: Sequence[EntrySchedule], layout: StateLayout, target: Target
) -> None:
    """Write `<entry>/kernels.ll` and `<entry>/kernels.s` of each schedule, and `program.ll`, `program.s`.

    `program` is the text of the whole module: the kernels of all entries, each once, with the C ABI around them.
    """
    for schedule in schedules:
        start = time.perf_counter()
        module = Module(target.triple, target.feature_text)
        emit_body(module, KernelLibrary(module, target), f"{schedule.name}.body", schedule, layout)
        write_code(folder / schedule.name / "kernels", module.text(), time.perf_counter() - start, target)
    write_code(folder / "program", program, None, target)


def write_code(path: Path, text: str, seconds: float | None, target: Target) -> None:
    """Write a module's text, emitted in so many seconds where that is known, and its assembly."""
    start = time.perf_counter()
    assembly = emit_assembly(text, target)
    spent = time.perf_counter() - start
    write(path.with_suffix(".ll"), heading("emit", seconds, "instructions", OPCODE.findall(text)) + text)
    head = heading("object", spent, "instructions", MNEMONIC.findall(assembly), comment="#")
    write(path.with_suffix(".s"), head + assembly)
