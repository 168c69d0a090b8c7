"""The table of every name in `gr`, made from the cases that test them.

python -m tests.names           writes docs/reference/names.md
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import graphc as gr
from graphc.frontend.absent import ALTERNATIVES
from tests.name_cases_array import CASES

PATH = Path(__file__).resolve().parent.parent / "docs" / "reference" / "names.md"

#: The names of the array API standard 2024.12, its linear algebra included, complex numbers and decompositions not.
NAMES = """
    e inf nan newaxis pi bool i32 i64 u8 f32 f64 arange asarray empty empty_like eye from_dlpack full full_like
    linspace meshgrid ones ones_like tril triu zeros zeros_like astype can_cast finfo iinfo isdtype result_type abs
    acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or
    bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal exp expm1 floor floor_divide greater
    greater_equal hypot isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not
    logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow reciprocal remainder
    round sign signbit sin sinh square sqrt subtract tan tanh trunc take take_along_axis matmul matrix_transpose
    tensordot vecdot broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll
    squeeze stack tile unstack argmax argmin count_nonzero searchsorted where argsort sort cumulative_sum
    cumulative_prod max mean min prod std sum var all any diff linalg.cross linalg.diagonal linalg.matmul
    linalg.matrix_norm linalg.matrix_power linalg.matrix_transpose linalg.outer linalg.tensordot linalg.trace
    linalg.vecdot linalg.vector_norm
"""
STANDARD = NAMES.split()

INTRODUCTION = """
    Every name in `gr`; {count} are the array API standard's (2024.12). This page is written by `python -m tests.names`
    from the cases in `tests/name_cases*.py`, and `tests/test_names.py` runs each of them: the value beside NumPy's on
    every dtype listed, compiled beside interpreted; where it differentiates, first and second derivatives beside
    centred differences in f64; where it maps, `gr.vmap` beside a loop; where sizes may be symbolic, a symbolic first
    axis beside a constant one.
"""

#: Names that are no functions of tensors' elements, by what they are for, with the tests that hold them.
OTHERS = {
    "Types and constants": (
        "DType TensorType Tensor bf16 bool dim e f16 f32 f64 i32 i64 inf nan newaxis pi u8",
        "test_frontend.py, test_narrow.py",
    ),
    "Facts of dtypes": ("can_cast finfo iinfo isdtype result_type", "test_array_names.py"),
    "Programs": (
        "Entry Initial Program Variable check_grads debug_print interpret jit load tap",
        "test_frontend.py, test_call.py, test_gradcheck.py, test_inspect.py, test_printing.py",
    ),
    "Derivatives and batches": (
        "checkpoint custom_gradient custom_vjp grad gradients hessian hvp jacfwd jacobian jacrev jvp linearize remat "
        "stop_gradient value_and_grad vjp vmap",
        "test_transforms.py, test_custom_derivatives.py",
    ),
    "Control flow": ("cond map scan while_loop fori_loop switch associative_scan", "test_control.py"),
    "Modules": (
        "augment errors init linalg losses metrics nn optim random train data inspect interop",
        "their own tests",
    ),
}


def table() -> str:
    """The document."""
    return "\n".join([*heading(), *functions(), *others(), *missing()]) + "\n"


def heading() -> Iterator[str]:
    """What the table says."""
    yield "# Names"
    yield ""
    yield from textwrap.wrap(" ".join(INTRODUCTION.format(count=len(STANDARD)).split()), 118)


def functions() -> Iterator[str]:
    """A row for each function that has cases."""
    yield ""
    yield "## Functions"
    yield ""
    yield "| name | dtypes | differentiable | vmap | symbolic | cases |"
    yield "|---|---|---|---|---|---|"
    for name in sorted({c.name for c in CASES}):
        cases = [c for c in CASES if c.name == name]
        used = {t for c in cases for t in c.dtypes}
        dtypes = " ".join(t.name for t in (gr.f32, gr.f64, gr.i32, gr.i64, gr.u8, gr.bool) if t in used)
        marks = [any(c.smooth for c in cases), any(c.batches for c in cases), any(c.symbolic for c in cases)]
        yield f"| `{name}` | {dtypes} | {' | '.join('yes' if m else '–' for m in marks)} | {len(cases)} |"


def others() -> Iterator[str]:
    """Everything else there is."""
    for title, (names, tests) in OTHERS.items():
        there = [n for n in names.split() if n in gr.__all__]
        yield ""
        yield f"## {title}"
        yield ""
        yield f"{', '.join(f'`{n}`' for n in there)} ({tests})."
    yield ""
    yield f"`gr.errors`: {', '.join(f'`{n}`' for n in gr.__all__ if n.endswith('Error') or n == 'GradientMismatch')}."
    for module in ("random", "nn", "losses"):
        yield ""
        yield f"`gr.{module}`: {', '.join(f'`{n}`' for n in public(getattr(gr, module)))}."


def public(module: ModuleType) -> list[str]:
    """The names that a module is there for."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__ and n[0] != "_"]
    return sorted(getattr(module, "__all__", own))


def missing() -> Iterator[str]:
    """What asking for other names says."""
    yield ""
    yield "## Not there"
    yield ""
    yield "Asking for one of these raises `MissingNameError`, which says what to use instead."
    yield ""
    for name, instead in sorted(ALTERNATIVES.items()):
        yield f"- `{name}`: {instead}"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(table())
