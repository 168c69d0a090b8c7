"""Arguments of layers that can't be: answered at the user's line, with what the layer takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import nn
from graphc.errors import ArgumentError, GraphcError
from tests.mistakes import answer_to

MADE: dict[str, tuple[Callable[[], Any], str, str]] = {
    "unknown": (lambda: nn.Dense(3, nome="x"), "Dense: takes no 'nome'", "give name="),
    "far from any": (lambda: nn.Flatten(order="F"), "Flatten: takes no 'order'", "it takes name"),
    "of PyTorch": (lambda: nn.Conv2D(3, 3, stride=2), "Conv2D: takes no 'stride'", "give strides="),
    "of Keras": (lambda: nn.MaxPool(pool_size=2), "MaxPool: takes no 'pool_size'", "give window="),
    "two for one": (lambda: nn.LayerNorm(affine=False), "takes no 'affine'", "give use_scale= and use_bias="),
    "another way": (lambda: nn.LSTM(3, return_sequences=True), "takes no 'return_sequences'", "nn.Last(layer)"),
    "of its base": (lambda: nn.SimpleRNN(3, recurrent_activation="tanh"), "'recurrent_act", "it takes units,"),
    "of another layer": (lambda: nn.GRU(3, unit_forget_bias=True), "takes no 'unit_forget_bias'", "it takes units,"),
    "missing": (lambda: nn.Stateful(nn.GRU(3)), "missing a required argument: 'batch'", "it takes layer, batch, name"),
    "too many": (lambda: nn.GlobalAvgPool(True, "a", 3), "too many positional", "it takes keepdims, name"),
    "twice": (lambda: nn.Dense(3, units=4), "multiple values for argument 'units'", "it takes units,"),
    "a name": (lambda: nn.Flatten(3), "Flatten: name=3", "a name is a text"),
    "no name": (lambda: nn.Dense(3, name=""), "Dense: name=''", "a name is a text"),
    "an initialiser": (lambda: nn.Dense(3, kernel_initializer=5), "no initialiser 5", "glorot_uniform"),
    "a list of activations": (lambda: nn.Dense(3, activation=["relu"]), "no activation ['relu']", "relu"),
    "a rate": (lambda: nn.Dropout("a"), "Dropout: rate='a' is not in [0, 1)", "a probability"),
    "no rate": (lambda: nn.LSTM(3, dropout=None), "LSTM: dropout=None is not in [0, 1)", "a probability"),
    "rates of parts": (lambda: nn.Stack(nn.GRU(3), dropout=2), "Stack: dropout=2 is not in [0, 1)", "a probability"),
    "of attention": (
        lambda: nn.TransformerBlock(2, 8, dropout=1), "TransformerBlock: dropout=1 is not in [0, 1)", "a probability",
    ),
    "a momentum": (lambda: nn.BatchNorm(momentum="x"), "momentum='x' is not in [0, 1]", "such as 0.9"),
    "a slope": (lambda: nn.RReLU("a", 1), "RReLU: slopes from 'a' to 1", "lower"),
    "a base": (lambda: nn.SinusoidalPositions("a"), "base='a' is not a positive number", "10_000"),
    "no shape": (lambda: nn.Reshape(None), "Reshape: shape=None", "nn.Reshape((8, 8, 1))"),
    "a text for a shape": (lambda: nn.Reshape("ab"), "Reshape: shape='ab'", "nn.Reshape((8, 8, 1))"),
    "a shape of floats": (lambda: nn.Reshape((2.0, 2)), "Reshape: shape=(2.0, 2)", "nn.Reshape((8, 8, 1))"),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_arguments_that_a_layer_does_not_take(name: str) -> None:
    make, message, help = MADE[name]
    error = answer_to(make, ArgumentError)
    assert message in error.message and help in (error.help or "")


CALLED: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "too many": (lambda x: nn.Dense(3)(x, x), "Dense, called: too many positional arguments", "it takes x"),
    "none": (lambda x: nn.Dense(3)(), "Dense, called: missing a required argument: 'x'", "it takes x"),
    "unknown": (lambda x: nn.LSTM(3)(x, h0=x), "LSTM, called: got an unexpected keyword", "initial_state"),
    "twice": (lambda x: nn.Dense(3)(x, x=x), "multiple values for argument 'x'", "it takes x"),
    "a mode by place": (lambda x: nn.Dropout(0.5)(x, True), "multiple values for argument 'training'", "it takes x"),
    "a mode that is none": (lambda x: nn.Dropout(0.5)(x, training="yes"), "training='yes' is not a mode", "True"),
    "a parameter": (lambda x: nn.relu(x, 0.1), "relu: too many positional arguments", "it takes x"),
    "a name": (lambda x: nn.softmax(x, dim=1), "softmax: got an unexpected keyword argument 'dim'", "give axis="),
    "groups": (lambda x: nn.group_norm(x, "a"), "does not divide into a groups", ""),
    "dropout": (lambda x: nn.dot_product_attention(x, x, x, dropout=0.5), "dropout=0.5 is not a function", ""),
    "nothing": (lambda x: nn.Dense(3)(None), "", ""),
    "a list": (lambda x: nn.Dense(3)([x, x]), "", ""),
    "what a function lacks": (lambda x: nn.Sequential(lambda x: None, nn.Dense(3))(x), "", ""),
    "what a shortcut lacks": (lambda x: nn.Residual(nn.Dense(2), shortcut=lambda x: None)(x), "", ""),
    "a step": (lambda x: nn.GRU(3).step(x, h0=x), "GRU, called: got an unexpected keyword argument 'h0'", "state"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLED)
def test_arguments_that_a_call_does_not_take(name: str) -> None:
    call, message, help = CALLED[name]
    with pytest.raises(GraphcError) as raised:
        program = gr.Program("p")

        @program.entry
        def f(x: gr.f32["N", "T", 2]) -> Any:
            return call(x)

        program.trace()
    assert message in raised.value.message and help in (raised.value.help or "")
    assert raised.value.site is not None and raised.value.site.file.endswith("test_layer_arguments.py")


def test_the_first_argument_may_be_named() -> None:
    layer, program = nn.Dense(3), gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", 2]) -> Any:
        return layer(x=x)

    assert program.compile().f(np.ones((4, 2), np.float32)).shape == (4, 3)


class Moded(nn.Module):
    """A layer that wants to know the mode."""

    def __call__(self, x: Any, training: bool) -> Any:
        return x * (2.0 if training else 3.0)


def test_a_layer_that_wants_the_mode_is_given_it() -> None:
    layer, program = Moded(), gr.Program("p")

    @program.entry
    def f(x: gr.f32["N"]) -> Any:
        return layer(x), layer(x, training=True)

    kept, doubled = program.compile().f(np.ones(1, np.float32))
    assert (kept.tolist(), doubled.tolist()) == ([3.0], [2.0])


DENSE = nn.Dense(3)
DENSE.build(gr.f32["N", 2])
X = np.ones((4, 2), np.float32)

HOST: dict[str, tuple[Callable[[], Any], str, str]] = {
    "built for nothing": (lambda: nn.Dense(3).build(), "Dense, built: takes types of inputs, not nothing", "gr.f32"),
    "built for a size": (lambda: nn.Dense(3).build((4, 3)), "takes types of inputs, not (4, 3)", "gr.f32"),
    "built for an array": (lambda: nn.Sequential(nn.Dense(3)).build(X), "takes types of inputs, not array", "gr.f32"),
    "a regularizer": (lambda: DENSE.penalty(0.1), "the regularizer 0.1 is not a function", "nn.L2(1e-4)"),
    "trainable": (lambda: setattr(DENSE, "trainable", "no"), "trainable = 'no'", "True or False"),
    "a seed": (lambda: DENSE.init(1.5), "Dense, init: seed=1.5", "net.init(1)"),
    "parameters": (lambda: DENSE.apply(None, X), "the parameters are NoneType", "net.init()"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOST)
def test_networks_on_their_own(name: str) -> None:
    call, message, help = HOST[name]
    error = answer_to(call, ArgumentError)
    assert message in error.message and help in (error.help or "")


class Tower(nn.Module):
    """A layer of the user's own, whose annotations no one can read."""

    def __init__(self, depth: int, dense: Elsewhere = None, **options: Any):  # type: ignore[name-defined]
        self.layers = [nn.Dense(2, **options) for _ in range(depth)]

    def __call__(self, x: Any) -> Any:
        return nn.Sequential(*self.layers)(x)


def test_layers_of_your_own_answer_alike() -> None:
    assert len(Tower(2, use_bias=False).layers) == 2
    with pytest.raises(ArgumentError, match="Tower: missing a required argument: 'depth'"):
        Tower()  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"Dense: takes no 'bias'.*\n.*\n  help: give use_bias="):
        Tower(1, bias=False)
