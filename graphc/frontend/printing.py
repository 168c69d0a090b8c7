"""`gr.debug_print`: values printed from inside an entry, after each of its calls.

Compiled code makes no system call: what is to be printed is one more result of the call, which Python prints. Files
that are built leave it out.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.errors import ArgumentError
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import Print, current, describe
from graphc.frontend.size import SymbolicSize
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.ir.dim import typical
from graphc.ir.node import Array, Node
from graphc.runtime.tree import unflatten
from graphc.sites import user_site

if TYPE_CHECKING:
    from graphc.frontend.values import Values

EXAMPLE = 'gr.debug_print("loss {:.3f} at {}", loss, h)'
HELP = f"as in {EXAMPLE}; a format such as {{:.3f}} is for rank 0, np.set_printoptions for arrays"


def debug_print(template: str, /, *args: Any, **options: Any) -> None:
    """Print `template.format(*args, **options)` each time that the entry has run, with tensors' values for tensors.

    Tensors may be in dicts, tuples and lists; of rank 0 they are scalars, else arrays. What one call prints comes
    in the order of the program, when the call returns, also if it fails on `check=`. `repeat`, `epoch` and `map` print
    after each step or batch, and come back to Python for it. Under `gr.interpret` it is printed at once. A file that
    `build` writes prints nothing.

    Raises `TraceError` outside an entry, `ArgumentError` for a template that does not fit its arguments, and inside a
    loop, a branch or a function that `gr.vmap` maps, where a value is none or many.

        gr.debug_print("loss {:.3f}, largest of h {}", loss, gr.max(h))
    """
    recording = current("gr.debug_print")
    if not isinstance(template, str):
        raise ArgumentError(f"gr.debug_print: the template is {template!r}", site=user_site(), help=EXAMPLE)
    leaves, tree = flatten(((*args,), options))
    kept = tuple(as_tensor(x) if isinstance(x, (Tensor, SymbolicSize)) else x for x in leaves)
    made = Print(template, tree, kept, user_site())
    try:
        rendered(made, [example(x.node) for x in tensors_of(made)], Strict().format)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(
            f"gr.debug_print: {template!r} does not fit its arguments: {error}",
            operands=[describe(f"value {i}", x.node) for i, x in enumerate(tensors_of(made))],
            site=made.site,
            help=HELP,
        ) from None
    if recording.bodies:
        raise no_one_value(made)
    if recording.known is None:
        recording.prints.append(made)
    else:
        print(rendered(made, known_values(made, recording.known)))


class Strict(string.Formatter):
    """Formats as `str.format` does, and takes no argument that the template has no place for."""

    def check_unused_args(self, used_args: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `ValueError` for the first one."""
        for name in (*range(len(args)), *kwargs):
            if name not in used_args:
                raise ValueError(f"it has no place for argument {name}")


def tensors_of(made: Print) -> list[Tensor]:
    """What has a value only when the entry runs, in order."""
    return [x for x in made.leaves if isinstance(x, Tensor)]


def rendered(made: Print, values: Sequence[Array], form: Callable[..., str] = str.format) -> str:
    """The text, with the values of its tensors."""
    given = iter(values)
    args, options = unflatten(made.tree, [shown(next(given)) if isinstance(x, Tensor) else x for x in made.leaves])
    return form(made.template, *args, **options)


def shown(value: Array) -> Any:
    """What a template gets for a value. Integers of rank 0 are Python's, which print better in tuples and lists."""
    return int(value) if not value.ndim and value.dtype.kind in "iu" else value[()]


def example(node: Node) -> Array:
    """An array of a node's type, at typical sizes of its dimensions."""
    return np.zeros(tuple(typical(size) for size in node.type.shape), node.type.dtype.numpy)


def known_values(made: Print, known: Values) -> list[Array]:
    """The values that an interpreted body has at once."""
    values = [known.of(x.node) for x in tensors_of(made)]
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        raise no_one_value(made)
    return found


def over(made: Print, node: Callable[[Node], Node]) -> Print:
    """The same, of other nodes."""
    return replace(made, leaves=tuple(Tensor(node(x.node)) if isinstance(x, Tensor) else x for x in made.leaves))


def no_one_value(made: Print) -> ArgumentError:
    """The error of something that changes from round to round."""
    return ArgumentError(
        "gr.debug_print inside a loop, a branch or a mapped function: there a value is none, or many",
        operands=[describe("value", x.node) for x in tensors_of(made)],
        site=made.site,
        help="return it from the function (stacked by gr.scan), and print what comes out",
    )


def print_all(prints: Sequence[Print], values: Sequence[Array]) -> None:
    """Print what a call gave for it."""
    start = 0
    for made in prints:
        end = start + len(tensors_of(made))
        print(rendered(made, values[start:end]))
        start = end
