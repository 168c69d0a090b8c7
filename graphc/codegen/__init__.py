"""Kernels to machine code: LLVM IR as text, LLVM's code generator, and a linker of graphc's own."""
