"""Programs that check their numbers: what is found, what is said of it, and that the state stays as it was."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
from graphc.numerics import first_bad

RNG = np.random.default_rng(0)


def entry_of(function: Callable[..., Any], kind: str | None = "nan", **types: Any) -> Any:
    """A function as the only entry of a compiled program."""
    program = gr.Program("checked")
    if function.__name__ == "<lambda>":
        function.__name__ = "f"
    program.entry(**types)(function)
    return program.compile(check=kind).entries[function.__name__]


def complaint(call: Callable[[], object]) -> gr.NumericsError:
    """The error of a call."""
    with pytest.raises(gr.NumericsError) as raised:
        call()
    return raised.value


def line(error: gr.GraphcError) -> str:
    """What the user wrote where it went wrong."""
    return error.site.text if error.site is not None else ""


def growing(kind: str | None = "nan") -> Any:
    """A program whose weight is squared in each step, from 2, and minimises the logarithm of its data."""
    weight, count = gr.Variable(np.float32(2), name="weight"), gr.Variable(np.int32(0), name="count")
    program = gr.Program("growing")

    @program.entry
    def step(x: gr.f32["N"]):
        count.assign(count + 1)
        weight.assign(weight * weight)
        logs = gr.log(x)
        return {"mean": gr.mean(logs)}

    @program.entry
    def shrink():
        weight.assign(weight - weight)
        return weight

    return program.compile(check=kind)


def snapshot(program: Any) -> dict[str, Any]:
    """The state as Python values, which compare."""
    return {name: value.tolist() for name, value in program.state.items() if name != "graphc/epoch"}


# -- what is said ---------------------------------------------------------------------------------------------------


def test_the_error_names_the_operation_its_operands_and_the_line() -> None:
    def f(x: Any, y: Any) -> Any:
        ratio = x / y
        return gr.sum(ratio)

    x, y = np.ones((3, 4), np.float32), np.ones((3, 4), np.float32)
    x[1, 2] = y[1, 2] = 0
    error = complaint(lambda: entry_of(f, x=gr.f32["N", 4], y=gr.f32["N", 4])(x, y))
    assert re.sub(r"py:\d+", "py:0", str(error)) == (
        "f: div gives NaN\n"
        "  lhs  x:  f32[N,4], 0.0 there\n"
        "  rhs  y:  f32[N,4], 0.0 there\n"
        "  result  f32[N,4]: 1 of 12, first at [1, 2]\n"
        "  at test_numerics.py:0   ratio = x / y\n"
        "  help: keep the divisor away from 0: add a small constant, or choose with gr.where before dividing"
    )
    assert isinstance(error, FloatingPointError)


def test_operands_of_another_line_are_named_with_it() -> None:
    def f(x: Any) -> Any:
        shifted = x - 1
        return gr.sum(gr.log(shifted))

    error = complaint(lambda: entry_of(f, x=gr.f32["N"])(np.float32([2, 0])))
    assert "  x  shifted:  f32[N], -1.0 there     test_numerics.py:" in str(error) and "shifted = x - 1\n" in str(error)


def test_gradients_name_the_line_they_differentiate() -> None:
    def f(x: Any) -> Any:
        length = gr.sqrt(x * x)
        total = gr.sum(length)
        return gr.gradients(total, [x])[0]

    def again(x: Any) -> Any:
        def block(a: Any) -> Any:
            length = gr.sqrt(a * a)
            return gr.sum(length)

        return gr.gradients(gr.checkpoint(block)(x), [x])[0]

    def scanned(x: Any) -> Any:
        def step(total: Any, value: Any) -> Any:
            length = gr.sqrt(value * value)
            return total + length, None

        return gr.gradients(gr.scan(step, 0.0, x)[0], [x])[0]

    def branched(x: Any) -> Any:
        def lengths() -> Any:
            length = gr.sqrt(x * x)
            return gr.sum(length)

        return gr.gradients(gr.cond(x[0] > 0, lengths, lambda: gr.sum(x)), [x])[0]

    for function, name in ((f, "x"), (again, "a"), (scanned, "value"), (branched, "x")):
        bound = entry_of(function, x=gr.f32[3])
        assert bound(np.float32([1, 2, 3])).tolist() == [1, 1, 1]
        error = complaint(lambda bound=bound: bound(np.float32([1, 0, 3])))
        assert line(error) == f"length = gr.sqrt({name} * {name})"
        assert 'check="finite" stops where it arises' in str(error) and " c0:" not in str(error)
        assert ("in round 1 of its loop" in str(error)) == (function is scanned)


def test_layers_and_what_was_given_as_nan_are_named() -> None:
    net = nn.Sequential(nn.Dense(4, activation="tanh"), nn.Dense(2))

    def predict(x: Any) -> Any:
        return net(x)

    bound = entry_of(predict, x=gr.f32["N", 3])
    x = np.ones((5, 3), np.float32)
    bound(x)
    x[4, 1] = np.nan
    error = complaint(lambda: bound(x))
    assert "in dense gives NaN" in str(error) and error.help == "the argument x holds NaN before the step"
    bound.state["dense_1/bias"] = np.float32([0, np.nan])
    assert "lhs  x:  f32[N,3], from 1.0 to 1.0, 1 of 15 NaN\n" in str(error)
    assert complaint(lambda: bound(np.ones((5, 3), np.float32))).help == "the Variable dense_1/bias holds NaN before the step"  # noqa: E501


def test_what_numpy_can_not_follow_is_said_to_be_so() -> None:
    program = gr.Program("close")

    @program.entry
    def f(x: gr.f32["N"]):
        return gr.sum(x)

    (entry,) = program.trace().entries
    error = first_bad(entry, "finite", [np.float32([1, 2])], {}, ", step 3 of 9")
    assert str(error).startswith("f, step 3 of 9: a number became NaN or infinite\n  entry  f     test_numerics.py:")
    assert "close to the limits of their dtype" in str(error)


# -- what is found --------------------------------------------------------------------------------------------------


def test_nans_that_nothing_shows_are_found() -> None:
    def chosen(x: Any) -> Any:
        roots = gr.sqrt(x)
        return gr.where(x > 0, roots, 0.0)

    def compared(x: Any) -> Any:
        return gr.sum(gr.log(x)) > 0

    def picked(x: Any) -> Any:
        return gr.exp(x / x)[0]

    x = np.float32([1, 2, 4])
    for function, bad in ((chosen, -1), (compared, -1), (picked, 0)):
        bound = entry_of(function, x=gr.f32["N"])
        bound(x)
        complaint(lambda bound=bound, bad=bad: bound(np.float32([1, bad, 4])))


def test_missing_values_may_be_nan_as_long_as_nothing_is_computed_of_them() -> None:
    def filled(x: Any) -> Any:
        return gr.sum(gr.where(gr.isnan(x), 1.0, x[::1]))

    x = np.float32([2, np.nan, 3])
    for kind in ("nan", "finite"):
        assert entry_of(filled, kind, x=gr.f32["N"])(x) == 6


def test_infinities_are_found_where_they_arise() -> None:
    def attention(scores: Any) -> Any:
        masked = gr.where(gr.arange(4) < 2, scores, -np.inf)
        return nn.softmax(masked * 2.0)

    def overflow(x: Any) -> Any:
        large = gr.exp(x)
        return 1 / large

    scores = np.ones((2, 4), np.float32)
    assert entry_of(attention, "finite", scores=gr.f32["N", 4])(scores)[0].tolist() == [0.5, 0.5, 0, 0]
    assert entry_of(overflow, "nan", x=gr.f32[()])(100.0) == 0
    error = complaint(lambda: entry_of(overflow, "finite", x=gr.f32[()])(100.0))
    assert line(error) == "large = gr.exp(x)" and "gives an infinity" in str(error)


def test_halves_overflow_where_they_are_rounded() -> None:
    def narrow(x: Any) -> Any:
        return gr.sum(gr.astype(x * 300, gr.f16) < 0)

    bound = entry_of(narrow, "finite", x=gr.f32["N"])
    bound(np.float32([1, 2]))
    assert "cast gives an infinity" in str(complaint(lambda: bound(np.float32([1, 300]))))


def test_loops_and_branches_are_looked_into() -> None:
    def scanned(x: Any) -> Any:
        def step(carry: Any, value: Any) -> Any:
            root = gr.sqrt(value - carry)
            return carry + 1, gr.where(root > 0, 1.0, 0.0)

        return gr.scan(step, 0.0, x)[1]

    def branched(x: Any) -> Any:
        return gr.cond(x[0] > 0, lambda: gr.log(x[1]) > 0, lambda: x[2] > 0)

    def until(x: Any) -> Any:
        return gr.while_loop(lambda c: gr.sqrt(c[0]) > 0, lambda c: (c[0] - 1, c[1] + 1), (x, 0))[1]

    for kind in ("nan", "finite"):
        rounds = entry_of(scanned, kind, x=gr.f32["T"])
        assert rounds(np.float32([3, 3, 3])).tolist() == [1, 1, 1]
        error = complaint(lambda rounds=rounds: rounds(np.float32([3, 3, 1, 9])))
        assert line(error) == "root = gr.sqrt(value - carry)" and "in round 2 of its loop" in str(error)
        either = entry_of(branched, kind, x=gr.f32[3])
        assert either(np.float32([-1, -1, 1]))
        assert "log" in str(complaint(lambda either=either: either(np.float32([1, -1, 1]))))
        rounds = entry_of(until, kind, x=gr.f32[()])
        assert rounds(3.0) == 3
        assert "sqrt" in str(complaint(lambda rounds=rounds: rounds(2.5)))  # the condition's last answer


def test_sums_over_rounds_are_looked_at_when_these_are_done() -> None:
    def last(x: Any, start: Any) -> Any:
        return gr.scan(lambda c, v: (c + gr.sqrt(v), None), start, x)[0] > 0

    def running(x: Any) -> Any:
        def step(total: Any, value: Any) -> Any:
            total = total + gr.sqrt(value)
            return total, total > 0

        return gr.scan(step, 0.0, x)[1]

    bad, none = np.float32([1, -1]), np.float32([])
    from_zero = entry_of(lambda x: last(x, 0.0), x=gr.f32["T"])
    assert "sqrt gives NaN, in round 1" in str(complaint(lambda: from_zero(bad)))
    assert not from_zero(none)
    given = entry_of(last, x=gr.f32["T"], start=gr.f32[()])
    complaint(lambda: given(bad, 1.0))
    assert not given(none, np.float32(np.nan))  # nothing is computed
    complaint(lambda: entry_of(running, x=gr.f32["T"])(bad))  # and nothing asks for the sum


def test_rounds_are_counted_anew_in_each_loop() -> None:
    def nested(x: Any) -> Any:
        def row(carry: Any, values: Any) -> Any:
            return gr.scan(lambda c, v: (c + 1, gr.cond(v < 0, lambda: gr.sqrt(v) > 0, lambda: v > 0)), carry, values)

        return gr.scan(row, 0, x)[1]

    x = np.ones((4, 5), np.float32)
    x[2, 3] = -1
    assert "in rounds 2, 3 of its loop" in str(complaint(lambda: entry_of(nested, x=gr.f32["T", 5])(x)))


# -- the state ------------------------------------------------------------------------------------------------------


def test_a_failed_call_changes_no_state() -> None:
    program = growing()
    program.step(np.float32([1, 2]))
    before = snapshot(program)
    assert before == {"weight": 4, "count": 1}
    complaint(lambda: program.step(np.float32([1, -2])))
    assert snapshot(program) == before
    program.state["weight"] = np.float32(np.inf)
    assert "sub gives NaN" in str(complaint(program.shrink))
    assert program.state["weight"] == np.inf


def test_checked_programs_compute_the_same_bits() -> None:
    x, y = RNG.standard_normal((70, 9)).astype(np.float32), RNG.integers(0, 3, 70).astype(np.int32)
    net, adam = nn.Sequential(nn.GRU(8), nn.Dropout(0.1), nn.Dense(3)), optim.Adam(1e-2)
    program = gr.Program("twice")

    @program.entry
    def train_step(x: gr.f32["N", 9], y: gr.i32["N"]):
        loss = losses.sparse_softmax_cross_entropy(net(x[:, :, None], training=True)[:, -1], y)
        adam.minimize(loss)
        return {"loss": loss}

    plain, checked = program.compile(), program.compile(check="nan")
    for shuffle in (None, 0, 12345678901234567890, True):
        means = [p.train_step.epoch(x, y, batch_size=32, shuffle=shuffle)["loss"] for p in (plain, checked)]
        assert means[0] == means[1]
    assert plain.train_step.repeat(3, x, y)["loss"] == checked.train_step.repeat(3, x, y)["loss"]
    assert snapshot(plain) == snapshot(checked)


def test_repeat_says_which_step_and_stops_before_it() -> None:
    program = growing("finite")
    error = complaint(lambda: program.step.repeat(20, np.float32([1])))
    assert str(error).startswith("step, step 6 of 20: mul gives an infinity")  # 2 → 2^64, whose square is too large
    assert snapshot(program) == {"weight": 2.0**64, "count": 6}


def test_epochs_say_which_batch_and_stop_before_it() -> None:
    x = np.ones(50, np.float32)
    x[33] = -1
    program, batches = growing(), growing()
    error = complaint(lambda: program.step.epoch(x, batch_size=8, shuffle=None))
    assert str(error).startswith("step, batch 4 of 7: log gives NaN") and "first at [1]" in str(error)
    assert snapshot(program)["count"] == 4
    program.init()
    number = int(re.findall(r"batch (\d)", str(complaint(lambda: program.step.epoch(x, batch_size=8, shuffle=3))))[0])
    assert number > 0
    batches.step.minibatches(x, batch_size=8).run(shuffle=3, count=number)
    assert snapshot(program) == snapshot(batches)
    complaint(lambda: batches.step.minibatches(x, batch_size=8).run(shuffle=3, first=number, count=1))


# -- files, options -------------------------------------------------------------------------------------------------


def test_files_have_a_code_of_their_own_and_others_none(tmp_path: Path) -> None:
    compiled = growing()
    checked = gr.load(compiled.build(tmp_path / "checked.so"))
    compiled.build(tmp_path / "plain.so", check=None)
    header = (tmp_path / "checked.h").read_text()
    assert "CHECKED_E_NUMERICS = 7" in header and "outputs hold what was computed" in header
    assert "NUMERICS" not in (tmp_path / "plain.h").read_text()
    content = (tmp_path / "plain.so").read_bytes()
    assert b"NaN" not in content and b'"check"' not in content
    assert checked.signature.check == "nan" and gr.load(tmp_path / "plain.so").signature.check is None
    checked.step(np.float32([1]))
    error = complaint(lambda: checked.step.repeat(3, np.float32([-1])))
    assert "a number became NaN on the way" in str(error) and "program.compile(check=…)" in str(error)
    assert snapshot(checked) == {"weight": 4, "count": 1}


SOURCE = """
#include "c.h"
#include <stdlib.h>

int main(void) {
    float x[4] = {1, 2, 3, 4}, mean, weight;
    void *state = aligned_alloc(C_ALIGN, C_STATE_BYTES), *workspace = aligned_alloc(C_ALIGN, 4096);
    if (c_init(state, 0) || c_step_epoch_workspace_bytes(4, 1) > 4096) return 1;
    if (c_step(state, workspace, 4096, 4, x, &mean)) return 2;
    if (c_step_repeat(state, workspace, 4096, 4, x, &mean, 20) != C_E_NUMERICS) return 3;
    if (c_export(state, "weight", &weight, sizeof weight) || weight != 18446744073709551616.f) return 4;
    x[2] = 0;
    if (c_init(state, 0) || c_step_epoch(state, workspace, 4096, x, &mean, 4, 1, UINT64_MAX, 0, 4) != C_E_NUMERICS)
        return 5;
    if (c_export(state, "weight", &weight, sizeof weight) || weight != 16) return 6;
    return c_error(C_E_NUMERICS)[0] != 'a';
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_c_sees_the_code_and_the_last_good_state(tmp_path: Path) -> None:
    library = growing("finite").build(tmp_path / "c.so")
    (tmp_path / "main.c").write_text(SOURCE)
    flags = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{tmp_path}", "-Wl,-rpath,$ORIGIN"]
    subprocess.run(["cc", *flags, tmp_path / "main.c", library, "-o", tmp_path / "main"], check=True)
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_options_are_answered() -> None:
    with pytest.raises(gr.ArgumentError, match='check="nan" looks for NaNs') as raised:
        growing("inf")
    assert line(raised.value) == "return program.compile(check=kind)"
    root = gr.jit(lambda x: gr.sqrt(x) > 0, check="nan")
    assert "sqrt" in str(complaint(lambda: root(np.float32(-1))))
    fresh = growing().new_state()
    assert line(complaint(lambda: fresh.step(np.float32([-1])))) == "logs = gr.log(x)"
