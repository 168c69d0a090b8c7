"""What layers and optimizers are made with: what they do not take is answered with what they do, at the user's line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, wraps
from typing import Any, ParamSpec, TypeAlias, get_args

from graphc.errors import ArgumentError
from graphc.sites import user_site
from graphc.suggest import expect_bound, expect_flags, flags_of

P = ParamSpec("P")

#: (a name that is not taken, those that are) -> what to do instead.
Advice: TypeAlias = Callable[[str, Sequence[str]], str]

#: What other libraries call the very same thing: taken as ours.
ALIASES = {"epsilon": "eps"}

#: Arguments of other libraries' layers, by what they are called here.
COUNTERPARTS = {
    "activation": ("nonlinearity",),
    "causal": ("is_causal", "use_causal_mask"),
    "count": ("num_embeddings", "vocab_size", "input_dim"),
    "dilation": ("dilation_rate",),
    "dropout": ("rate", "p", "dropout_rate"),
    "eps": ("layer_norm_eps",),
    "features": ("embedding_dim", "output_dim"),
    "filters": ("out_channels", "features"),
    "groups": ("num_groups", "feature_group_count"),
    "heads": ("num_heads", "nhead"),
    "hidden": ("dim_feedforward", "intermediate_dim"),
    "in_channels": ("input_shape",),
    "merge": ("merge_mode",),
    "multiplier": ("depth_multiplier", "channel_multiplier"),
    "pre_norm": ("norm_first",),
    "rate": ("p", "dropout", "dropout_rate"),
    "reverse": ("go_backwards",),
    "shape": ("target_shape", "unflattened_size"),
    "strides": ("stride",),
    "units": ("hidden_size", "out_features", "features"),
    "use_bias": ("bias", "center", "affine", "elementwise_affine"),
    "use_scale": ("scale", "affine", "elementwise_affine"),
    "window": ("pool_size", "kernel_size"),
}

#: Arguments of other libraries' layers that have no place here, by what to say.
ANSWERS = {
    "ys, state = layer(x) has both; nn.Last(layer) gives the last output alone": ("return_sequences", "return_state"),
    "the state is kept by nn.Stateful(layer, batch)": ("stateful",),
    "layers one on the other are nn.Stack(layer, layer)": ("num_layers",),
    "both directions are nn.Bidirectional(layer)": ("bidirectional",),
    "the sizes of what comes in are read off the first x": (
        "embed_dim", "d_model", "in_features", "input_shape", "input_dim", "input_size", "num_features",
        "normalized_shape",
    ),
    "the batch is the first axis, channels are the last": ("batch_first", "data_format"),
    "features or channels are the last axis": ("axis", "dim"),
    "parameters have the dtype of the first x": ("dtype", "param_dtype"),
    "set layer.trainable = False": ("trainable",),
    "training=False goes by the running averages, training=True by the batch": ("track_running_stats",),
    "graphc computes on the CPU": ("device",),
    "tensors never change": ("inplace",),
}  # fmt: skip


def constructing(advise: Advice, remark: str = "") -> Callable[[Callable[P, None]], Callable[P, None]]:
    """An `__init__` that raises `ArgumentError` for arguments that it does not take, with advice on their names.

    `remark` is what to say, besides, of too few or too many of them.
    Names of `ALIASES` are taken as ours, and where it says `bool` it gets True or False.
    """

    def decorate(init: Callable[P, None]) -> Callable[P, None]:
        flags = flags_of(init)

        @wraps(init)
        def wrapper(*args: P.args, **options: P.kwargs) -> None:
            kind, given = type(args[0]).__name__, in_our_names(init, options)
            expect_taken(kind, init, args, given, advise, remark)
            expect_flags(kind, flags, args, given)
            init(*args, **given)

        return wrapper

    return decorate


def in_our_names(init: Callable[..., None], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an `__init__`, those of other libraries that it has by another name by that."""
    known = taken(init)[0].parameters.keys()
    free = known - options.keys()
    renamed = {theirs: ours for theirs, ours in ALIASES.items() if ours in free and theirs not in known}
    return {renamed.get(name, name): value for name, value in options.items()}


def expect_taken(
    kind: str, init: Callable[..., None], args: Sequence[Any], options: Mapping[str, Any], advise: Advice, remark: str
) -> None:
    """Raise `ArgumentError` unless an `__init__` takes such arguments."""
    signature, rest = taken(init)
    own = [name for name in list(signature.parameters)[1:] if name != rest]
    more = [] if rest is None else names_in(signature.parameters[rest].annotation)
    for name in options:
        if name not in own and (more or rest is None) and name not in more:
            raise ArgumentError(f"{kind}: takes no {name!r}", site=user_site(), help=advise(name, own + more))
    expect_bound(kind, signature, args, options, f"it takes {', '.join(own)}{remark}")


@cache
def taken(init: Callable[..., None]) -> tuple[inspect.Signature, str | None]:
    """The signature of an `__init__`, and the name of its `**options`, if it has them."""
    try:
        signature = inspect.signature(init, eval_str=True)
    except NameError:  # annotations that only a type checker reads
        signature = inspect.signature(init)
    rest = (name for name, p in signature.parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD)
    return signature, next(rest, None)


def names_in(annotation: Any) -> list[str]:
    """The names of `**options: Unpack[Options]`; none where it does not say."""
    return [name for options in get_args(annotation) for name in getattr(options, "__annotations__", ())]


def advice(name: str, names: Sequence[str]) -> str:
    """What to do instead of giving a layer an argument of some name."""
    ours = [own for own in names if name in COUNTERPARTS.get(own, ())] or get_close_matches(name, names, 1, 0.75)
    if ours:
        return f"give {' and '.join(f'{own}=' for own in ours)}"
    answers = (answer for answer, theirs in ANSWERS.items() if name in theirs)
    return next(answers, f"it takes {', '.join(names)}")
