"""`Program`: entries over one state, compiled together."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from graphc.errors import ArgumentError, Operand, TraceError
from graphc.frontend.names import Names
from graphc.frontend.random import counter
from graphc.frontend.recording import Recording
from graphc.frontend.signature import argument_types, caller_locals, expect_function, site_of
from graphc.ir.node import Array
from graphc.sites import user_site
from graphc.suggest import answering, answering_methods, missing_attribute

if TYPE_CHECKING:
    from graphc.frontend.trace import TracedProgram
    from graphc.runtime.load import Compiled


#: Names that a compiled program, in Python or in C, has already.
RESERVED = frozenset(
    ("build", "error", "export", "import", "init", "new_state", "path", "restore", "save", "signature", "state",
     "workspace_bytes",
     # Under an uppercase prefix: macros and enumerators.
     "ALIGN", "H", "OK", "STATE_BYTES", "E_NULL", "E_SIZE", "E_ALIGN", "E_STATE", "E_INDEX", "E_CPU", "E_NUMERICS")
)  # fmt: skip
#: What the C functions made for an entry add to its name.
SUFFIXES = ("_repeat", "_epoch", "_workspace_bytes", "_epoch_workspace_bytes")


class Entry:
    """A function of a Program: traced once, compiled with the others; inside a trace a call inlines it."""

    def __init__(self, program: Program, function: Callable[..., Any], given: Mapping[str, Any]):
        expect_function("program.entry", function)
        self.program, self.function = program, function
        self.name: str = function.__name__
        self.site = site_of(function)
        self.types = argument_types(function, given, caller_locals())
        update_wrapper(self, function)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if Recording.active.get() is None:
            raise TraceError(
                f"the entry {self.name} is called outside a trace",
                operands=[Operand("entry", self.name, self.site)],
                site=user_site(),
                help=f"compile the program first: compiled = program.compile(); compiled.{self.name}(…)",
            )
        return self.function(*args, **options)

    def values(self, *args: Any, state: Mapping[str, Array] | None = None, **options: Any) -> dict[str, Array]:
        """What `gr.tap` names in it, by name, on some arguments and a state (by name; that of seed 0 by default).

        It is compiled when it is first asked for. The state stays as it is.
        """
        from graphc.frontend.probe import probe, tapped

        found: dict[str, Array] = probe(self, tapped, args, options, state)
        return found

    def __repr__(self) -> str:
        return f"<entry {self.name}{inspect.signature(self.function)} of {self.program.name}>"


#: Where a training step is made.
STEP = "an entry says how to train; train.supervised(net, x, y, loss=…, optimizer=…) writes the usual ones"
#: What programs of other libraries do themselves.
ALTERNATIVES = {
    "fit": "train.fit(program.compile(), (x, y))",
    "evaluate": "train.evaluate(program.compile(), (x, y))",
    "predict": "an entry: a function under @program.entry, which the compiled program has",
    **dict.fromkeys(("state", "save", "restore", "init"), "state belongs to the compiled program: program.compile()"),
}


@answering_methods
class Program:
    """Entries that share state. Names in the state are unique to a Program and do not depend on other Programs."""

    def __init__(self, name: str = "program"):
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise ArgumentError(
                f"{name!r} can't name a Program", site=user_site(), help="it prefixes C symbols: letters, digits and _"
            )
        self.name = name
        self.entries: dict[str, Entry] = {}
        self.names = Names()
        self.counter = counter()
        self._traced: TracedProgram | None = None

    if not TYPE_CHECKING:  # type checkers know what a Program has

        def __getattr__(self, name: str) -> Any:
            theirs = {n: f"compiled = program.compile(); compiled.{n}(…)" for n in self.__dict__.get("entries", ())}
            raise missing_attribute(self, name, ALTERNATIVES | theirs)

    @overload
    def entry(self, function: Callable[..., Any], /) -> Entry: ...
    @overload
    def entry(self, /, **types: Any) -> Callable[[Callable[..., Any]], Entry]: ...
    def entry(self, function: Callable[..., Any] | None = None, /, **types: Any) -> Any:
        """Make a function an entry: its arguments' types are annotations, or given here by name."""
        if function is None:
            return lambda decorated: self._add(decorated, types)
        return self._add(function, types)

    def _add(self, function: Callable[..., Any], types: Mapping[str, Any]) -> Entry:
        entry = Entry(self, function, types)
        expect_free(entry, self)
        self.entries[entry.name] = entry
        self._traced = None
        return entry

    def trace(self) -> TracedProgram:
        """The Program as graphs; traced once."""
        if self._traced is None:
            from graphc.frontend.trace import trace

            self._traced = trace(self)
        return self._traced

    @answering("program.compile(), with keywords only", **dict.fromkeys(("optimizer", "loss", "metrics"), STEP))
    def compile(
        self,
        *,
        threads: int = 1,
        cpu: str = "native",
        check: str | None = None,
        exact_across_cpus: bool = False,
        tune: bool = False,
        cast: Literal["same_kind"] | None = None,
        activation_memory_budget: float | None = None,
    ) -> Compiled:
        """Machine code in this process, with a state of its own initialised as by `init(seed=0)`.

        `activation_memory_budget` limits what entries keep in their workspace for later, in bytes (an int) or as a
        part, 0.0 to 1.0, of what they would keep: what exceeds it is computed again where that is cheap.

        With `check="nan"` a call in which a float becomes NaN raises `NumericsError`, which names the operation and
        its line; the state is as before. `check="finite"` looks for infinities too, where no operand held one.

        With `exact_across_cpus=True` the results, random numbers included, are the same to the bit on every CPU; the
        code uses no fused multiply-add, and no vectors wider than 32 bytes.
        """
        from graphc.compile import compile_program
        from graphc.frontend.trace import collector_paused

        with collector_paused():
            compiled = compile_program(
                self.trace(),
                threads=threads,
                cpu=cpu,
                check=check,
                exact_across_cpus=exact_across_cpus,
                tune=tune,
                cast=cast,
                activation_memory_budget=activation_memory_budget,
            )
        for name, bound in compiled.entries.items():
            bound.origin = self.entries[name]
        return compiled

    def build(
        self,
        path: str | os.PathLike[str],
        *,
        target: str | None = None,
        cpu: str = "native",
        linker: str = "auto",
        prefix: str | None = None,
        entries: list[str] | None = None,
        check: str | None = None,
        exact_across_cpus: bool = False,
        activation_memory_budget: float | None = None,
    ) -> Path:
        """Write a shared object (`.so`), an object (`.o`) or a static library (`.a`), and its C header.

        With `check`, which is that of `compile`, its functions have one more error code; `exact_across_cpus` is that of
        `compile` too.
        """
        from graphc.compile import build_program

        return build_program(
            self.trace(),
            path,
            target=target,
            cpu=cpu,
            linker=linker,
            prefix=prefix,
            entries=entries,
            check=check,
            exact_across_cpus=exact_across_cpus,
            activation_memory_budget=activation_memory_budget,
        )


def expect_free(entry: Entry, program: Program) -> None:
    """Raise `ArgumentError` where an entry's name is taken: by another, by what is made for it, or by graphc."""
    name = entry.name
    if not name.isidentifier() or not name.isascii() or name in RESERVED or name.startswith("_"):
        raise ArgumentError(
            f"an entry can't be named {name}",
            site=entry.site,
            help="compiled programs use the name themselves, or C can't; rename the function",
        )
    for other in program.entries.values():
        if name == other.name or any(name == other.name + s or other.name == name + s for s in SUFFIXES):
            raise ArgumentError(
                f"the Program {program.name} has two entries named {name}"
                if name == other.name
                else f"the entries {other.name} and {name} make C functions of one name",
                operands=[Operand("first", other.name, other.site)],
                site=entry.site,
                help="rename one of them",
            )
