"""What people who know PyTorch or Keras try first: each is answered by what graphc has for it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import isfunction, signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import augment, errors, init, inspect, interop, losses, metrics, nn, optim, train
from graphc.suggest import COUNTERPARTS
from tests.mistakes import answer_to

X, Y = np.zeros((4, 3), np.float32), np.zeros(4, np.int32)
SAMPLE = gr.f32["N", 3]


class Forward(nn.Module):
    """A layer as PyTorch wants it."""

    def forward(self, x: Any) -> Any:
        return x


def network() -> nn.Sequential:
    return nn.Sequential(nn.Dense(4, activation="relu"), nn.Dense(2))


def program(**changes: Any) -> gr.Program:
    arguments = {"loss": losses.sparse_softmax_cross_entropy, "optimizer": optim.Adam(1e-3)} | changes
    return train.supervised(arguments.pop("net", network()), SAMPLE, gr.i32["N"], **arguments)


def traced(body: Callable[..., Any]) -> None:
    entries = gr.Program("newcomers")

    @entries.entry
    def entry(x: gr.f32["N", 3], y: gr.i32["N"], sequence: gr.f32["N", "T", 3]) -> Any:
        return body(x, y, sequence)

    entries.trace()


#: What they try; the kind of error; words of its answer.
TRIED: dict[str, tuple[Callable[[], Any], type[gr.GraphcError], str]] = {
    "fit(net, x, y)": (lambda: train.fit(network(), X, Y), errors.ArgumentError, "train.fit(compiled, (x, y)"),
    "fit(net, data)": (lambda: train.fit(network(), (X, Y)), errors.ArgumentError, "train.supervised makes a program"),
    "fit(verbose=)": (
        lambda: train.fit(program().compile(), (X, Y), verbose=1), errors.ArgumentError, "progress=False",
    ),
    "evaluate(x, y)": (
        lambda: train.evaluate(program().compile(), X, Y), errors.ArgumentError, "train.evaluate(compiled, (x, y))",
    ),
    "net.fit": (lambda: network().fit(X, Y), errors.MissingNameError, "train.fit(compiled, (x, y))"),
    "net.compile": (lambda: network().compile("adam", "mse"), errors.MissingNameError, "train.supervised(net"),
    "net.train": (lambda: network().train(), errors.MissingNameError, "training=True"),
    "net.state_dict": (lambda: network().state_dict(), errors.MissingNameError, "compiled.state"),
    "program.fit": (lambda: program().fit(X, Y), errors.MissingNameError, "train.fit(program.compile()"),
    "program.predict": (lambda: program().predict(X), errors.MissingNameError, "compiled.predict(…)"),
    "program.compile(loss=)": (lambda: program().compile(loss="mse"), errors.ArgumentError, "an entry says how"),
    "compiled.fit": (lambda: program().compile().fit(X, Y), errors.MissingNameError, "train.fit(compiled, (x, y))"),
    "history.history": (
        lambda: train.fit(program().compile(), (X, Y)).history["loss"], errors.MissingNameError, 'history["loss"]',
    ),
    "sizes as Keras has them": (
        lambda: train.supervised(
            network(), gr.f32[None, 3], gr.i32["N"], loss=losses.huber, optimizer=optim.Adam(1e-3)
        ), errors.ShapeError, 'names such as "N"',
    ),
    "a sequence of outputs": (
        lambda: train.supervised(
            nn.Sequential(nn.LSTM(4), nn.Dense(2)), gr.f32["N", "T", 3], gr.i32["N"],
            loss=losses.sparse_softmax_cross_entropy, optimizer=optim.Adam(1e-3), metrics=[metrics.accuracy],
        ).compile(), errors.ShapeError, "want labels of shape (N, T)",
    ),
    "forward": (lambda: Forward(), errors.TraceError, "def __call__(self, x), not forward"),
    "Linear": (lambda: nn.Linear(3, 4), errors.MissingNameError, "nn.Dense"),
    "ModuleList": (lambda: nn.ModuleList(), errors.MissingNameError, "a list of layers"),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(), errors.MissingNameError, "graphc.losses"),
    "Dense(3, 4)": (lambda: nn.Dense(3, 4), errors.ArgumentError, "it is read off the first x"),
    "activation='ReLU'": (lambda: nn.Dense(3, activation="ReLU"), errors.ArgumentError, "did you mean 'relu'?"),
    "LSTM(3, 4)": (lambda: nn.LSTM(3, 4), errors.ArgumentError, "it is read off"),
    "an LSTM's pair": (
        lambda: traced(lambda x, y, s: nn.Dense(1)(nn.LSTM(4)(s))), errors.ArgumentError, "take ys of it",
    ),
    "Adam(lr=)": (lambda: optim.Adam(lr=1e-3), errors.ArgumentError, "learning_rate="),
    "Adam(betas=)": (lambda: optim.Adam(1e-3, betas=(0.9, 0.99)), errors.ArgumentError, "beta1= and beta2="),
    "Adam(clipnorm=)": (lambda: optim.Adam(1e-3, clipnorm=1.0), errors.ArgumentError, "clip_norm="),
    "SGD(momentum=)": (lambda: optim.SGD(0.1, momentum=0.9), errors.ArgumentError, "optim.Momentum"),
    "zero_grad": (lambda: optim.Adam(1e-3).zero_grad(), errors.MissingNameError, "leave it out"),
    "optimizer.learning_rate": (lambda: optim.Adam(1e-3).learning_rate, errors.MissingNameError, "compiled.state["),
    "the class of an optimizer": (lambda: program(optimizer=optim.Adam), errors.ArgumentError, "the class Adam"),
    "a function for a network": (lambda: program(net=nn.relu), errors.ArgumentError, "nn.Sequential makes one"),
    "a metric's name": (lambda: program(metrics="accuracy"), errors.ArgumentError, "neither a dict nor a list"),
    "metrics' names": (lambda: program(metrics=["accuracy"]), errors.ArgumentError, "metrics.accuracy"),
    "a metric alone": (lambda: program(metrics=metrics.accuracy), errors.ArgumentError, "neither a dict nor a list"),
    "a metric's class": (lambda: program(metrics=[metrics.Accuracy]), errors.ArgumentError, "the class Accuracy"),
    "loss(target, logits)": (
        lambda: traced(lambda x, y, s: losses.sparse_softmax_cross_entropy(y, x)), errors.DTypeError,
        "logits come first",
    ),
    "sum(dim=)": (lambda: traced(lambda x, y, s: gr.sum(x, dim=1)), errors.ArgumentError, "give axis="),
    "x.mean(keepdim=)": (
        lambda: traced(lambda x, y, s: x.mean(1, keepdim=True)), errors.ArgumentError, "give keepdims=",
    ),
    "softmax outside of an entry": (lambda: nn.softmax(X, dim=1), errors.ArgumentError, "give axis="),
    "exp of two": (lambda: traced(lambda x, y, s: gr.exp(x, x)), errors.ArgumentError, "it takes x"),
    "norm(dim=)": (lambda: traced(lambda x, y, s: gr.linalg.norm(x, dim=1)), errors.ArgumentError, "give axis="),
    "normal(size=)": (lambda: traced(lambda x, y, s: gr.random.normal(size=3)), errors.ArgumentError, "give shape="),
    "vmap(in_dims=)": (lambda: gr.vmap(gr.exp, in_dims=0), errors.ArgumentError, "give in_axes="),
    "a loss of one": (
        lambda: traced(lambda x, y, s: losses.mean_squared_error(x)), errors.ArgumentError, "missing a required",
    ),
    "supervised by a loss of one": (
        lambda: program(loss=lambda output: output), errors.ArgumentError, "called with (output, target)",
    ),
    "a metric of one": (
        lambda: program(metrics={"sum": lambda output: output}), errors.ArgumentError, "called with (output, target)",
    ),
    "requires_grad": (lambda: gr.Variable(X, requires_grad=False), errors.ArgumentError, "give trainable="),
    "initializer(std=)": (lambda: init.normal(std=0.1), errors.ArgumentError, "give stddev="),
    "restore_best_weights": (
        lambda: train.EarlyStopping(restore_best_weights=True), errors.ArgumentError, "give restore_best=",
    ),
    "minimize(lr=)": (
        lambda: traced(lambda x, y, s: optim.SGD().minimize(gr.sum(x), lr=1.0)), errors.ArgumentError,
        "give learning_rate=",
    ),
    "Dense(3, init)": (lambda: nn.Dense(3, init.he_normal), errors.ArgumentError, "give kernel_initializer="),
    "Dense(3, L2)": (lambda: nn.Dense(3, nn.L2(0.1)), errors.ArgumentError, "give kernel_regularizer="),
    "use_bias='no'": (lambda: nn.Dense(3, use_bias="no"), errors.ArgumentError, "it is True or False"),
    "gelu(approximate='none')": (
        lambda: traced(lambda x, y, s: nn.gelu(x, approximate="none")), errors.ArgumentError, "it is True or False",
    ),
    "sum(keepdims=1)": (
        lambda: traced(lambda x, y, s: gr.sum(x, keepdims=1)), errors.ArgumentError, "it is True or False",
    ),
    "restore_best='yes'": (
        lambda: train.EarlyStopping(restore_best="yes"), errors.ArgumentError, "it is True or False",
    ),
    "amsgrad='no'": (lambda: optim.Adam(1e-3, amsgrad="no"), errors.ArgumentError, "it is True or False"),
    "LayerNorm(64)": (
        lambda: traced(lambda x, y, s: nn.LayerNorm(64)(x)), errors.AxisError, "whose size is read off x",
    ),
    "BatchNorm(64)": (lambda: nn.BatchNorm(64), errors.ArgumentError, "are read off the first x"),
    "GroupNorm(2, 64)": (lambda: nn.GroupNorm(2, 64), errors.ArgumentError, "it takes groups, eps;"),
    "activation=PReLU": (lambda: nn.Dense(3, nn.PReLU), errors.ArgumentError, "nn.PReLU()"),
    "kernel_regularizer=0.01": (lambda: nn.Dense(3, kernel_regularizer=0.01), errors.ArgumentError, "nn.L2(1e-4)"),
    "kernel_constraint=3": (lambda: nn.Dense(3, kernel_constraint=3), errors.ArgumentError, "nn.MaxNorm(3.0)"),
    "Variable(initialiser)": (lambda: gr.Variable(init.he_normal), errors.ArgumentError, "call it with a shape"),
    "a step uphill": (
        lambda: traced(lambda x, y, s: optim.SGD().minimize(gr.sum(x * gr.Variable(1.0)), learning_rate=-1.0)),
        errors.ArgumentError, "at least 0",
    ),
    "climbing": (lambda: optim.SGD(-0.1), errors.ArgumentError, "minimize(-objective)"),
    "net[5]": (lambda: network()[5], errors.IndexRangeError, "it has 2, by number from 0"),
    "net['dense']": (lambda: network()["dense"], errors.IndexRangeError, "by number from 0"),
    "f32(3)": (lambda: gr.f32(3.0), errors.ArgumentError, "gr.asarray(3, gr.f32) a tensor"),
    "save(filepath=)": (lambda: program().compile().save(filepath="a"), errors.ArgumentError, "it takes path"),
    "init(sed=)": (lambda: program().compile().init(sed=1), errors.ArgumentError, "give seed="),
    "repeat()": (lambda: program().compile().train_step.repeat(), errors.ArgumentError, "it takes n"),
    "state.update(3)": (lambda: program().compile().state.update(3), errors.ArgumentError, "so does a dict"),
    "Program(…, foo=)": (lambda: gr.Program("p", foo=1), errors.ArgumentError, "it takes name"),
    "summary(x=)": (lambda: network().summary(x=1), errors.ArgumentError, "it takes types"),
    "metric.update()": (
        lambda: traced(lambda x, y, s: metrics.Mean().update()), errors.ArgumentError, "it takes values",
    ),
    "assign()": (lambda: traced(lambda x, y, s: gr.Variable(1.0).assign()), errors.ArgumentError, "it takes value"),
    "at.set()": (lambda: traced(lambda x, y, s: x.at[0].set()), errors.ArgumentError, "it takes values"),
    "L2(lambda_=)": (lambda: nn.L2(lambda_=0.1), errors.ArgumentError, "it takes l2"),
    "load of what is not there": (lambda: gr.load("nowhere.so"), errors.BuildError, "can't be loaded"),
    "no_grad": (lambda: gr.no_grad(), errors.MissingNameError, "leave it out"),
    "manual_seed": (lambda: gr.manual_seed(0), errors.MissingNameError, "init(seed=…)"),
}  # fmt: skip


@pytest.mark.parametrize("tried", TRIED)
def test_what_they_try_is_answered(tried: str) -> None:
    attempt, kind, words = TRIED[tried]
    assert words in str(answer_to(attempt, kind))


def test_what_other_libraries_call_the_same_is_taken() -> None:
    assert nn.LayerNorm(epsilon=1e-3).eps == nn.LayerNorm(eps=1e-3).eps == 1e-3
    assert optim.Adam(1e-3, epsilon=1e-4).eps == optim.RMSprop(epsilon=1e-4).eps == 1e-4
    optim.Adam(eps=1e-4, groups=[optim.Group(lambda v: v.ndim < 2, epsilon=1e-3)])
    with pytest.raises(errors.ArgumentError, match="takes no 'epsilon'"):
        nn.LayerNorm(eps=1e-3, epsilon=1e-3)


def test_errors_of_users_functions_stay_theirs() -> None:
    def step(carry: Any, x: Any) -> Any:
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        traced(lambda x, y, s: gr.scan(step, x, length=2))


def test_public_functions_are_pickled_by_name() -> None:
    functions = [gr.exp, gr.mean, gr.random.normal, gr.linalg.norm, init.he_normal, nn.relu, losses.huber]
    assert pickle.loads(pickle.dumps(functions)) == functions


def test_a_part_of_a_sequential_has_its_layers() -> None:
    net = network()
    assert list(net[:-1]) == [net[0]] and isinstance(net[:-1], nn.Sequential)


def test_counterparts_are_arguments_of_public_functions() -> None:
    known = {parameter for function in public_functions() for parameter in signature(function).parameters}
    assert not [name for name in COUNTERPARTS if name not in known]


def public_functions() -> Iterator[Callable[..., Any]]:
    """The functions of graphc's modules, and the constructors and methods of their classes."""
    for home in (*MODULES.values(), gr.random, gr.linalg):
        for value in (getattr(home, name) for name in home.__all__):
            yield from filter(isfunction, vars(value).values() if isinstance(value, type) else [value])


def test_layers_of_users_take_what_they_like() -> None:
    class Configured(nn.Module):
        def __init__(self, **config: Any):
            super().__init__()
            self.units = config["out_features"]

        def __call__(self, x: Any) -> Any:
            return x

    assert Configured(out_features=3).units == 3
    with pytest.raises(AttributeError, match="has no attribute 'speed'"):
        _ = Configured(out_features=3).speed  # type: ignore[attr-defined]
    assert not hasattr(Configured(out_features=3), "fit")


MODULES = {"augment": augment, "gr": gr, "init": init, "inspect": inspect, "interop": interop, "losses": losses,
           "metrics": metrics, "nn": nn, "optim": optim, "train": train}  # fmt: skip


def missing_names(text: str) -> list[str]:
    """What a text says of graphc's modules that is not there."""
    found = re.findall(rf"(?<![\w.])({'|'.join(MODULES)})\.([A-Za-z]\w*)", text)
    return [f"{m}.{name}" for m, name in found if not hasattr(MODULES[m], name)]


@pytest.mark.parametrize("home", ["nn", "nn.theirs", "optim", "optim.theirs", "losses", "init", "train", "augment"])
def test_answers_name_what_there_is(home: str) -> None:
    module = import_module(f"graphc.{home}")
    tables = [vars(module).get(name, {}) for name in ("ALTERNATIVES", "ARGUMENTS", "ATTRIBUTES")]
    assert any(tables)
    assert not missing_names("\n".join(answer for table in tables for answer in table.values()))


def test_the_table_of_names_is_true() -> None:
    """Its last column names what there is, or says it in words."""
    page = Path(__file__).parent.parent / "docs" / "guide" / "coming-from.md"
    rows = [line.strip("| ").split("|") for line in page.read_text().splitlines() if line.startswith("| ")]
    ours = [row[-1] for row in rows[1:]]
    assert len(ours) > 40
    assert not missing_names("\n".join(ours))
    assert all("`" in cell or "list" in cell or "](" in cell for cell in ours)
