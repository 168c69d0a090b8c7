"""Convolutions: mistakes are named at the user's line."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import graphc as gr
from graphc import errors, nn

IMAGE, KERNEL = gr.f32["N", 8, 8, 3], gr.f32[3, 3, 3, 4]

MISTAKES: dict[str, tuple[type[Exception], str, Any, Any, Any]] = {
    "channels": (errors.ShapeError, "of each of 1 groups, x has 3", nn.conv, IMAGE, gr.f32[3, 3, 4, 4]),
    "rank": (errors.ShapeError, "has no spatial axis", nn.conv, gr.f32["N", 8], KERNEL),
    "kernel's rank": (errors.ShapeError, "the kernel has 3 axes, x has 4", nn.conv, IMAGE, gr.f32[3, 3, 4]),
    "groups": (errors.ShapeError, "is not 3 equal groups", partial(nn.conv, groups=3), IMAGE, gr.f32[3, 3, 1, 4]),
    "no groups": (errors.ArgumentError, "groups=0", partial(nn.conv, groups=0), IMAGE, KERNEL),
    "strides": (errors.ArgumentError, "strides=0", partial(nn.conv, strides=0), IMAGE, KERNEL),
    "many strides": (errors.ArgumentError, r"strides=\(1, 1, 1\)", partial(nn.conv, strides=(1, 1, 1)), IMAGE, KERNEL),
    "padding": (errors.ArgumentError, "padding='FULL'", partial(nn.conv, padding="FULL"), IMAGE, KERNEL),
    "pairs": (errors.ArgumentError, "padding=", partial(nn.conv, padding=((1, 1),)), IMAGE, KERNEL),
    "symbolic kernel": (errors.ShapeError, "positive numbers", nn.conv, IMAGE, gr.f32["K", 3, 3, 4]),
    "symbolic channels": (errors.ShapeError, "is symbolic", nn.conv, gr.f32[2, 8, 8, "C"], KERNEL),
    "dtype": (errors.DTypeError, "not defined on u8", nn.conv, gr.u8["N", 8, 8, 3], gr.u8[3, 3, 3, 4]),
    "transposed": (errors.ShapeError, "takes 4 channels, x has 3", nn.conv_transpose, IMAGE, KERNEL),
    "output padding": (
        errors.ArgumentError, "output_padding=-1", partial(nn.conv_transpose, output_padding=-1), IMAGE,
        gr.f32[3, 3, 4, 3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    kind, words, function, x, kernel = MISTAKES[name]
    program = gr.Program("mistakes")

    @program.entry(x=x, kernel=kernel)
    def mistaken(x: Any, kernel: Any) -> Any:
        return function(x, kernel)

    with pytest.raises(kind, match=words) as caught:
        program.compile()
    assert "test_conv_errors.py" in str(caught.value)


def test_a_layer_refuses_what_it_does_not_fit() -> None:
    with pytest.raises(errors.ArgumentError, match="5 filters are not 2 equal groups"):
        nn.Conv2D(5, 3, groups=2)
    with pytest.raises(errors.ArgumentError, match="kernel_size=0"):
        nn.Conv2D(5, 0)
    with pytest.raises(errors.ShapeError, match="takes 3 channels, x has 1"):
        nn.Conv2D(5, 3, in_channels=3).build(gr.f32["N", 8, 8, 1])
    with pytest.raises(errors.ShapeError, match="x has 3 axes"):
        nn.Conv2D(5, 3).build(gr.f32["N", 8, 1])
