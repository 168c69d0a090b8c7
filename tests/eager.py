"""`gr` as an eager array library, for array-API-tests: arrays with values, each call traced and interpreted.

    ARRAY_API_TESTS_MODULE=tests.eager pytest array_api_tests --skips-file tests/conformance-skips.txt

See `docs/reference/conformance.md` for what it found.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

import graphc as gr
from graphc.frontend.api import getitem
from graphc.ir.types import FROM_NUMPY, DType

__array_api_version__ = "2024.12"

float32, float64, int32, int64, uint8, bool = gr.f32, gr.f64, gr.i32, gr.i64, gr.u8, gr.bool
e, inf, nan, newaxis, pi = gr.e, gr.inf, gr.nan, gr.newaxis, gr.pi
DTYPES = {"bool": bool, "float32": float32, "float64": float64, "int32": int32, "int64": int64, "uint8": uint8}
KINDS = {
    "bool": ("bool",), "signed integer": ("int32", "int64"), "unsigned integer": ("uint8",),
    "integral": ("int32", "int64", "uint8"), "real floating": ("float32", "float64"), "complex floating": (),
    "numeric": ("float32", "float64", "int32", "int64", "uint8"),
}  # fmt: skip
#: Functions of dtypes: nothing is computed.
FACTS = ("can_cast", "finfo", "iinfo", "isdtype", "result_type")


class Array:
    """A value; its operators and methods are graphc's."""

    def __init__(self, value: Any):
        self.value = np.asarray(value)

    @property
    def dtype(self) -> DType:
        return FROM_NUMPY[self.value.dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    device = "cpu"

    @property
    def T(self) -> Array:
        return evaluated(lambda x: x.T, self)

    @property
    def mT(self) -> Array:
        return evaluated(lambda x: x.mT, self)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        import tests.eager

        return tests.eager

    def to_device(self, device: str, /, *, stream: Any = None) -> Array:
        if device != "cpu":
            raise ValueError(device)
        return self

    def __repr__(self) -> str:
        return f"Array({self.value!r})"

    def __getitem__(self, key: Any) -> Array:
        return evaluated(getitem, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        same = astype(value, self.dtype) if isinstance(value, Array) else value
        self.value = evaluated(lambda x, k, v: x.at[k].set(v), self, key, same).value

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Array]:
        return iter([self[i] for i in range(len(self))])

    def __bool__(self) -> Any:
        return self.value.__bool__()

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __complex__(self) -> complex:
        return complex(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        return self.value.copy().__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self.value.__dlpack_device__()

    __hash__ = None  # type: ignore[assignment]


def operation(name: str, function: Callable[..., Any], reflected: Any) -> None:
    """Give arrays an operator, its reflected and its in-place form."""

    def forward(self: Array, other: Any) -> Any:
        return evaluated(function, self, other) if is_operand(other) else NotImplemented

    def backward(self: Array, other: Any) -> Any:
        return evaluated(function, other, self) if is_operand(other) else NotImplemented

    def inplace(self: Array, other: Any) -> Any:
        result = evaluated(function, self, other)
        if result.shape != self.shape or result.dtype != self.dtype:
            raise TypeError(f"{result.dtype}{result.shape} does not fit in place")
        self.value = result.value
        return self

    setattr(Array, f"__{name}__", forward)
    if reflected:
        setattr(Array, f"__r{name}__", backward)
        setattr(Array, f"__i{name}__", inplace)


def unary(name: str, function: Callable[..., Any]) -> None:
    """Give arrays an operator of one operand."""
    setattr(Array, f"__{name}__", lambda self: evaluated(function, self))


def is_operand(value: Any) -> Any:
    """What an operator takes."""
    return isinstance(value, (Array, int, float)) or type(value).__name__ == "bool"


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift"):
    operation(_name, getattr(operator, _name), True)
for _name in ("and", "or", "xor"):
    operation(_name, getattr(operator, f"__{_name}__"), True)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    operation(_name, getattr(operator, _name), False)
for _name in ("neg", "pos", "abs", "invert"):
    unary(_name, getattr(operator, _name))


def evaluated(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A graphc function on arrays: its result as arrays."""
    arrays: list[Any] = []

    def collect(value: Any) -> Any:
        """The argument with each array replaced by a function of the tensors."""
        if isinstance(value, Array):
            arrays.append(value.value)
            index = len(arrays) - 1
            return lambda tensors: tensors[index]
        if isinstance(value, (list, tuple)):
            parts = [collect(v) for v in value]
            return lambda tensors: type(value)([p(tensors) for p in parts])
        return lambda tensors: value

    given = [collect(a) for a in args]
    named = {key: collect(v) for key, v in options.items()}

    def call(*tensors: Any) -> Any:
        return function(*(g(tensors) for g in given), **{key: g(tensors) for key, g in named.items()})

    return wrapped(gr.interpret(call)(*arrays))


def wrapped(value: Any) -> Any:
    """Arrays of NumPy as ours, in tuples and lists."""
    if isinstance(value, (list, tuple)):
        return type(value)([wrapped(v) for v in value])
    return Array(value)


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of graphc on arrays; the only device is accepted."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if options.pop("device", None) not in (None, "cpu"):
            raise ValueError("the device is cpu")
        return evaluated(function, *args, **options)

    return call


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Array:
    """An array of numbers, lists or arrays."""
    if isinstance(obj, Array):
        same = dtype is None or dtype == obj.dtype
        return obj if same and not copy else eager(gr.asarray)(Array(obj.value.copy()), dtype)
    if isinstance(obj, (list, tuple)):
        obj = np.asarray(nested(obj))
        if dtype is None and obj.dtype.kind in "fi":
            obj = obj.astype(np.float32 if obj.dtype.kind == "f" else np.int32)
        return eager(gr.asarray)(Array(obj if dtype is None else obj.astype(dtype.numpy)))
    return eager(gr.asarray)(obj, dtype, device=device)


def nested(value: Any) -> Any:
    """A nested list of plain numbers."""
    if isinstance(value, (list, tuple)):
        return [nested(v) for v in value]
    return value.value[()] if isinstance(value, Array) else value


def astype(x: Array, dtype: DType, /, *, copy: Any = True, device: Any = None) -> Array:
    """The elements as another dtype."""
    return x if not copy and x.dtype == dtype else eager(gr.astype)(x, dtype)


class Info:
    """What `__array_namespace_info__` says."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 32}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        return {"real floating": float32, "integral": int32, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        kinds = KINDS.keys() if kind is None else (kind,) if isinstance(kind, str) else kind
        names = {name for k in kinds for name in KINDS[k]}
        return {name: dtype for name, dtype in DTYPES.items() if name in names}


def __array_namespace_info__() -> Info:
    return Info()


class linalg:
    """`gr.linalg`, eager."""


for _name in gr.linalg.__all__:
    setattr(linalg, _name, staticmethod(eager(getattr(gr.linalg, _name))))


def facts(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of dtypes, where arrays stand for theirs."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return function(*(a.dtype if isinstance(a, Array) else a for a in args), **options)

    return call


def __getattr__(name: str) -> Any:
    if name.startswith("_") or not callable(getattr(gr, name, None)) or isinstance(getattr(gr, name), type):
        raise AttributeError(f"gr has no function {name}")
    return (facts if name in FACTS else eager)(getattr(gr, name))
