"""`gr.debug_print`: what is printed, when, and what is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim

X, Y = np.float32([[1, 2], [3, 4], [5, 6]]), np.zeros((3, 1), np.float32)


def printing(check: str | None = None) -> tuple[Any, Any]:
    """A program that prints, compiled, and its training step as written."""
    program, sgd = gr.Program("printing"), optim.SGD(0.01)
    net = nn.Dense(1, kernel_initializer="ones")

    @program.entry
    def train_step(x: gr.f32["N", 2], y: gr.f32["N", 1]):
        h = net(x)
        gr.debug_print("{n} rows, h {}", h[:, 0], n=x.shape[0])
        loss = losses.mean_squared_error(h, y)
        gr.debug_print("loss {:.2f}, {root[0]:.1f} {} {}", loss, "as ever", x.shape, root=[gr.sqrt(loss)])
        sgd.minimize(loss)
        return {"loss": loss, "logs": gr.mean(gr.log(x))}

    @program.entry
    def predict(x: gr.f32["N", 2]):
        gr.debug_print("from {}", gr.min(x))
        return net(x)

    return program.compile(check=check), train_step


def test_values_are_printed_after_the_call_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    compiled, entry = printing()
    result = compiled.train_step(X, Y)
    assert list(result) == ["loss", "logs"]
    assert capsys.readouterr().out == "3 rows, h [ 3.  7. 11.]\nloss 59.67, 7.7 as ever (3, 2)\n"
    compiled.train_step(X, Y)  # of the new state; and on the path of short calls too
    compiled.train_step(X, Y)
    assert capsys.readouterr().out.count("3 rows, h [") == 2
    gr.interpret(entry)(X, Y)
    assert capsys.readouterr().out == "3 rows, h [ 3.  7. 11.]\nloss 59.67, 7.7 as ever (3, 2)\n"
    assert entry.values(X, Y) == {}
    assert capsys.readouterr().out == ""


def test_loops_print_in_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    compiled, _ = printing()
    compiled.train_step.repeat(3, X, Y)
    assert capsys.readouterr().out.count("loss") == 3
    compiled.train_step.epoch(X, Y, batch_size=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 rows, h [") and lines[2].startswith("1 rows, h [")
    predicted = compiled.predict.map(X[::-1], batch_size=2)
    assert capsys.readouterr().out == "from 3.0\nfrom 1.0\n" and predicted.shape == (3, 1)


def test_files_print_nothing_and_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled, _ = printing()
    compiled.train_step(X, Y)
    loaded = gr.load(compiled.build(tmp_path / "printing.so"))
    assert "printed" not in (tmp_path / "printing.h").read_text()
    capsys.readouterr()
    expected = loaded.train_step.epoch(X, Y, batch_size=2)
    assert capsys.readouterr().out == ""
    assert compiled.new_state().signature.entries[0].epoch
    assert compiled.train_step.epoch(X, Y, batch_size=2) == expected
    in_code = compiled.new_state()
    in_code.train_step.printer = None  # what is printed has a place in compiled epochs, too
    other = compiled.new_state()
    assert in_code.train_step.epoch(X, Y, batch_size=2) == other.train_step.epoch(X, Y, batch_size=2)
    assert in_code.state["dense/kernel"].tolist() == other.state["dense/kernel"].tolist()
    fresh = compiled.new_state()
    capsys.readouterr()
    fresh.train_step(X, Y)
    assert capsys.readouterr().out.startswith("3 rows")


def test_a_step_that_fails_prints_what_it_computed(capsys: pytest.CaptureFixture[str]) -> None:
    compiled, _ = printing(check="nan")
    with pytest.raises(gr.NumericsError):
        compiled.train_step(-X, Y)
    assert capsys.readouterr().out.startswith("3 rows, h [ -3.  -7. -11.]\n")


def test_functions_that_are_differentiated_print(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        gr.debug_print("at {}", x)
        return gr.sum(x * x)

    gradient = gr.jit(lambda x: gr.grad(f)(x))
    assert gradient(np.float32([1, 2])).tolist() == [2, 4]
    assert capsys.readouterr().out == "at [1. 2.]\n"
    assert gr.interpret(lambda x: gr.grad(f)(x))(np.float32([1, 2])).tolist() == [2, 4]
    assert capsys.readouterr().out == "at [1. 2.]\n"


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "too few": (lambda x: gr.debug_print("{} {}", x), "does not fit its arguments"),
    "too many": (lambda x: gr.debug_print("x", x), "it has no place for argument 0"),
    "unnamed": (lambda x: gr.debug_print("{y}", z=x), "does not fit its arguments: 'y'"),
    "a format of numbers": (lambda x: gr.debug_print("{:.3f}", x), "np.set_printoptions for arrays"),
    "an open brace": (lambda x: gr.debug_print("{", x), "does not fit its arguments"),
    "no attribute": (lambda x: gr.debug_print("{.size_of}", x), "does not fit its arguments"),
    "no template": (lambda x: gr.debug_print(x), "the template is"),
    "in a loop": (lambda x: gr.map(lambda r: gr.debug_print("{}", r), x), "inside a loop"),
    "in a branch": (lambda x: gr.cond(x[0] > 0, lambda: gr.debug_print("yes"), lambda: None), "loop, a branch"),
    "mapped": (lambda x: gr.vmap(lambda r: (gr.debug_print("{}", r), r)[1])(x), "inside a loop, a branch or a mapped"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_refused_at_the_line(mistake: str) -> None:
    function, part = REFUSED[mistake]
    for run in (gr.jit(function), gr.interpret(function)):
        with pytest.raises(errors.ArgumentError, match="debug_print") as raised:
            run(np.zeros(3, np.float32))
        assert part in str(raised.value) and raised.value.site is not None
        assert f'"{mistake}": (' in raised.value.site.text


def test_outside_an_entry_there_is_nothing_to_print() -> None:
    with pytest.raises(errors.TraceError, match=r"gr\.debug_print outside an entry"):
        gr.debug_print("x")


def test_what_is_printed_is_no_reason_against_epochs() -> None:
    total, program = gr.Variable(np.float32(0), name="total"), gr.Program("counted")

    @program.entry
    def add(x: gr.f32["N", "N"]):
        total.assign(total + gr.sum(x))
        gr.debug_print("{}", x)

    with pytest.raises(errors.ArgumentError, match="N must be the first size of arguments"):
        program.compile().add.epoch(np.ones((4, 4), np.float32))
