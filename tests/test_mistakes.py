"""Plausible mistakes: each meets an error of graphc's own, before anything is computed or changed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, nn, optim
from graphc.ir.types import TensorType
from graphc.ops.cost import code
from graphc.passes.fuse import MOST_CODE, fuse
from graphc.passes.pipeline import optimise


def program_of(body: Callable[..., Any], *types: TensorType) -> gr.Program:
    """A Program of one entry `f`."""
    program = gr.Program("mistakes")

    def one(x):
        return body(x)

    def two(x, y):
        return body(x, y)

    function = (one, two)[len(types) - 1]
    function.__name__ = "f"
    program.entry(**dict(zip("xy", types, strict=False)))(function)
    return program


MATRIX = gr.f32["N", 3]

TRACED: dict[str, tuple[type[Exception], str, Callable[[Any], Any], TensorType]] = {
    "float axis": (errors.ArgumentError, "neither an integer", lambda x: gr.sum(x, axis=1.0), MATRIX),
    "text axis": (errors.ArgumentError, "neither an integer", lambda x: nn.softmax(x, axis="rows"), MATRIX),
    "loss that is a number": (errors.ArgumentError, "nothing to minimise", lambda x: optim.SGD().minimize(3.0), MATRIX),
    "params that are tensors": (
        errors.ArgumentError, "is not a Variable", lambda x: optim.SGD().minimize(gr.sum(x), [x]), MATRIX,
    ),
    "pairs that are none": (
        errors.ArgumentError, "is not a pair", lambda x: optim.SGD().apply_gradients([(x, x, x)]), MATRIX,
    ),
    "gradients of tensors": (
        errors.ArgumentError, "is not a Variable", lambda x: optim.SGD().apply_gradients([(x, x)]), MATRIX,
    ),
    "a scalar into Dense": (errors.ShapeError, "no last axis", lambda x: nn.Dense(2)(x), gr.f32),
    "concat of other widths": (
        errors.ShapeError, "shapes differ off axis 0 (f32[N,3] and f32[N,2])",
        lambda x: gr.concat([x, x[:, :2]]), MATRIX,
    ),
    "a float in a shape": (
        errors.ArgumentError, "2.5 is no size", lambda x: gr.zeros((2.5, 3)) + gr.sum(x), MATRIX,
    ),
    "a size that no input has": (
        errors.ShapeError, "no input has the size M", lambda x: gr.zeros(("M", 3)) + gr.sum(x), MATRIX,
    ),
    "no shape": (errors.ArgumentError, "None is no size", lambda x: gr.reshape(x, None), MATRIX),
    "a boolean in a shape": (errors.ArgumentError, "True is no size", lambda x: gr.ones((True, 2)), MATRIX),
    "a float for a batch": (
        errors.ArgumentError, "2.5 is no size", lambda x: nn.GRU(3).initial_state(2.5), MATRIX,
    ),
    "a value out of range": (errors.DTypeError, "x.astype(gr.i64)", lambda x: x + 2**40, gr.i32["N"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRACED)
def test_mistakes_in_an_entry(name: str) -> None:
    kind, words, body, type_ = TRACED[name]
    with pytest.raises(kind) as raised:
        program_of(body, TensorType(type_) if type_ is gr.f32 else type_).trace()
    assert words in str(raised.value)


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", True])
def test_dense_wants_a_positive_number_of_units(units: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="positive integer"):
        nn.Dense(units)


@pytest.mark.parametrize("rate", ["fast", np.ones(3), None, True])
def test_a_learning_rate_is_one_number(rate: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="learning_rate"):
        optim.Adam(rate)


@pytest.mark.parametrize(
    "options", [{"min": 5, "max": 3}, {"multiple_of": 0}, {"min": -1}, {"min": 5, "max": 7, "multiple_of": 4}]
)
def test_a_dimension_has_sizes(options: dict[str, int]) -> None:
    with pytest.raises(errors.ShapeError, match="no size meets"):
        gr.dim("N", **options)


@pytest.mark.parametrize("name", ["N M", "é", 3, ""])
def test_a_dimension_has_a_name_that_c_knows(name: Any) -> None:
    with pytest.raises(errors.ShapeError, match="can't name a dimension"):
        gr.dim(name)


def test_dense_takes_integers() -> None:
    compiled = program_of(nn.Dense(2, kernel_initializer="ones"), gr.i32["N", 3]).compile()
    result = compiled.f(np.array([[1, 2, 3]], np.int32))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[6, 6]])


def counter() -> Any:
    """A compiled entry that adds its argument's sum to an integer Variable of rank 0."""
    count = gr.Variable(np.int64(3), name="count", trainable=False)

    def body(x: Any) -> Any:
        count.assign(count + 1)
        return gr.sum(x)

    return program_of(body, gr.f32["N"]).compile()


def test_a_scalar_variable_has_a_live_view() -> None:
    compiled = counter()
    view = compiled.state.view("count")
    assert view.shape == () and view == 3
    compiled.f(np.ones(2, np.float32))
    assert view == 4


@pytest.mark.parametrize("seed", ["a", 1.5, None])
def test_a_seed_is_an_integer(seed: Any) -> None:
    compiled = counter()
    with pytest.raises(errors.ArgumentError, match="must be an integer"):
        compiled.init(seed)
    if seed is not None:
        with pytest.raises(errors.ArgumentError, match="must be an integer"):
            compiled.f.epoch(np.ones(2, np.float32), shuffle=seed)
    assert compiled.state["count"] == 3


def test_an_entry_is_built_once(tmp_path: Any) -> None:
    compiled = counter()
    loaded = [gr.load(compiled.build(tmp_path / name, entries=e)) for name, e in (("a.so", ["f", "f"]), ("b.so", "f"))]
    assert [list(program.entries) for program in loaded] == [["f"], ["f"]]


def test_results_that_no_memory_holds() -> None:
    compiled = program_of(lambda x: gr.broadcast_to(x, (1 << 31, 1 << 31)) * 2, TensorType(gr.f32)).compile()
    with pytest.raises(errors.ShapeError, match="no memory holds"):
        compiled.f(1.0)


@pytest.mark.parametrize("reduce", [lambda x: x, lambda x: gr.sum(x, axis=0)], ids=["elementwise", "absorbed"])
def test_long_chains_make_several_kernels(reduce: Callable[[Any], Any]) -> None:
    def chain(x: Any) -> Any:
        for _ in range(MOST_CODE):
            x = x * x + 0.25
        return reduce(x)

    program = program_of(chain, gr.f32["N", 3])
    groups = fuse(optimise(program.trace().entries[0].graph))
    assert len(groups) > 1 and all(len(group.nodes) <= MOST_CODE + 1 for group in groups)
    x = np.linspace(-0.5, 0.5, 21, dtype=np.float32).reshape(7, 3)
    np.testing.assert_allclose(program.compile().f(x), gr.interpret(program.entries["f"])(x), rtol=1e-6)


def test_long_chains_of_large_operations_make_more() -> None:
    def chain(x: Any) -> Any:
        for _ in range(40):
            x = gr.sin(x)
        return x

    groups = fuse(optimise(program_of(chain, gr.f32["N"]).trace().entries[0].graph))
    assert [sum(code(n.op) for n in group.nodes) for group in groups] == [MOST_CODE, MOST_CODE, 40 * 8 - 2 * MOST_CODE]


USES = [gr.jit, gr.grad, gr.value_and_grad, gr.interpret, gr.check_grads, gr.Program("p").entry]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("wrong", ["text", 3])
def test_what_is_no_function_is_refused(use: Callable[[Any], Any], wrong: object) -> None:
    with pytest.raises(gr.ArgumentError, match=r"takes a function of tensors or an entry, not a (str|int)") as fault:
        use(wrong)
    assert "test_mistakes.py" in str(fault.value)


def test_a_compiled_entry_is_not_traced() -> None:
    program = gr.Program("doubled")

    @program.entry
    def double(x: gr.f32["N"]) -> gr.Tensor:
        return x * 2

    with pytest.raises(gr.ArgumentError, match="not a compiled entry") as fault:
        gr.check_grads(program.compile().double, np.ones(3, np.float32))
    assert "@program.entry" in str(fault.value)


@pytest.mark.parametrize(
    "get, message",
    [
        (lambda: nn.Conv2d, "graphc.nn has no Conv2d"),
        (lambda: nn.Linear, "help: nn.Dense"),
        (lambda: nn.sofmax, "help: did you mean nn.softmax?"),
        (lambda: optim.Adamm, "help: did you mean optim.Adam?"),
    ],
)
def test_names_of_other_libraries_and_slips_are_answered(get: Any, message: str) -> None:
    with pytest.raises(gr.errors.MissingNameError) as raised:
        get()
    assert message in str(raised.value)
    assert not hasattr(nn, "Conv2d") and not hasattr(optim, "nothing_like_it")


def doubling() -> gr.Program:
    """The least that compiles."""
    return program_of(lambda x: x * 2, MATRIX)


REFUSED: dict[str, tuple[type[Exception], str, Callable[[Path], Any]]] = {
    "a rule for casts": (errors.ArgumentError, "cast='unsafe' is no rule", lambda _: doubling().compile(cast="unsafe")),  # type: ignore[arg-type]
    "a CPU": (errors.TargetError, "unknown cpu 'zen99'", lambda _: doubling().compile(cpu="zen99")),
    "a CPU that is no text": (errors.TargetError, "unknown cpu", lambda _: doubling().compile(cpu=["native"])),  # type: ignore[arg-type]
    "a linker": (errors.TargetError, "unknown linker", lambda d: doubling().build(d / "f.so", linker="gold")),
    "a header for the object": (errors.TargetError, "names no kind", lambda d: doubling().build(d / "f.h")),
    "no suffix": (errors.TargetError, "names no kind", lambda d: doubling().build(d / "f")),
    "no prefix": (errors.ArgumentError, "can't be the prefix", lambda d: doubling().build(d / "f.so", prefix="")),
    "a number for a prefix": (
        errors.ArgumentError, "can't be the prefix", lambda d: doubling().build(d / "f.so", prefix=3),  # type: ignore[arg-type]
    ),
    "a number for a path": (errors.ArgumentError, "3 is not a path", lambda _: doubling().build(3)),  # type: ignore[arg-type]
    "a folder that is not there": (
        errors.BuildError, "could not write", lambda d: doubling().build(d / "none" / "f.so"),
    ),
    "loading a number": (errors.ArgumentError, "3 is not a path", lambda _: gr.load(3)),  # type: ignore[arg-type]
    "loading nothing": (errors.BuildError, "No such file", lambda d: gr.load(d / "f.so")),
    "saving to a number": (errors.ArgumentError, "3 is not a path", lambda _: doubling().compile().save(3)),  # type: ignore[arg-type]
    "an entry that is not there": (errors.MissingNameError, "no entry 'g'", lambda _: doubling().compile().g),
    "a macro as an entry": (errors.ArgumentError, "can't be named OK", lambda _: gr.Program("P").entry(named("OK"))),
    "a layer over a method": (errors.ArgumentError, "a method parts", lambda _: setattr(nn.Dense(3), "parts", [])),
}  # fmt: skip


def named(name: str) -> Callable[[], Any]:
    """A function of a name."""

    def function() -> Any:
        return gr.zeros((3,))

    function.__name__ = name
    return function


@pytest.mark.parametrize("name", REFUSED)
def test_options_of_another_kind_are_refused(name: str, tmp_path: Path) -> None:
    kind, message, use = REFUSED[name]
    with pytest.raises(kind) as caught:
        use(tmp_path)
    text = str(caught.value)
    assert message in text and "test_mistakes.py" in text and "help: " in text
    assert not list(tmp_path.iterdir())


def test_a_layer_may_be_called_stem() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Dense(3)

        def __call__(self, x: gr.Tensor) -> gr.Tensor:
            return self.stem(x)

    net = Net()
    assert list(program_of(net, MATRIX).compile().state) == ["net/dense/kernel", "net/dense/bias"]
    assert len(net.parameters()) == 2


def counted(result: Callable[[Any], Any]) -> Any:
    """The epoch of an entry that writes state and gives a result."""
    seen, program = gr.Variable(0.0, name="seen"), gr.Program("p")

    @program.entry
    def step(x: gr.f32["N", 3]):
        seen.assign(seen + gr.sum(x))
        return result(x)

    return program.compile().step.epoch(np.ones((4, 3), np.float32), batch_size=2)


@pytest.mark.parametrize(
    ("result", "message"),
    [(lambda x: gr.argmax(gr.sum(x, axis=0)), "out is i64, and epochs give means"), (lambda x: x, "has the batch")],
)
def test_what_has_no_mean_has_no_epochs(result: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        counted(result)
    assert counted(gr.sum) == 6.0


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: gr.scan(lambda c: c, 0.0, x), r"step\(carry, x\): <lambda>: too many"),
        (lambda x: gr.while_loop(lambda: True, lambda c: c, x), r"condition\(carry\): <lambda>: too many"),
        (lambda x: gr.while_loop(lambda c: gr.any(c > 0), lambda a, b: a, x), r"body\(carry\): <lambda>: missing"),
        (lambda x: gr.cond(True, lambda: x, lambda x: x), r"gr.cond with 0 operands: <lambda>: missing"),
        (lambda x: f"{x:.2f}", "has no number while tracing"),
    ],
)
def test_bodies_are_called_as_they_can_be(use: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(errors.GraphcError, match=message):
        program_of(use, MATRIX).compile()


def test_annotations_that_are_no_types() -> None:
    with pytest.raises(errors.ArgumentError, match="not a tensor type"):
        gr.Program("p").entry(x={"a": gr.f32["N"]})(lambda x: x)


def test_compiled_programs_stay_where_they_are() -> None:
    compiled = doubling().compile()
    with pytest.raises(errors.UnsupportedError, match="can't be copied or pickled"):
        pickle.dumps(compiled)
    with pytest.raises(errors.UnsupportedError, match=r"(?s)can't be copied.*new_state\(\)"):
        copy.copy(compiled)
    with pytest.raises(errors.TraceError, match=r"(?s)within a trace call the entry itself"):
        gr.jit(lambda x: compiled.f(x))(np.ones((2, 3), np.float32))
