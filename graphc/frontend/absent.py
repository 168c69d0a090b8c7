"""Names of other array libraries that graphc does not have, each with what to use instead."""

from __future__ import annotations

from graphc.errors import MissingNameError
from graphc.frontend.linalg import ABSENT as LINALG
from graphc.sites import user_site

SHAPE = "the shape of its result would depend on values"
ALTERNATIVES = {
    **LINALG,
    "nonzero": f"{SHAPE}: gr.where(mask, x, y) chooses elementwise, gr.count_nonzero counts, gr.top_k finds a few",
    "argwhere": f"{SHAPE}: gr.where(mask, x, y) chooses elementwise, gr.argmax(mask) finds the first",
    "flatnonzero": f"{SHAPE}: gr.where(mask, x, y) chooses elementwise, gr.argmax(mask) finds the first",
    **dict.fromkeys(
        ("unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"),
        f"{SHAPE}: gr.sort(x) puts equals side by side, and gr.diff of it tells them apart",
    ),
    "compress": f"{SHAPE}: gr.where(mask, x, 0) keeps the shape",
    "extract": f"{SHAPE}: gr.where(mask, x, 0) keeps the shape",
    "empty": "gr.zeros: nothing is gained by leaving memory unwritten",
    "empty_like": "gr.zeros_like: nothing is gained by leaving memory unwritten",
    **dict.fromkeys(
        ("complex64", "complex128", "conj", "real", "imag", "angle"), "there are no complex numbers: keep two tensors"
    ),
    **dict.fromkeys(
        ("int8", "int16", "uint16", "i8", "i16", "u16"), "the integers are gr.i32, gr.i64 and gr.u8"
    ),
    **dict.fromkeys(("uint32", "uint64"), "the unsigned integers of users are gr.u8; use gr.i64"),
    "float32": "gr.f32", "float64": "gr.f64", "int32": "gr.i32", "int64": "gr.i64", "uint8": "gr.u8",
    "concatenate": "gr.concat", "transpose": "gr.permute_dims(x, axes), or x.T", "power": "gr.pow",
    "absolute": "gr.abs", "true_divide": "gr.divide", "mod": "gr.remainder", "dot": "gr.matmul, or x @ y",
    "inner": "gr.vecdot", "amax": "gr.max", "amin": "gr.min", "array": "gr.asarray", "hstack": "gr.concat",
    "vstack": "gr.concat", "from_dlpack": "pass the array to the compiled function: it takes DLPack",
}  # fmt: skip


def missing(name: str) -> MissingNameError | None:
    """The error of asking for a name of other libraries, if it is one."""
    if name not in ALTERNATIVES:
        return None
    return MissingNameError(f"graphc has no {name}", site=user_site(), help=ALTERNATIVES[name])
