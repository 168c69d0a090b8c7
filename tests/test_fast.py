"""The fast call path: where it is taken it means what the path in Python means, and it is taken where it should be."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.errors import ArgumentError, GraphcError, IndexRangeError
from graphc.runtime import fast
from graphc.runtime.call import BoundEntry, trampoline_installed
from graphc.runtime.load import Compiled, load
from tests.test_call import ERRORS, W, X, Y, file, variants

__all__ = ["file"]
FLAT = np.array([5, 1, 1], np.float32)


@pytest.fixture
def toy(file: Path, monkeypatch: pytest.MonkeyPatch) -> Compiled:
    """A program whose entries have been called, so that the fast path is open to calls of this size."""
    monkeypatch.setattr("graphc.runtime.call.SHORT_SECONDS", float("inf"))
    toy = load(file)
    toy.predict(np.zeros((100, 3), np.float32))
    for name in ("nested", "listed", "tupled", "mapped"):
        toy.entries[name](np.zeros((100, 3), np.float32))
    toy.train_step(np.zeros((100, 3), np.float32), np.zeros(100, np.int32))
    toy.init()
    if not trampoline_installed(toy.predict):
        pytest.skip("no fast path on this interpreter")
    return toy


class Slow(Exception):
    """The path in Python was taken."""


@pytest.fixture
def only_fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Calls that leave the fast path raise `Slow`."""

    def refuse(self: BoundEntry, *args: Any, **kwargs: Any) -> Any:
        raise Slow

    with monkeypatch.context() as patch:
        patch.setattr(BoundEntry, "_call", refuse)
        yield


CALLS: dict[str, Callable[[Compiled], Any]] = {
    "array": lambda t: t.predict(X),
    "no rows": lambda t: t.predict(X[:0]),
    "dict of scalars": lambda t: t.train_step(X, Y),
    "read-only": lambda t: t.predict(np.broadcast_to(X, (1, 4, 3))[0]),
    "keyword": lambda t: t.predict(x=X),
    "keywords": lambda t: t.train_step(y=Y, x=X),
    "one keyword": lambda t: t.train_step(X, y=Y),
    "keywords and out": lambda t: t.train_step(y=Y, out={"loss": np.zeros((), np.float32)}, x=X),
    "out": lambda t: t.predict(X, out=np.empty((4, 3), np.float32)),
    "out in a dict": lambda t: t.train_step(X, Y, out={"loss": np.zeros((), np.float32)}),
    "nested": lambda t: t.nested(X),
    "list": lambda t: t.listed(X),
    "tuple": lambda t: t.tupled(X),
    "dict in another order": lambda t: t.mapped(X),
    "some out": lambda t: t.mapped(X, out={"a": np.zeros((), "f4"), "n": np.zeros((), "i8"), "b": np.zeros(1, "f4")}),
}


@pytest.mark.parametrize("name", CALLS)
def test_plain_calls_take_the_fast_path(toy: Compiled, only_fast: None, name: str) -> None:
    CALLS[name](toy)


@pytest.mark.parametrize("name", CALLS)
def test_both_paths_give_the_same(toy: Compiled, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = CALLS[name](toy)
    state = toy.state.memory.copy()
    toy.init()
    monkeypatch.setattr(BoundEntry, "__call__", lambda self, *a, **k: self._call(*a, **k))
    second = CALLS[name](toy)
    assert type(first) is type(second)
    assert (toy.state.memory == state).all()
    assert repr(first) == repr(second)
    for a, b in zip(leaves(first), leaves(second), strict=True):
        if a is None:
            continue
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (list, tuple)) else [tree]


UNUSUAL: dict[str, Callable[[Compiled], Any]] = {
    "an expression as an axis": lambda t: t.stats(FLAT),
    "out is None": lambda t: t.predict(X, out=None),
    "a dict of None": lambda t: t.train_step(X, Y, out={"loss": None}),
    "an input as output": lambda t: t.predict(x := X.copy(), out=x),
    "more rows than known to be short": lambda t: t.predict(np.zeros((101, 3), np.float32)),
    "out for a tuple": lambda t: t.tupled(X, out=(None, np.zeros(1, np.float32), None)),
    "an incomplete dict": lambda t: t.mapped(X, out={"b": np.zeros(1, np.float32)}),
    "outputs that overlap": lambda t: overlapping(t),
    "a view of the state": lambda t: t.predict(t.state.view("w").reshape(1, 3)),
    "a writer at work": lambda t: busy(t),
}


def overlapping(toy: Compiled) -> Any:
    both = np.zeros(2, np.float32)
    out = {"a": both[:1].reshape(()), "b": both[:1], "n": np.zeros((), np.int64)}
    try:
        return toy.mapped(X, out=out)
    except ArgumentError as error:
        assert "overlaps" in error.message


def busy(toy: Compiled) -> Any:
    toy.state.cell.busy = 1
    try:
        return toy.predict(X)
    finally:
        toy.state.cell.busy = 0


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_calls_are_handed_to_python(toy: Compiled, only_fast: None, name: str) -> None:
    with pytest.raises(Slow):
        UNUSUAL[name](toy)


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_calls_work(toy: Compiled, name: str) -> None:
    UNUSUAL[name](toy)


@pytest.mark.parametrize("kind", variants())
def test_any_memory_works_after_the_fast_path_opened(toy: Compiled, kind: str) -> None:
    np.testing.assert_array_equal(toy.predict(variants()[kind]), X * W)


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_those_of_the_path_in_python(toy: Compiled, case: str) -> None:
    attempt, kind, message = ERRORS[case]
    before = toy.state.memory.copy()
    with pytest.raises(kind, match=message) as caught:
        attempt(toy)
    assert (toy.state.memory == before).all()
    if isinstance(caught.value, GraphcError):
        assert caught.value.site is not None and caught.value.site.file.endswith("test_call.py")


def test_a_larger_call_opens_the_path_for_its_size(toy: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((1000, 3), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(BoundEntry, "_call", None)
        with pytest.raises(TypeError):
            toy.predict(x)
    toy.predict(x)
    assert toy.state.cell.workspace_bytes >= 64 * 1001
    monkeypatch.setattr(BoundEntry, "_call", None)
    toy.predict(x)


def test_a_long_call_does_not_open_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.runtime.call.SHORT_SECONDS", 0.0)
    toy = load(file)
    for _ in range(3):
        toy.predict(X)
    assert toy.predict._fast.descriptor.limit == 0


def test_nothing_leaks(toy: Compiled) -> None:
    out, labels = np.empty((4, 3), np.float32), Y + 90
    slot = {"loss": np.zeros((), np.float32)}
    objects = (X, Y, out, slot, slot["loss"], labels, X.dtype, np.dtype(np.float32), toy.predict)

    def work() -> None:
        for _ in range(200):
            toy.predict(X)
            toy.predict(X, out=out)
            toy.train_step(X, Y)
            toy.train_step(x=X, y=Y)
            toy.train_step(X, Y, out=slot)
            busy(toy)
            toy.nested(X), toy.listed(X), toy.tupled(X), toy.mapped(X)
            with pytest.raises(IndexRangeError):
                toy.train_step(X, labels)

    work()
    gc.collect()
    before, blocks = [sys.getrefcount(o) for o in objects], sys.getallocatedblocks()
    work()
    gc.collect()
    assert [sys.getrefcount(o) for o in objects] == before
    assert sys.getallocatedblocks() - blocks < 100


def test_programs_are_freed_without_the_collector(file: Path) -> None:
    toy = load(file)
    toy.predict(X)
    view = toy.state.memory
    gc.collect()
    gc.disable()
    try:
        before = sys.getrefcount(view)
        del toy
        assert sys.getrefcount(view) == before - 1
    finally:
        gc.enable()


def test_threads_share_an_entry(toy: Compiled) -> None:
    faults: list[BaseException] = []

    def work(rows: int) -> None:
        x = np.full((rows, 3), rows, np.float32)
        try:
            for _ in range(2000):
                assert (toy.predict(x) == x * W).all()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(rows,)) for rows in (1, 7, 33, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_plain_entries_are_described(toy: Compiled) -> None:
    predict, train_step, stats = toy.signature.entries[:3]
    assert fast.fits(predict) and fast.fits(train_step)
    assert not fast.fits(stats), "2*N + 1 is not a symbol"
    assert fast.flat_tree({"list": [1, 0]}, 2) == (fast.LIST, [], [1, 0])
    assert fast.flat_tree({"tuple": []}, 0) == (fast.TUPLE, [], [])
    assert fast.flat_tree({"none": True}, 0) is None
    for tree in ({"tuple": [0, 0]}, {"tuple": [1]}, 0, {"list": [{"list": [0]}, 1]}):
        assert fast.flat_tree(tree, 2) is None
    assert not fast.fits(replace(predict, inputs=predict.inputs * (fast.MAX_VALUES + 1)))


def test_other_layouts_are_refused(toy: Compiled) -> None:
    assert fast.layouts_hold(toy.predict, toy.predict._address)
    assert not fast.layouts_hold(toy.predict, bytes(8))
    assert not fast.layouts_hold(toy, toy.predict._address)


FRESH = """
import sys
import numpy as np
from graphc.runtime.load import load
from graphc.runtime.call import Trampoline
toy = load(sys.argv[1])
for _ in range(3):
    toy.predict(np.ones((4, 3), np.float32))
assert not {"llvmlite", "networkx"} & set(sys.modules)
print(Trampoline.installed)
"""


def test_a_process_that_only_loads_imports_no_compiler(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    run = [sys.executable, "-c", FRESH, str(file)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "False\n"
    assert fast.trampoline_path() is not None
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "True\n"
