"""The module of a program: kernels, entries with their loops, the state's functions, the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.codegen.abi import EntryAbi, EntryEmitter
from graphc.codegen.copy import emit_copy_bytes, emit_copy_rows
from graphc.codegen.epoch import EpochEmitter, emit_permute
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Module
from graphc.codegen.state import (
    emit_drawn_state,
    emit_find,
    emit_image_state,
    emit_init,
    emit_same_text,
    emit_texts,
    emit_transfer,
    emit_workspace,
)
from graphc.runtime.signature import Signature
from graphc.runtime.targets import Target
from graphc.schedule.layout import StateLayout
from graphc.schedule.program import EntrySchedule


@dataclass(frozen=True)
class ScheduledProgram:
    """What code is emitted from. `image` is the state that `init` gives; without one it draws as `initial` says."""

    entries: tuple[EntryAbi, ...]
    layout: StateLayout
    initial: EntrySchedule
    image: bytes | None
    signature: Signature


@dataclass(frozen=True)
class EmittedProgram:
    """LLVM text, and the names that the file exports."""

    text: str
    exports: tuple[str, ...]


def emit(program: ScheduledProgram, target: Target) -> EmittedProgram:
    """The LLVM module of a program."""
    module = Module(target.triple, target.feature_text)
    library = KernelLibrary(module, target)
    prefix, layout = program.signature.prefix, program.layout
    emit_shared(module, layout, with_epochs=any(e.has_epoch for e in program.entries))
    exports = [emit_init(module, prefix, layout, target, "fill")]
    if program.image is None:
        emit_drawn_state(module, library, "fill", program.initial, layout)
    else:
        emit_image_state(module, "fill", program.image)
    for entry in program.entries:
        emitter = EntryEmitter(module, library, layout, entry)
        exports += emitter.emit()
        if entry.has_epoch:
            exports += EpochEmitter(emitter).emit()
    exports += [emit_transfer(module, prefix, layout, out) for out in (True, False)]
    exports += emit_texts(module, prefix, program.signature)
    exports.append(emit_workspace(module, prefix, symbol_names(program.signature), workspace_entries(program.entries)))
    return EmittedProgram(module.text(), tuple(exports))


def emit_shared(module: Module, layout: StateLayout, with_epochs: bool) -> None:
    """The functions that others call."""
    emit_copy_bytes(module)
    emit_same_text(module)
    emit_copy_rows(module)
    emit_find(module, layout)
    if with_epochs:
        emit_permute(module)


def symbol_names(signature: Signature) -> list[str]:
    """The program's dimensions, in order."""
    return [s.name for s in signature.symbols]


def workspace_entries(entries: Sequence[EntryAbi]) -> list[tuple[str, list[str]]]:
    """Each entry's C symbol and the dimensions its workspace depends on."""
    return [(e.symbol, [s.name for s in e.schedule.symbols]) for e in entries]
