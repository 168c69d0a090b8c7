"""The names of the array API standard are there, and what is not is refused with an alternative that is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors
from graphc.frontend.absent import ALTERNATIVES, METHODS

#: The standard's functions and constants (2024.12) by section, without those of complex numbers.
STANDARD = {
    "constants": "e inf nan newaxis pi",
    "creation": "arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril "
    "triu zeros zeros_like",
    "data types": "astype can_cast finfo iinfo isdtype result_type bool",
    "elementwise": "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert "
    "bitwise_or bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal exp expm1 floor floor_divide "
    "greater greater_equal hypot isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and "
    "logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow reciprocal "
    "remainder round sign signbit sin sinh square sqrt subtract tan tanh trunc",
    "indexing": "take take_along_axis",
    "linear algebra": "matmul matrix_transpose tensordot vecdot",
    "manipulation": "broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll "
    "squeeze stack tile unstack",
    "searching": "argmax argmin count_nonzero searchsorted where",
    "sorting": "argsort sort",
    "statistics": "cumulative_prod cumulative_sum max mean min prod std sum var",
    "utility": "all any diff",
}
ABSENT = "complex64 complex128 conj imag real nonzero unique_all unique_counts unique_inverse unique_values int8 uint16"


@pytest.mark.parametrize("section", STANDARD)
def test_the_standard_is_there(section: str) -> None:
    missing = [name for name in STANDARD[section].split() if not hasattr(gr, name)]
    assert not missing


def test_there_are_as_many_names_as_promised() -> None:
    assert len(" ".join(STANDARD.values()).split()) >= 130


@pytest.mark.parametrize("name", ABSENT.split())
def test_what_is_absent_is_refused_by_name(name: str) -> None:
    assert not hasattr(gr, name)
    with pytest.raises(errors.UnsupportedError) as raised:
        getattr(gr, name)
    assert re.match(rf"graphc has no {name}\n.*at test_array_names.py:\d+(.|\n)*help: ", str(raised.value))


@pytest.mark.parametrize("name", sorted({**ALTERNATIVES, **METHODS}))
def test_alternatives_exist(name: str) -> None:
    help = {**METHODS, **ALTERNATIVES}[name]
    for part in re.findall(r"\bgr\.((?:\w+\.)*\w+)", help):
        value: Any = gr
        for step in part.split("."):
            value = getattr(value, step)
    assert name not in ALTERNATIVES or not hasattr(gr, name)


def test_a_tensor_names_the_function_or_the_way_out() -> None:
    found: list[str] = []

    @gr.jit
    def f(x: Any) -> Any:
        for name in ("exp", "item", "nonzero", "view"):
            with pytest.raises(errors.MissingNameError) as raised:
                getattr(x, name)
            found.append(str(raised.value).splitlines()[-1].strip())
        assert not hasattr(x, "nosuch") and not hasattr(x, "__cuda_array_interface__")
        return x

    f(np.zeros(3, np.float32))
    assert found[:2] == ["help: gr.exp(x)", "help: return it from the entry: there it is a NumPy array"]
    assert "gr.where" in found[2] and "reshape" in found[3]


def test_limits_and_kinds() -> None:
    assert gr.finfo(gr.f32).eps == 2.0**-23 and gr.finfo(gr.f64).max == np.finfo(np.float64).max
    assert (gr.iinfo(gr.i32).min, gr.iinfo(gr.u8).max) == (-(2**31), 255)
    assert gr.isdtype(gr.f32, ("integral", "real floating")) and not gr.isdtype(gr.u8, "signed integer")
    assert gr.isdtype(gr.bool, gr.bool) and gr.isdtype(gr.i64, "numeric")
    assert gr.can_cast(gr.u8, gr.i32) and not gr.can_cast(gr.i64, gr.i32)
    assert gr.result_type(gr.i32, 1.5) == gr.f32 and gr.result_type(gr.i32, gr.i64, True) == gr.i64
    assert gr.result_type(np.zeros(2, np.uint8), 3) == gr.u8 and gr.result_type(1, 2) == gr.i32
    for wrong, error in (
        (lambda: gr.finfo(gr.i32), errors.DTypeError),
        (lambda: gr.iinfo(gr.f32), errors.DTypeError),
        (lambda: gr.isdtype(gr.f32, "real"), errors.ArgumentError),
        (lambda: gr.result_type(), errors.ArgumentError),
    ):
        with pytest.raises(error):
            wrong()


def test_libraries_find_the_namespace() -> None:
    found: list[Any] = []
    gr.jit(lambda x: found.append(x.__array_namespace__()) or x)(np.zeros(2))
    assert found == [gr] and gr.__array_api_version__ == "2024.12"
    info = gr.__array_namespace_info__()
    assert info.dtypes(kind="real floating") == {"float32": gr.f32, "float64": gr.f64}
    assert set(info.dtypes()) == {"bool", "int32", "int64", "uint8", "float32", "float64"}
    assert info.default_dtypes()["integral"] == gr.i32 and info.devices() == [info.default_device()]
