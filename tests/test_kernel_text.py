"""The printed schedule: golden texts, and no two kernels that print alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from graphc import ops
from graphc.errors import InternalError
from graphc.ir.dim import Dim, symbol
from graphc.ir.node import Op
from graphc.ir.types import DTYPES, DType, f32
from graphc.passes.pipeline import optimise
from graphc.schedule.access import Axis, Buffer, Index
from graphc.schedule.kernel import Compute, Kernel, Literal, Loop, Range
from graphc.schedule.program import schedule_entry
from graphc.schedule.text import print_kernel, print_schedule
from tests.control_programs import graph_of
from tests.grower import Grower
from tests.kernel_programs import AVX2, GRAPHS, schedules

SCHEDULES = schedules()
KERNELS = [(f"{name}-{i}", k) for name, entry in SCHEDULES.items() for i, k in enumerate(entry.kernels)]

each_entry = pytest.mark.parametrize("name", GRAPHS)
each_kernel = pytest.mark.parametrize("kernel", [k for _, k in KERNELS], ids=[name for name, _ in KERNELS])

#: Another value for each word of the loop IR.
WORDS = {"serial": "lanes", "lanes": "block", "block": "serial", "input": "output", "output": "state",
         "state": "data", "data": "arena", "arena": "input"}  # fmt: skip


@each_entry
def test_the_text_of_an_entry(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.txt", print_schedule(SCHEDULES[name], sites=False))


def variants(value: Any) -> Iterator[Any]:
    """Values that differ from one in a single place, whatever it consists of."""
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case str():
            yield WORDS.get(value, value + "'")
        case bytes():
            yield from (bytes([value[0] ^ 1, *value[1:]]), value + b"\1") if value else (b"\1",)
        case None:
            yield Buffer("more", f32[4], "arena")
        case DType():
            yield from (t for t in DTYPES.values() if t != value)
        case Dim():
            yield from (value + 1, value * 2, value + symbol("N"), value + symbol("i0"), 3)
        case frozenset():
            yield value | {"more"}
        case Mapping():
            yield from ({**value, key: other} for key in value for other in variants(value[key]))
        case tuple():
            for i, part in enumerate(value):
                yield from ((*value[:i], other, *value[i + 1 :]) for other in variants(part))
                if not is_term(value):
                    yield from ((*value[:i], *value[i + 1 :]), (*value[: i + 1], *value[i:]))
        case Op():
            yield ops.Exp() if value != ops.Exp() else ops.Tanh()
            yield from attribute_variants(value)
        case _ if is_dataclass(value):
            yield from attribute_variants(value)


def is_term(value: tuple[Any, ...]) -> bool:
    """Whether a tuple is a term of an index, or could be: those have two parts."""
    return len(value) == 2 and isinstance(value[0], Axis | int)


def attribute_variants(value: Any) -> Iterator[Any]:
    """Instances of a dataclass with one field changed, where its class allows it."""
    for field in fields(value):
        if field.compare and field.name not in ("min", "max", "multiple_of", "typical"):
            for other in variants(getattr(value, field.name)):
                with suppress(InternalError):
                    yield replace(value, **{field.name: other})


def assert_texts_differ(whole: Any, print_: Callable[[Any], str]) -> int:
    """Each variant of a whole has a text of its own; returns how many there are."""
    seen = {print_(whole): whole}
    for variant in variants(whole):
        text = print_(variant)
        assert seen.setdefault(text, variant) == variant, f"{text}\nis the text of\n{variant}\nand\n{seen[text]}"
    return len(seen)


@each_kernel
def test_no_two_kernels_print_alike(kernel: Kernel) -> None:
    assert assert_texts_differ(kernel, print_kernel) > 40


@pytest.mark.parametrize("name", ["layer", "softmax"])
def test_no_two_schedules_print_alike(name: str) -> None:
    assert assert_texts_differ(SCHEDULES[name], print_schedule) > 100


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("a_branch_in_a_loop", "a_condition_in_a_loop")]


@pytest.mark.parametrize("name", ["the_number_of_the_round", *SLOW])
def test_no_two_schedules_with_control_flow_print_alike(name: str) -> None:
    entry = schedule_entry(graph_of(name), {"w": Buffer("w", f32[8, 8], "state")}, AVX2)
    assert assert_texts_differ(entry, print_schedule) > 100


def test_kernels_of_random_graphs_have_texts_of_their_own() -> None:
    seen: dict[str, Kernel] = {}
    for seed in range(60):
        grower = Grower(np.random.default_rng(seed), f32)
        grower.grow(1 + seed % 12)
        graph, _ = grower.finish()
        state = {n.op.variable: Buffer(n.op.variable, n.type, "state") for n in grower.reads}  # type: ignore[attr-defined]
        for kernel in schedule_entry(optimise(graph), state, AVX2).kernels:
            assert seen.setdefault(print_kernel(kernel), kernel) == kernel
    assert len(set(seen.values())) == len(seen) > 100


def test_facts_of_dimensions_are_printed() -> None:
    plain, typical = (Kernel("k", (Loop(Axis("i0", n), "serial", ()),)) for n in (symbol("N"), symbol("N", typical=7)))
    assert print_kernel(plain) == "dim N\nkernel k\n  for i0 in N:\n"
    assert print_kernel(typical) == "dim N: typical=7\nkernel k\n  for i0 in N:\n"


def test_axes_dimensions_and_positions_of_one_name_are_told_apart() -> None:
    axis, size = Axis("i0", 4), symbol("i0")
    indices = (Index.of(axis), Index((), size), Index(((axis, size),)), Index.of(Axis("i0", 5)), Index.of(0))
    texts = [print_kernel(Kernel("k", (Loop(axis, "serial", (Range(1, f32, i),)),))).splitlines()[-1] for i in indices]
    assert [t.split()[3:-2] for t in texts] == [["i0"], ["(i0)"], ["(i0)*i0"], ["<i0", "in", "5>"], ["%0"]]


@pytest.mark.parametrize(
    ("dtype", "data", "text"),
    [("f32", b"\0\0\0\x80", "-0.0"), ("f32", b"\1\0\xc0\x7f", "bits:7fc00001"), ("f64", b"\0" * 8, "0.0"),
     ("bool", b"\1", "true"), ("bool", b"\2", "bytes:02"), ("i32", b"\xff" * 4, "-1"), ("i32", b"\1", "bytes:01"),
     ("u64", b"\xff" * 8, "18446744073709551615")],
)  # fmt: skip
def test_constants_are_exact(dtype: str, data: bytes, text: str) -> None:
    kernel = Kernel("k", (Literal(1, DTYPES[dtype], data),))
    assert f"%1 = constant{{{text}}} : {dtype}" in print_kernel(kernel)


def test_sites_are_comments() -> None:
    (kernel,) = SCHEDULES["layer"].kernels
    heading = print_kernel(kernel).splitlines()[1]
    assert heading.startswith("kernel dot_general_add_tanh   ; kernel_programs.py:")
    assert "\n".join(t.split("   ;")[0] for t in print_kernel(kernel).split("\n")) == print_kernel(kernel, sites=False)
    assert replace(kernel, sites=()) == kernel


def test_attributes_of_ops_are_printed() -> None:
    kernel = Kernel("k", (Compute(2, f32, ops.Cast(f32), (1,)),))
    assert "%2 = cast{dtype=f32} %1 : f32" in print_kernel(kernel)
