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
    **dict.fromkeys(
        ("complex64", "complex128", "conj", "real", "imag", "angle"), "there are no complex numbers: keep two tensors"
    ),
    **dict.fromkeys(
        ("int8", "int16", "uint16", "i8", "i16", "u16"), "the integers are gr.i32, gr.i64 and gr.u8"
    ),
    **dict.fromkeys(("uint32", "uint64"), "the unsigned integers of users are gr.u8; use gr.i64"),
    "float32": "gr.f32", "float64": "gr.f64", "int32": "gr.i32", "int64": "gr.i64", "uint8": "gr.u8",
    "concatenate": "gr.concat", "transpose": "gr.permute_dims(x, axes), or x.T", "power": "gr.pow",
    "absolute": "gr.abs", "true_divide": "gr.divide", "mod": "gr.remainder",
    "amax": "gr.max", "amin": "gr.min", "array": "gr.asarray",
    **{f"arc{name}": f"gr.a{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh", "tan2")},
    "degrees": "gr.rad2deg", "radians": "gr.deg2rad", "fix": "gr.trunc", "rint": "gr.round",
    "invert": "gr.bitwise_invert",
    "fabs": "gr.abs", "float_power": "gr.pow", "fmod": "gr.remainder, which has the sign of the divisor",
    "divmod": "gr.floor_divide and gr.remainder", "modf": "x - gr.trunc(x) and gr.trunc(x)",
    "identity": "gr.eye", "tri": "gr.tril(gr.ones((n, m)))", "diagflat": "gr.eye(n) * x", "indices": "gr.meshgrid",
    "geomspace": "gr.exp(gr.linspace(log_start, log_stop, num))",
    "mgrid": "gr.meshgrid(..., indexing='ij')", "ogrid": "gr.arange and gr.expand_dims",
    "append": "gr.concat", "cat": "gr.concat", "block": "gr.concat, twice",
    "hsplit": "gr.split(x, n, axis=1)", "vsplit": "gr.split(x, n, axis=0)", "chunk": "gr.array_split",
    "unsqueeze": "gr.expand_dims", "permute": "gr.permute_dims", "view": "gr.reshape", "rollaxis": "gr.moveaxis",
    "expand": "gr.broadcast_to", "resize": "gr.reshape, or gr.pad", "trim_zeros": f"{SHAPE}: slice with known ends",
    "clamp": "gr.clip", "masked_fill": "gr.where(mask, value, x)", "masked_select": f"{SHAPE}: gr.where(mask, x, 0)",
    "select": "gr.where, once a condition", "choose": "gr.where, or gr.take", "piecewise": "gr.where",
    "index_select": "gr.take(x, indices, axis=axis)", "gather": "gr.take_along_axis",
    "index_add": "x.at[indices].add(v)",
    **dict.fromkeys(("scatter", "put", "place", "put_along_axis", "index_put", "fill_diagonal"), "x.at[key].set(v)"),
    **dict.fromkeys(("scatter_add", "segment_sum", "bincount"), "gr.zeros(n).at[indices].add(v)"),
    **dict.fromkeys(("delete", "insert"), "slices and gr.concat"),
    "isin": "gr.any(x[..., None] == values, axis=-1)", "array_equal": "gr.all(x == y)",
    "spacing": "gr.nextafter(x, gr.inf) - x", "frexp": "gr.floor(gr.log2(gr.abs(x)))", "ldexp": "x * gr.exp2(n)",
    **dict.fromkeys(("vectorize", "apply_along_axis", "apply_over_axes", "frompyfunc"), "gr.vmap"),
    **dict.fromkeys(("mm", "bmm", "mv"), "gr.matmul, or x @ y"), "t": "x.T",
    **dict.fromkeys(
        ("relu", "gelu", "silu", "elu", "selu", "softplus", "softmax", "log_softmax", "layer_norm", "conv", "max_pool"),
        "it is in graphc.nn",
    ),
    **dict.fromkeys(
        ("randn", "rand", "randint", "normal", "uniform", "dropout"), "it is in graphc.random or graphc.nn"
    ),
    "tensor": "gr.asarray, for what is in a graph; entries and gr.jit take NumPy arrays",
    "no_grad": "leave it out: nothing is differentiated unless gr.gradients asks for it",
    **dict.fromkeys(("manual_seed", "set_seed"), "program.compile() and then init(seed=…)"),
    **dict.fromkeys(("to_categorical", "onehot"), "gr.one_hot(labels, classes)"),
    "save": "compiled.save(path) for a program's state; of a tensor: return it, entries give NumPy arrays",
    "half": "gr.f16", "double": "gr.f64", "long": "gr.i64",
    "gammaln": "gr.lgamma", "psi": "gr.digamma", "polygamma": "gr.grad of gr.digamma", "xlogx": "gr.xlogy(x, x)",
    "gamma": "gr.exp(gr.lgamma(x)) for x > 0", "i0": "compute it outside the entry, or write its series",
    "ndtri": "gr.erfinv(2 * p - 1) * 2**0.5", "ndtr": "0.5 * gr.erfc(-x / 2**0.5)",
    **dict.fromkeys(
        ("array_repr", "array_str", "savez", "loadtxt"), "return the tensor: entries give NumPy arrays"
    ),
}  # fmt: skip
#: What tensors of other libraries have, and graphc's do not.
METHODS = {
    **dict.fromkeys(("item", "tolist", "numpy", "__float__"), "return it from the entry: there it is a NumPy array"),
    **dict.fromkeys(("detach", "stop_gradient"), "gr.stop_gradient(x)"),
    **dict.fromkeys(("backward", "grad", "requires_grad", "requires_grad_", "retain_grad"), "gr.gradients(loss, xs)"),
    **dict.fromkeys(("cpu", "cuda", "to", "device", "to_device"), "graphc computes on the CPU; x.astype(dtype) casts"),
    **dict.fromkeys(("contiguous", "clone"), "leave it out: tensors never change"),
    **dict.fromkeys(("fill", "put", "itemset", "setfield", "resize", "fill_"), "x.at[key].set(v) gives a new tensor"),
    "view": "x.reshape(...)", "permute": "gr.permute_dims(x, axes)", "unsqueeze": "gr.expand_dims(x, axis)",
    "expand": "gr.broadcast_to(x, shape)", "float": "x.astype(gr.f32)", "double": "x.astype(gr.f64)",
    "int": "x.astype(gr.i32)", "long": "x.astype(gr.i64)", "bool": "x.astype(gr.bool)", "dim": "x.ndim",
    "numel": "x.size", "nbytes": "x.size * x.dtype.itemsize", "itemsize": "x.dtype.itemsize", "flat": "x.ravel()",
    "conj": "there are no complex numbers", "real": "there are no complex numbers",
    "imag": "there are no complex numbers",
}  # fmt: skip


def missing(name: str) -> MissingNameError | None:
    """The error of asking for a name of other libraries, if it is one."""
    if name not in ALTERNATIVES:
        return None
    return MissingNameError(f"graphc has no {name}", site=user_site(), help=ALTERNATIVES[name])


def missing_method(name: str) -> MissingNameError | None:
    """The error of asking a tensor for what it does not have, if graphc has it elsewhere."""
    from graphc.frontend import api

    help = METHODS.get(name) or ALTERNATIVES.get(name)
    if name in api.__all__:
        help = f"gr.{name}(x)"
    return MissingNameError(f"a tensor has no {name}", site=user_site(), help=help) if help else None
