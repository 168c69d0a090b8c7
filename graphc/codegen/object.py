"""LLVM IR text -> object code, by LLVM's code generator alone: the IR is explicit, so no IR pass runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import llvmlite.binding as llvm

from graphc import config
from graphc.errors import InternalError
from graphc.runtime.targets import Target

#: Code-generation level: 1 makes the code of 3 in less time, 0 is five times slower code.
LEVEL = 1


def emit_object(module_text: str, target: Target) -> bytes:
    """The relocatable object (position independent, small code model) of a module's text.

    Raises `InternalError` where LLVM refuses the text; under GRAPHC_VERIFY the module is verified too.
    """
    with llvm.create_context() as context, without_strength_reduction():
        return bytes(machine(target).emit_object(parse(module_text, context)))


def emit_assembly(module_text: str, target: Target) -> str:
    """The same code as assembly text, for dumps and tests."""
    with llvm.create_context() as context, without_strength_reduction():
        return str(machine(target).emit_assembly(parse(module_text, context)))


def parse(module_text: str, context: llvm.ContextRef) -> llvm.ModuleRef:
    """The module, verified under GRAPHC_VERIFY."""
    try:
        module = llvm.parse_assembly(module_text, context)
        if config.verify():
            module.verify()
    except RuntimeError as error:
        raise InternalError("the emitted LLVM module is malformed", help=str(error).strip()) from None
    return module


@contextmanager
def without_strength_reduction() -> Iterator[None]:
    """LLVM's loop strength reduction off: a fifth of the time of code generation, and the loops are no faster for it.

    The option is the process's, so it is put back for whoever else uses LLVM here.
    """
    llvm.set_option("graphc", "--disable-lsr=true")
    try:
        yield
    finally:
        llvm.set_option("graphc", "--disable-lsr=false")


@cache
def machine(target: Target) -> llvm.TargetMachine:
    """LLVM's code generator for a target."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()  # for cpuid, which has no intrinsic
    return llvm.Target.from_triple(target.triple).create_target_machine(
        features=target.feature_text, opt=LEVEL, reloc="pic", codemodel="small"
    )
