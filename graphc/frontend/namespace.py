"""What the array API standard lets a library ask of a namespace: its dtypes, defaults and limits."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.frontend.dtypes import isdtype
from graphc.ir.types import DType, bool_, f32, f64, i32, i64, u8

#: The standard's dtypes by its names for them.
DTYPES = {"bool": bool_, "int32": i32, "int64": i64, "uint8": u8, "float32": f32, "float64": f64}


class NamespaceInfo:
    """`gr.__array_namespace_info__()`, after the standard's inspection interface."""

    def capabilities(self) -> dict[str, object]:
        """What there is: no results whose shape depends on values, axes up to NumPy's."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> str:
        """The only one."""
        return "cpu"

    def devices(self) -> list[str]:
        """All of them."""
        return ["cpu"]

    def default_dtypes(self, *, device: object = None) -> Mapping[str, DType]:
        """What creation functions take where no dtype is given; indices are i64."""
        return {"real floating": f32, "integral": i32, "indexing": i64}

    def dtypes(self, *, device: object = None, kind: str | tuple[str, ...] | None = None) -> Mapping[str, DType]:
        """The dtypes of a kind, all by default."""
        return {name: dtype for name, dtype in DTYPES.items() if kind is None or isdtype(dtype, kind)}
