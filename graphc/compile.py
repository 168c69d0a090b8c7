"""The straight line: from a traced program to machine code in this process, or to a file.

    trace     Python             -> Graph          frontend   forward, gradients and updates as one pure graph an entry
    optimise  Graph              -> Graph          passes     simplified, verified after every pass
    lay_out   Variables          -> StateLayout    schedule   one place and packing for each, shared by all entries
    schedule  Graph              -> EntrySchedule  schedule   fused groups -> kernels (loop IR), in order; the arena
    emit      schedules          -> LLVM text      codegen    vector code, the C ABI around it
    object    LLVM text          -> ELF object     codegen    LLVM's code generator
    link      object             -> shared object  codegen    graphc's own linker
    load      shared object      -> Compiled       runtime    dlopen; the same for compile(), build() and gr.load()

The cache key is taken from the traced graphs, before any pass: a warm start goes from `trace` straight to `load`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from graphc import config, version
from graphc.errors import ArgumentError, NumericsError, UnsupportedError
from graphc.frontend.printing import print_all
from graphc.frontend.trace import TracedEntry, TracedProgram, collector_paused, silent
from graphc.ir.text import print_graph, segments
from graphc.records import Record
from graphc.runtime import signature as sig
from graphc.runtime import targets
from graphc.runtime.arguments import Array, Cast
from graphc.runtime.artifact import open_artifact
from graphc.runtime.cache import Cache, key_of
from graphc.runtime.files import expect_path
from graphc.runtime.load import Compiled
from graphc.runtime.targets import Target
from graphc.sites import user_site

if TYPE_CHECKING:
    from graphc.codegen.program import EmittedProgram


class Options(Record):
    """What changes the code of a program."""

    prefix: str
    target: Target
    budget: float | None = None  # of the memory that activations take: bytes (int), or a part (float)
    check: sig.Numerics | None = None  # what the code looks for in its own numbers

    def key(self) -> str:
        """The part of the cache key that options make: features, never the CPU's name."""
        target = f"{self.target.triple};{self.target.feature_text};{self.target.vector_bytes};{self.target.fma}"
        return f"{self.prefix};{target};{self.budget!r};{self.check}"


@collector_paused()
def compile_program(
    program: TracedProgram,
    *,
    threads: int = 1,
    cpu: str = "native",
    check: str | None = None,
    exact_across_cpus: bool = False,
    tune: bool = False,
    cast: Cast = None,
    activation_memory_budget: float | None = None,
) -> Compiled:
    """Machine code in this process, from the cache where it holds the program, with its state at `init(seed=0)`."""
    refuse_unsupported(threads=threads != 1, tune=tune)
    budget, numerics = checked_budget(activation_memory_budget), checked_kind(check)
    options = Options(c_prefix(program.name), target_of(cpu, exact_across_cpus), budget, numerics)
    cache, key = Cache(), program_key(program, options)
    known = None if config.dump_directory() else cache.get(key)
    path = known or cache.put(key, shared_object(program, options))
    compiled = Compiled(open_artifact(path), cast=cast)
    compiled.builder = partial(
        build_program, program, cpu=cpu, check=check, exact_across_cpus=exact_across_cpus,
        activation_memory_budget=budget,
    )  # fmt: skip
    for entry in program.entries:
        bound = compiled.entries[entry.name]
        bound.explain = partial(explain, entry, numerics) if numerics is not None else None
        bound.printer = partial(print_all, entry.prints) if entry.prints else None
    return compiled


def explain(
    entry: TracedEntry, kind: sig.Numerics, inputs: Sequence[Array], state: Mapping[str, Array], where: str
) -> NumericsError:
    """The error of a step in which a number went bad: it is looked for where it is wanted, by the interpreter."""
    from graphc.numerics import first_bad

    return first_bad(entry, kind, inputs, state, where)


@collector_paused()
def build_program(
    program: TracedProgram,
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    cpu: str = "native",
    linker: str = "auto",
    prefix: str | None = None,
    entries: Sequence[str] | None = None,
    image: Mapping[str, Array] | None = None,
    check: str | None = None,
    exact_across_cpus: bool = False,
    activation_memory_budget: float | None = None,
) -> Path:
    """Write `path` (`.so`, `.o` or `.a`) and the header beside it; `image` is the state that its `init` gives,
    by name: what lies where may differ from one program to another.

    Without an image, initial values are drawn under the seed that `init` is called with. Returns the path. Raises
    `TargetError` for another kind of file, an unknown linker or CPU, `BuildError` where it can't be written.
    """
    from graphc.codegen.header import header_text
    from graphc.codegen.object import emit_object
    from graphc.codegen.outputs import expect_output, write_file, write_output
    from graphc.interface import with_entries

    refuse_unsupported(target=target is not None)
    place = expect_path(path)
    expect_output(place, linker)
    budget, numerics = checked_budget(activation_memory_budget), checked_kind(check)
    name = c_prefix(place.stem if prefix is None else prefix)
    options = Options(name, target_of(cpu, exact_across_cpus), budget, numerics)
    quiet = replace(program, entries=tuple(silent(e) for e in program.entries))
    chosen = quiet if entries is None else with_entries(quiet, entries)
    emitted, signature = emit_program(chosen, options, image)
    write_output(emit_object(emitted.text, options.target), emitted.exports, place, linker)
    write_file(place.with_suffix(".h"), header_text(signature).encode())
    return place


def target_of(cpu: str, exact: bool) -> Target:
    """The CPU to emit for; where bits are to be the same on all of them, as one of them that all can be."""
    target = targets.target(cpu)
    return targets.exact(target) if exact else target


def shared_object(program: TracedProgram, options: Options) -> bytes:
    """The linked file, as bytes."""
    from graphc.codegen.object import emit_object
    from graphc.codegen.outputs import link

    emitted, _ = emit_program(program, options, image=None)
    return link(emit_object(emitted.text, options.target), emitted.exports, f"{options.prefix}.so")


def emit_program(
    program: TracedProgram, options: Options, image: Mapping[str, Array] | None
) -> tuple[EmittedProgram, sig.Signature]:
    """Everything between the traced graphs and LLVM's text."""
    from graphc.codegen.program import ScheduledProgram, emit
    from graphc.interface import describe, entry_abi
    from graphc.passes.pipeline import PIPELINE, checking, optimise
    from graphc.schedule.epoch import EPOCH_COUNTER, runs_epochs
    from graphc.schedule.layout import lay_out, panels_for, state_image
    from graphc.schedule.memory import most_bytes
    from graphc.schedule.program import schedule_entry

    pipeline = PIPELINE if options.check is None else checking(options.check)
    graphs = [optimise(entry.graph, pipeline=pipeline, budget=options.budget) for entry in program.entries]
    variables = [(v.name, v.type, v.trainable) for v in program.variables]
    if any(not e.pure and runs_epochs(*e.graph.interface(), e.batch) for e in program.entries):
        variables.append(EPOCH_COUNTER)
    layout = lay_out(variables, panels_for(graphs, {v.name: v.like for v in program.variables}))
    flagged = options.check is not None
    schedules = [schedule_entry(graph, layout.buffers, options.target, flagged) for graph in graphs]
    initial = schedule_entry(optimise(program.initial()), layout.buffers, options.target)
    layout = layout.drawn_in(most_bytes(initial.arena) or 0)
    abis = [entry_abi(e, s, options.prefix) for e, s in zip(program.entries, schedules, strict=True)]
    signature = describe(program, abis, layout, options.prefix, options.target, options.check)
    content = None if image is None else state_image(layout, image)
    emitted = emit(ScheduledProgram(tuple(abis), layout, initial, content, signature), options.target)
    if folder := config.dump_directory():
        from graphc.codegen.dump import dump_code

        dump_code(folder, emitted.text, [*schedules, initial], layout, options.target)
    return emitted, signature


def program_key(program: TracedProgram, options: Options) -> str:
    """The cache key: traced graphs with their constants, signatures, options, passes left out and versions."""
    parts: list[str | bytes] = [version.VERSION, version.FINGERPRINT, str(sig.ABI), options.key(), program.name]
    parts.append(",".join(sorted(config.skipped_passes())))
    for entry in program.entries:
        checks = [(c.size, c.minimum, c.message) for c in entry.checks]
        interface = (entry.name, entry.inputs, entry.outputs, entry.tree, entry.batch, checks)
        parts += [repr(interface), print_graph(entry.graph, sites=False), *segments(entry.graph)]
    parts.append(repr([(v.name, v.trainable, v.like) for v in program.variables]))
    recipes = program.recipes()
    if recipes is None:
        initial = program.initial()
        recipes = [print_graph(initial, sites=False), *segments(initial)]
    return key_of(*parts, *recipes)


def c_prefix(name: str) -> str:
    """A name that may start C identifiers. Raises `ArgumentError` where it can't."""
    if isinstance(name, str) and name.isascii() and name.isidentifier():
        return name
    raise ArgumentError(
        f"{name!r} can't be the prefix of C functions", site=user_site(), help="use letters, digits and underscores"
    )


def checked_budget(budget: float | None) -> float | None:
    """A budget of memory: bytes, or a part of what is used without one. Raises `ArgumentError` for what is neither."""
    number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
    if budget is None or (number and 0 <= budget <= (math.inf if isinstance(budget, int) else 1.0)):
        return budget
    raise ArgumentError(
        f"activation_memory_budget={budget!r}",
        site=user_site(),
        help="give bytes as an int, or a part of what is used otherwise as a float from 0.0 to 1.0",
    )


def checked_kind(check: str | None) -> sig.Numerics | None:
    """What a program looks for in its own numbers. Raises `ArgumentError` for what is none of it."""
    if check is None or check in get_args(sig.Numerics):
        return cast(sig.Numerics | None, check)
    raise ArgumentError(
        f"check={check!r}",
        site=user_site(),
        help='check="nan" looks for NaNs, check="finite" for infinities too',
    )


def refuse_unsupported(**options: bool) -> None:
    """Raise `UnsupportedError` for options that this version does not have."""
    for name, given in options.items():
        if given:
            raise UnsupportedError(
                f"the option {name} is not there yet", site=user_site(), help=f"leave {name} at its default"
            )
