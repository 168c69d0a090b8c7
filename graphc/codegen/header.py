"""The C header of a compiled file, from its signature: C99 and C++, `<stddef.h>` and `<stdint.h>` only."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from graphc.runtime.arguments import type_text
from graphc.runtime.signature import DTYPES, Entry, Input, Signature

C_AND_CPP = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const consteval
    constexpr constinit const_cast continue co_await co_return co_yield decltype default delete do double dynamic_cast
    else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not
    not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict return short
    signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef
    typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
#: Words that can't name a parameter in C or C++, and macros of the headers and of GNU's dialects.
KEYWORDS = frozenset((*C_AND_CPP.split(), "NULL", "SIZE_MAX", "linux", "unix"))

Parameter = tuple[str, str]
"""A C type, with the space or star that ends it, and a name."""

WORKSPACE: tuple[Parameter, ...] = (("void *", "workspace"), ("size_t ", "workspace_bytes"))
EPOCH_TAIL: tuple[Parameter, ...] = (
    ("int64_t ", "rows"), ("int64_t ", "batch"), ("uint64_t ", "seed"), ("int64_t ", "first"), ("int64_t ", "count"),
)  # fmt: skip

CODES = ("OK", "E_NULL", "E_SIZE", "E_ALIGN", "E_STATE", "E_INDEX", "E_CPU")
#: The code of programs that check their numbers.
NUMERICS = "E_NUMERICS"

CHECKED = """\
/* {macro}_E_NUMERICS: a number became {bad} on the way. The state is as before the step that failed, so in
 * loops as after the last good one; outputs hold what was computed. */
"""

TOP = """\
/* {prefix}: compiled by graphc {graphc}. The caller owns all memory; nothing here allocates, locks or keeps globals.
 * state and workspace are {macro}_ALIGN-aligned, other pointers aligned as their type; a null output is skipped.
 * Every function that returns int32_t returns {macro}_OK or an error, and an error changes nothing. */
#ifndef {macro}_H
#define {macro}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

enum {{ {codes} }};

#define {macro}_ALIGN {align}
#define {macro}_STATE_BYTES {state_bytes}
"""

COMMON = """\
/* Give every variable its initial value under a seed; checks the CPU. */
int32_t {prefix}_init(void *state, uint64_t seed);

/* Read or write one variable in logical layout (row-major, no padding); bytes is its exact size:
{variables} */
int32_t {prefix}_export(const void *state, const char *name, void *out, size_t bytes);
int32_t {prefix}_import(void *state, const char *name, const void *in, size_t bytes);

/* What this file holds, as JSON; what a status means. */
const char *{prefix}_signature(void);
const char *{prefix}_error(int32_t code);

/* Workspace that the largest entry needs at these dimensions; SIZE_MAX where one is invalid. */
size_t {prefix}_workspace_bytes({symbols});
"""

NARROW = """\
/* Floats of 16 bits are passed as their bits in uint16_t: f16 is IEEE 754's binary16 (_Float16 where there is one),
 * bf16 the upper half of a float's bits. */
"""

BOTTOM = """\
#ifdef __cplusplus
}}
#endif

#endif /* {macro}_H */
"""


def header_text(signature: Signature) -> str:
    """The header of a file with this signature."""
    macro = signature.prefix.upper()
    names = CODES if signature.check is None else (*CODES, NUMERICS)
    codes = ", ".join(f"{macro}_{code} = {i}" for i, code in enumerate(names))
    top = TOP.format(
        prefix=signature.prefix, graphc=signature.graphc, macro=macro, codes=codes, align=signature.align,
        state_bytes=signature.state_bytes,
    )  # fmt: skip
    top += "".join(f"#define {macro}_{s.name}_MAX {s.max}\n" for s in signature.symbols if s.max is not None)
    top += workspace_macros(macro, signature.entries)
    variables = "\n".join(f" *   {v.name}: {type_text(v.dtype, v.shape)}" for v in signature.state)
    common = COMMON.format(
        prefix=signature.prefix,
        variables=commented(variables) or " *   (none)",
        symbols=dims([s.name for s in signature.symbols]),
    )
    dtypes = {v.dtype for v in signature.state}
    for entry in signature.entries:
        dtypes.update([i.dtype for i in entry.inputs], [o.dtype for o in entry.outputs])
    if dtypes & {"f16", "bf16"}:
        common = f"{NARROW}\n{common}"
    if signature.check is not None:
        bad = "NaN" if signature.check == "nan" else "NaN or infinite"
        common = f"{CHECKED.format(macro=macro, bad=bad)}\n{common}"
    parts = [top, common, *(entry_text(e) for e in signature.entries), BOTTOM.format(macro=macro)]
    return "\n".join(parts)


def workspace_macros(macro: str, entries: Sequence[Entry]) -> str:
    """The workspace that suffices at all sizes: of each entry whose dimensions have a maximum, and of all entries."""
    known: dict[str, int] = {}
    bounds = [(f"{macro}_{e.name.upper()}", e.workspace_max) for e in entries]
    for name, size in bounds:
        if size is not None:
            known[name] = max(size, known.get(name, 0))
    if entries and all(size is not None for _, size in bounds):
        known[macro] = max(known.values())
    return "".join(f"#define {name}_WORKSPACE_BYTES_MAX {size}\n" for name, size in known.items())


def entry_text(entry: Entry) -> str:
    """The functions of one entry."""
    symbol = entry.symbol
    lines = [entry_comment(entry), f"size_t {symbol}_workspace_bytes({dims(entry.symbols)});"]
    lines.append(prototype(symbol, entry, entry.symbols, ()))
    if entry.repeat:
        lines.append("/* n times on the same arguments; the outputs of the last time. */")
        lines.append(prototype(f"{symbol}_repeat", entry, entry.symbols, (("int64_t ", "n"),)))
    if entry.epoch:
        kept = tuple(s for s in entry.symbols if s != entry.batch)
        lines.append(EPOCH_COMMENT)
        lines.append(f"size_t {symbol}_epoch_workspace_bytes({dims(kept, ('rows', 'batch'))});")
        lines.append(prototype(f"{symbol}_epoch", entry, kept, EPOCH_TAIL))
    return "\n".join(lines) + "\n"


EPOCH_COMMENT = """\
/* Minibatches first .. first+count-1 of an epoch over all rows, shuffled by seed (UINT64_MAX keeps the order);
 * the outputs are means over the rows of these minibatches. */"""


def entry_comment(entry: Entry) -> str:
    """What an entry takes and gives."""
    takes = ", ".join(described(i) for i in entry.inputs) or "nothing"
    gives = ", ".join(f"{o.name}: {type_text(o.dtype, o.shape)}" for o in entry.outputs) or "nothing"
    return f"/* {entry.name}: {commented(takes)} -> {commented(gives)} */"


def commented(text: str) -> str:
    """Text that can't end the comment it stands in."""
    return text.replace("*/", "* /").replace("/*", "/ *")


def described(value: Input) -> str:
    """An input's type and, for indices, its range."""
    limits = f" in {value.low}..{value.high}" if value.low is not None and value.high is not None else ""
    return f"{value.name}: {type_text(value.dtype, value.shape)}{limits}"


def prototype(name: str, entry: Entry, symbols: Sequence[str], tail: Sequence[Parameter]) -> str:
    """An entry function's declaration: state, workspace, dimensions, inputs, outputs, and what its loop takes.

    The state is const if and only if the entry writes none of it.
    """
    head = [("const void *" if entry.pure else "void *", "state"), *WORKSPACE]
    middle = [("int64_t ", s) for s in symbols]
    middle += [(f"const {DTYPES[i.dtype][1]} *", i.name) for i in entry.inputs]
    middle += [(f"{DTYPES[o.dtype][1]} *", o.name) for o in entry.outputs]
    parameters = [*written(head), *named_apart(middle, (*head, *tail)), *written(tail)]
    text = f"int32_t {name}({', '.join(p.replace(' ', GLUE) for p in parameters)});"
    lines = textwrap.wrap(text, 120, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(GLUE, " ")


#: Stands for the spaces within a parameter, where no line may break.
GLUE = "\u00a0"


def dims(symbols: Iterable[str], tail: Sequence[str] = ()) -> str:
    """A parameter list of dimensions only."""
    last = [("int64_t ", name) for name in tail]
    return ", ".join([*named_apart([("int64_t ", s) for s in symbols], last), *written(last)]) or "void"


def written(parameters: Iterable[Parameter]) -> list[str]:
    """Parameters as C has them."""
    return [type_ + name for type_, name in parameters]


def named_apart(parameters: Iterable[Parameter], others: Iterable[Parameter]) -> list[str]:
    """Parameters under C identifiers like their names, which neither one another nor `others` have."""
    taken = {name for _, name in others}
    result = []
    for type_, name in parameters:
        identifier = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "value"
        if identifier[0].isdigit():
            identifier = f"value_{identifier}"
        while identifier in taken or identifier in KEYWORDS:
            identifier += "_"
        taken.add(identifier)
        result.append(type_ + identifier)
    return result
