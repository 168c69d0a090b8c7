"""What a compiled file says of itself: entries, types, state layout; dataclasses, and JSON as the file holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal, TypeAlias

from graphc.errors import BuildError
from graphc.records import Record
from graphc.runtime.dims import Dim
from graphc.runtime.tree import Tree, count
from graphc.sites import user_site

#: The version of the C ABI and of this description; a file of another one is refused.
ABI = 1
#: The first eight bytes of every state buffer, "graphc" and two bytes that break text transfers.
STATE_MAGIC = int.from_bytes(b"graphc\r\n", "little")
#: Bytes of the state's header: magic u64, ABI u32, reserved u32, layout hash u64, zeros.
STATE_HEADER_BYTES = 64
#: Alignment of state, workspace and every variable, in bytes.
ALIGN = 64

#: What a program may look for in its own numbers: NaNs, or infinities too.
Numerics: TypeAlias = Literal["nan", "finite"]

#: graphc's element types: NumPy's name, C's name, bytes.
DTYPES: dict[str, tuple[str, str, int]] = {
    "f32": ("float32", "float", 4),
    "f64": ("float64", "double", 8),
    "f16": ("float16", "uint16_t", 2),
    "bf16": ("bfloat16", "uint16_t", 2),
    "i32": ("int32", "int32_t", 4),
    "i64": ("int64", "int64_t", 8),
    "u8": ("uint8", "uint8_t", 1),
    "bool": ("bool", "uint8_t", 1),
    "u32": ("uint32", "uint32_t", 4),
    "u64": ("uint64", "uint64_t", 8),
}


class Symbol(Record):
    """A symbolic dimension and the values it may take."""

    name: str
    min: int = 0
    max: int | None = None
    multiple_of: int = 1


class Layout(Record):
    """How a variable lies in the state: `row` major, or `panel`s of `width` columns.

    In panels a matrix [R, C] is ceil(C/width) blocks of R×width, element (r, c) at
    (c // width)·R·width + r·width + c % width; the padding is zero.
    """

    kind: str = "row"
    width: int = 0


class StateVariable(Record):
    """A variable: logical dtype and shape, and where and how it lies in the state (`bytes` with padding)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int
    layout: Layout = Layout()
    trainable: bool = False


class Input(Record):
    """An argument; `low` and `high` (inclusive) are the index range that the code checks."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    low: int | None = None
    high: int | None = None


class Output(Record):
    """A result."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]


class Check(Record):
    """What an entry asks of its dimensions: `size` is at least `minimum`; `reason` says what needs it."""

    size: Dim
    minimum: int
    reason: str


class Entry(Record):
    """An entry point: C symbol, its dimension arguments in order, inputs, outputs and their structure.

    `pure` entries write no state; `repeat` and `epoch` say that the loops of that name are exported too; `batch` is
    the symbol that minibatches run over. `workspace_max` is the workspace that suffices at all sizes, if they have
    bounds (that of an epoch depends on its rows too).
    """

    name: str
    symbol: str
    pure: bool
    symbols: tuple[str, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    tree: Tree
    batch: str | None = None
    repeat: bool = False
    epoch: bool = False
    checks: tuple[Check, ...] = ()
    workspace_max: int | None = None

    @cached_property
    def returned(self) -> tuple[Output, ...]:
        """The outputs that a call returns; those after them are printed."""
        return self.outputs[: count(self.tree)]


class Signature(Record):
    """Everything that is needed to call a file. Without checks its text does not speak of them."""

    prefix: str
    state_bytes: int
    layout_hash: str
    symbols: tuple[Symbol, ...]
    state: tuple[StateVariable, ...]
    entries: tuple[Entry, ...]
    features: tuple[str, ...] = ()
    graphc: str = "0.1.0"
    abi: int = ABI
    align: int = ALIGN
    check: Numerics | None = None  # what the code looks for in its own numbers

    @cached_property
    def by_symbol(self) -> Mapping[str, Symbol]:
        """The symbols by name."""
        return {s.name: s for s in self.symbols}

    @cached_property
    def by_variable(self) -> Mapping[str, StateVariable]:
        """The variables by name, in order."""
        return {v.name: v for v in self.state}

    def to_json(self) -> str:
        """The text that the file holds: compact, keys sorted, so that equal programs make equal files."""
        record = asdict(self)
        if self.check is None:
            del record["check"]
        return json.dumps(record, separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_json(text: str | bytes) -> Signature:
        """Read the text of a file; `BuildError` for another ABI version or something that is not a signature."""
        try:
            record = json.loads(text)
            abi = record["abi"]
        except (ValueError, KeyError, TypeError):
            raise BuildError("the file's signature can't be read", site=user_site(), help="build it again") from None
        if abi != ABI:
            raise BuildError(
                f"the file has ABI version {abi}, this graphc knows {ABI}",
                site=user_site(),
                help=f"build it again, or load it with graphc {record.get('graphc', 'of that version')}",
            )
        try:
            return signature_of(record)
        except (KeyError, TypeError) as error:
            message = f"the file's signature lacks or misspells {error}"
            raise BuildError(message, site=user_site(), help="build it again") from None


def signature_of(record: Mapping[str, Any]) -> Signature:
    """A signature from its JSON record."""
    parts = {
        "symbols": tuple(Symbol(**s) for s in record["symbols"]),
        "state": tuple(variable_of(v) for v in record["state"]),
        "entries": tuple(entry_of(e) for e in record["entries"]),
        "features": tuple(record["features"]),
    }
    return Signature(**{**record, **parts})


def variable_of(record: Mapping[str, Any]) -> StateVariable:
    """A state variable from its JSON record."""
    return StateVariable(**{**record, "shape": tuple(record["shape"]), "layout": Layout(**record["layout"])})


def entry_of(record: Mapping[str, Any]) -> Entry:
    """An entry from its JSON record."""
    parts = {
        "symbols": tuple(record["symbols"]),
        "inputs": tuple(Input(**{**i, "shape": tuple(i["shape"])}) for i in record["inputs"]),
        "outputs": tuple(Output(**{**o, "shape": tuple(o["shape"])}) for o in record["outputs"]),
        "checks": tuple(Check(**c) for c in record["checks"]),
    }
    return Entry(**{**record, **parts})
