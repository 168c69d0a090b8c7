"""The C ABI under malformed calls: an error code that changes nothing, or a correct result; never a crash.

Every buffer lies flush with a guard page, so that reading or writing a byte beside it ends the test.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from graphc.ir.node import Array
from graphc.runtime.load import Compiled
from graphc.runtime.status import Status
from tests.compiled import Allocator, aligned, copied
from tests.guards import GuardedMemory
from tests.programs import CLASSES, classifier, data

CALLS = 10_000
ROWS = 40
INT64 = (-(2**63), 2**63 - 1)


@dataclass
class Call:
    """The arguments of one C function, by name, in order."""

    function: Callable[..., int]
    arguments: dict[str, int]

    def __call__(self) -> int:
        return self.function(*(ctypes.c_char_p(v) if k == "name" else v for k, v in self.arguments.items()))


Mutation = Callable[[np.random.Generator, Call], None]


class Callee:
    """A compiled program with a state, a workspace for each function, arguments, all in memory that `memory` gives."""

    def __init__(self, program: Compiled, memory: Allocator):
        self.artifact = artifact = program._artifact
        self.train, self.predict = (program.entries[n].entry for n in ("train_step", "predict"))
        x, y = data(ROWS)
        self.x, self.y = copied(memory, x), copied(memory, y)
        self.loss = copied(memory, np.zeros((), np.float32))
        self.out = copied(memory, np.zeros((ROWS, CLASSES), np.float32))
        self.state = memory(program.signature.state_bytes)
        assert artifact.init(at(self.state), 1) == Status.OK
        self.sizes = {
            "predict": artifact.workspace(self.predict)(ROWS),
            "train_step": artifact.workspace(self.train)(ROWS),
            "epoch": artifact.epoch_workspace(self.train)(ROWS, 16),
        }
        self.workspaces = {n: memory(size) for n, size in self.sizes.items()}

    def calls(self) -> dict[str, Call]:
        """A valid call of each function."""
        x, y, loss, out = at(self.x), at(self.y), at(self.loss), at(self.out)
        step = {**self.head("train_step"), "N": ROWS, "x": x, "y": y, "loss": loss}
        epoch = {**self.head("epoch"), "x": x, "y": y, "loss": loss}
        tail = {"rows": ROWS, "batch": 16, "seed": 3, "first": 0, "count": 3}
        return {
            "predict": Call(self.artifact.entry(self.predict), {**self.head("predict"), "N": ROWS, "x": x, "out": out}),
            "train_step": Call(self.artifact.entry(self.train), dict(step)),
            "repeat": Call(self.artifact.repeat(self.train), {**step, "n": 2}),
            "epoch": Call(self.artifact.epoch(self.train), {**epoch, **tail}),
        }

    def head(self, name: str) -> dict[str, int]:
        return {"state": at(self.state), "workspace": at(self.workspaces[name]), "bytes": self.sizes[name]}

    def snapshot(self) -> list[bytes]:
        """Everything a call may write that its caller owns."""
        return [a.tobytes() for a in (self.state, self.loss, self.out, self.x, self.y)]


def at(array: Array) -> int:
    return int(array.ctypes.data)


def setting(name: str, *values: int) -> Mutation:
    """Give an argument one of some values."""
    return lambda rng, call: call.arguments.update({name: int(rng.choice(np.array(values, object)))})


def moving(name: str, *distances: int) -> Mutation:
    """Move a pointer."""
    return lambda rng, call: call.arguments.update({name: call.arguments[name] + int(rng.choice(distances))})


Mutations = tuple[tuple[str, Mutation], ...]

#: What makes a call invalid, whatever else is done to it: the argument, and what happens to it.
FAULTS: Mutations = (
    *((name, setting(name, 0)) for name in ("state", "workspace", "x", "y")),
    *((name, moving(name, 1, 4, 8, 32, 63)) for name in ("state", "workspace")),
    *((name, moving(name, 1, 2, 3, -1)) for name in ("x", "y", "loss", "out")),
    ("bytes", setting("bytes", 0, 1, 63, 64, 128)),
    ("N", setting("N", -1, *INT64, 1 << 31, 1 << 40, 1 << 58, 1 << 62, ROWS + 1, 0xFFFFFFFF, -ROWS)),
    ("n", setting("n", 0, -1, INT64[0])),
    ("rows", setting("rows", 0, -1, (1 << 48) + 1, 1 << 62, *INT64)),
    ("batch", setting("batch", 0, -1, -16, INT64[0])),
    ("first", setting("first", -1, 4, 1 << 40, *INT64)),
    ("count", setting("count", -1, 4, 1 << 40, *INT64)),
)

#: What leaves it valid.
VARIATIONS: Mutations = (
    ("N", setting("N", 1, 2, 15, 16, 17, 31, 33, ROWS)),
    *((name, setting(name, 0)) for name in ("loss", "out")),
    ("n", setting("n", 1, 3)),
    ("seed", setting("seed", 0, 7, (1 << 64) - 1)),
    ("count", setting("count", 0, 1, 2)),
)

POINTERS = ("state", "workspace", "x", "y", "loss", "out")


def mutate(rng: np.random.Generator, call: Call, mutations: Mutations, count: int) -> int:
    """Apply so many mutations that concern the call; how many there were."""
    fitting = [m for name, m in mutations if name in call.arguments]
    for i in rng.permutation(len(fitting))[:count]:
        fitting[i](rng, call)
    return min(count, len(fitting))


def spoil_header(rng: np.random.Generator, callee: Callee) -> None:
    """A state of another program, or one that was cut off."""
    if rng.random() < 0.5:
        callee.state[rng.integers(24)] ^= 1 << int(rng.integers(8))
    else:
        callee.state[int(rng.integers(23)) :] = 0


def spoil_label(rng: np.random.Generator, callee: Callee) -> None:
    """A class that there is not."""
    callee.y[0] = rng.choice([-1, CLASSES, -(2**31), 2**31 - 1])


@pytest.fixture(scope="module", params=["native", "x86-64-v3"])
def program(request: pytest.FixtureRequest) -> Compiled:
    return classifier().compile(cpu=request.param)


@pytest.mark.parametrize("at_start", [False, True], ids=["end", "start"])
def test_malformed_calls_change_nothing_and_others_are_right(program: Compiled, at_start: bool) -> None:
    rng = np.random.default_rng(2)
    memory = GuardedMemory(at_start)
    callee, twin = Callee(program, memory), Callee(program, aligned)
    codes: dict[int, int] = {}
    for _ in range(CALLS // 4):
        name = str(rng.choice(["predict", "train_step", "repeat", "epoch"]))
        call, same = callee.calls()[name], twin.calls()[name]
        mutate(rng, call, VARIATIONS, int(rng.integers(3)))
        for key, value in call.arguments.items():
            if key not in POINTERS or value == 0:
                same.arguments[key] = value
        invalid, whole, labels = (
            mutate(rng, call, FAULTS, int(rng.integers(3))) > 0,
            callee.state.copy(),
            callee.y.copy(),
        )
        if rng.random() < 0.1:
            spoil_header(rng, callee)
            invalid = True
        elif rng.random() < 0.1 and "y" in call.arguments:
            spoil_label(rng, callee)
            invalid = True
        before = callee.snapshot()
        code = call()
        codes[code] = codes.get(code, 0) + 1
        if invalid:
            assert code in tuple(Status)[1:], (name, call.arguments)
            assert callee.snapshot() == before, (name, call.arguments, code)
            callee.state[:], callee.y[:] = whole, labels
        else:
            assert code == Status.OK, (name, call.arguments)
            assert same() == Status.OK
            assert callee.snapshot() == twin.snapshot(), (name, call.arguments)
    assert set(codes) == {Status.OK, Status.NULL, Status.SIZE, Status.ALIGN, Status.STATE, Status.INDEX}
    assert codes[Status.OK] > CALLS // 40


def test_malformed_transfers_change_nothing(program: Compiled) -> None:
    rng = np.random.default_rng(3)
    memory = GuardedMemory()
    callee = Callee(program, memory)
    names = [v.name for v in program.signature.state]
    sizes = {v.name: program.state[v.name].nbytes for v in program.signature.state}
    for _ in range(CALLS // 10):
        name = str(rng.choice(names))
        image = memory(sizes[name])
        text = copied(memory, np.frombuffer(name.encode() + b"\0", np.uint8))
        call = Call(
            getattr(callee.artifact, str(rng.choice(["export", "import_"]))),
            {"state": at(callee.state), "name": at(text), "image": at(image), "bytes": image.nbytes},
        )
        spoiled = rng.random() < 0.2
        whole = callee.state.copy()
        if spoiled:
            spoil_header(rng, callee)
        invalid = spoiled or mutate(rng, call, TRANSFER_FAULTS, int(rng.integers(2))) > 0
        if rng.random() < 0.3:
            text[rng.integers(len(text) - 1)] ^= 1
            invalid = True
        before = callee.snapshot(), image.tobytes()
        code = call()
        if invalid:
            assert code in tuple(Status)[1:] and (callee.snapshot(), image.tobytes()) == before, call.arguments
        else:
            assert code == Status.OK, (name, call.arguments)
        callee.state[:] = whole


TRANSFER_FAULTS: Mutations = (
    *((name, setting(name, 0)) for name in ("state", "name", "image")),
    ("state", moving("state", 1, 8, 32)),
    ("bytes", setting("bytes", 0, 1, 1 << 40, (1 << 64) - 1)),
)


def test_init_takes_aligned_pointers_only(program: Compiled) -> None:
    callee = Callee(program, GuardedMemory())
    before = callee.snapshot()
    assert callee.artifact.init(0, 0) == Status.NULL
    assert callee.artifact.init(at(callee.state) + 8, 0) == Status.ALIGN
    assert callee.snapshot() == before


def test_workspace_sizes_are_monotone_and_say_what_is_invalid(program: Compiled) -> None:
    artifact = program._artifact
    everything = artifact.function(f"{program.signature.prefix}_workspace_bytes", [ctypes.c_int64], ctypes.c_size_t)
    for entry in program.signature.entries:
        need = artifact.workspace(entry)
        sizes = [need(n) for n in range(130)]
        assert sizes == sorted(sizes) and all(size % 64 == 0 for size in sizes)
        assert [need(n) for n in (-1, *INT64, 1 << 58)] == [(1 << 64) - 1] * 4
        assert everything(33) >= sizes[33]
    assert everything(-1) == (1 << 64) - 1
