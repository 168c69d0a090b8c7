"""NumPy's dtypes by graphc's names; bfloat16, which NumPy lacks, is ml_dtypes', imported when first used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphc.errors import UnsupportedError
from graphc.sites import user_site

AnyDType = np.dtype[np.generic]


class NumpyTypes(dict[str, AnyDType]):
    """Element types by name; looking up `bf16` raises `UnsupportedError` where ml_dtypes is not installed."""

    def __init__(self, names: Mapping[str, str]):
        super().__init__({ours: np.dtype(theirs) for ours, theirs in names.items() if theirs != "bfloat16"})

    def __missing__(self, name: str) -> AnyDType:
        if name != "bf16":
            raise KeyError(name)
        self[name] = numpy_bfloat16()
        return self[name]


def numpy_bfloat16() -> AnyDType:
    """The dtype of NumPy arrays of bfloat16."""
    try:
        import ml_dtypes
    except ImportError:
        raise UnsupportedError(
            "arrays of bfloat16 need the package ml_dtypes, which is not installed",
            site=user_site(),
            help="pip install 'graphc[bfloat16]', or use gr.f16",
        ) from None
    bfloat16: AnyDType = np.dtype(ml_dtypes.bfloat16)
    return bfloat16
