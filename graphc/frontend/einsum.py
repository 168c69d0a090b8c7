"""Einstein's summation: a formula of labelled axes as transposes, sums and pairwise contractions."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from string import ascii_letters
from typing import Any

from graphc import ops
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.composite import composite
from graphc.frontend.elementwise import multiply
from graphc.frontend.linalg import diagonal
from graphc.frontend.manipulation import permute_dims
from graphc.frontend.promotion import apply, promoted
from graphc.frontend.recording import describe
from graphc.frontend.reductions import sum as sum_
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Size, typical
from graphc.ir.types import i32
from graphc.sites import user_site

FORMULA = re.compile(r"(?:[A-Za-z]|\.\.\.|,)*(?:->(?:[A-Za-z]|\.\.\.)*)?")


@dataclass(frozen=True)
class Term:
    """A tensor whose axes have labels, all different: letters, or `.0`, `.1`, … for an ellipsis' axes from the end."""

    tensor: Tensor
    labels: tuple[str, ...]

    def size(self) -> int:
        """How many elements it has where symbols are typical."""
        return typical(self.tensor.type.size)

    def without(self, gone: Collection[str]) -> Term:
        """Summed over the axes of some labels."""
        axes = [i for i, label in enumerate(self.labels) if label in gone]
        if not axes:
            return self
        kept = tuple(label for label in self.labels if label not in gone)
        return Term(sum_(self.tensor, axes, dtype=self.tensor.dtype), kept)

    def in_order(self, labels: Sequence[str]) -> Tensor:
        """The tensor with its axes in an order of the labels."""
        return permute_dims(self.tensor, [self.labels.index(label) for label in labels])


@composite
def einsum(*operands: Any) -> Tensor:
    """Sums of products by a formula: `einsum("bij,bjk->bik", x, y)`.

    Each letter is an axis; letters not in the result are summed over, a letter twice in one operand is its diagonal.
    `...` stands for further axes, which broadcast. Without `->` the result has the letters that occur once, in order of
    the alphabet. Axes of size 1 broadcast. NumPy's other form, `einsum(x, [0, 1], y, [1, 2], [0, 2])`, is understood.
    Of three or more operands those two are multiplied first whose product is smallest. Raises `ArgumentError` where the
    formula is none, `ShapeError` where it does not fit the operands.
    """
    formula, values = of_lists(operands) if not isinstance(operands[0], str) else (operands[0], operands[1:])
    text = "".join(formula.split())
    if not FORMULA.fullmatch(text) or not values:
        raise ArgumentError(
            f"einsum: {formula!r} is no formula of operands", site=user_site(), help='as "ij,jk->ik", x, y'
        )
    left, arrow, right = text.partition("->")
    tensors = promoted(*values, least=i32)
    parts = left.split(",")
    if len(parts) != len(tensors):
        raise ArgumentError(f"einsum: {len(tensors)} operands for {left!r}", site=user_site())
    named = [labelled(part, t) for part, t in zip(parts, tensors, strict=True)]
    result = result_labels(right, named) if arrow else implicit_labels(named)
    return contracted(fitted(named, tensors), result)


def of_lists(operands: Sequence[Any]) -> tuple[str, list[TensorLike]]:
    """The formula and the operands of NumPy's form with lists of numbers; Ellipsis stands for `...`."""
    given = len(operands) // 2

    def letters(axes: Sequence[Any]) -> str:
        if not all(a is Ellipsis or (isinstance(a, int) and 0 <= a < len(ascii_letters)) for a in axes):
            raise ArgumentError(f"einsum: {axes!r} are no labels", site=user_site(), help="numbers below 52")
        return "".join("..." if a is Ellipsis else ascii_letters[a] for a in axes)

    formula = ",".join(letters(axes) for axes in operands[1 : 2 * given : 2])
    if len(operands) % 2:
        formula += "->" + letters(operands[-1])
    return formula, list(operands[0 : 2 * given : 2])


def labelled(part: str, x: Tensor) -> tuple[str, ...]:
    """A label for each axis of an operand."""
    before, dots, behind = part.partition("...")
    rest = x.ndim - len(before) - len(behind)
    if rest < 0 or (rest and not dots) or "." in behind:
        raise ShapeError(
            f"einsum: {part!r} does not label {x.type}", operands=[describe("x", x.node)], site=user_site()
        )
    return (*before, *(f".{i}" for i in reversed(range(rest))), *behind)


def result_labels(part: str, named: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The labels after the arrow."""
    before, dots, behind = part.partition("...")
    found = (*before, *(dotted(named) if dots else ()), *behind)
    known = {label for labels in named for label in labels}
    if len(set(found)) != len(found) or not set(found) <= known:
        raise ArgumentError(
            f"einsum: the result {part!r} has a label twice, or one that no operand has", site=user_site()
        )
    return found


def implicit_labels(named: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Those of ellipses, then in order of the alphabet those that occur once."""
    every = [label for labels in named for label in labels]
    return (*dotted(named), *sorted(label for label in every if every.count(label) == 1 and label[0] != "."))


def dotted(named: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The labels of ellipses, from the front."""
    return max((tuple(label for label in labels if label[0] == ".") for labels in named), key=len)


def fitted(named: Sequence[tuple[str, ...]], tensors: Sequence[Tensor]) -> list[Term]:
    """The operands with each label once; axes of size 1 that broadcast are left out. Raises where sizes differ."""
    sizes: dict[str, Size] = {}
    for labels, x in zip(named, tensors, strict=True):
        for label, size in zip(labels, x.type.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size != 1 and size != known:
                raise ShapeError(
                    f"einsum: {label!r} is {known} and {size}",
                    operands=[describe(f"operand {i}", t.node) for i, t in enumerate(tensors)],
                    site=user_site(),
                    help="axes of one label have one size, or 1",
                )
    return [fitted_term(labels, x, sizes) for labels, x in zip(named, tensors, strict=True)]


def fitted_term(labels: Sequence[str], x: Tensor, sizes: dict[str, Size]) -> Term:
    """One operand, as `fitted` wants it."""
    shape = x.type.shape
    kept = [i for i, label in enumerate(labels) if shape[i] == sizes[label]]
    if len(kept) < len(labels):
        x = apply(ops.Reshape(tuple(shape[i] for i in kept)), x)
    rest = [labels[i] for i in kept]
    while (twice := next((label for label in rest if rest.count(label) > 1), None)) is not None:
        first = rest.index(twice)
        second = rest.index(twice, first + 1)
        x = diagonal(x, axis1=first, axis2=second)
        rest = [*rest[:first], *rest[first + 1 : second], *rest[second + 1 :], twice]
    return Term(x, tuple(rest))


def contracted(terms: list[Term], result: tuple[str, ...]) -> Tensor:
    """The product of all terms, summed over what is not in the result; the cheapest pair first."""
    while len(terms) > 1:
        pairs = combinations(range(len(terms)), 2)
        i, j = min(pairs, key=lambda pair: growth(terms, pair, result))
        others = [t for k, t in enumerate(terms) if k not in (i, j)]
        needed = {*result, *(label for t in others for label in t.labels)}
        terms = [*others, product(terms[i], terms[j], needed)]
    (term,) = terms
    return term.without(set(term.labels).difference(result)).in_order(result)


def growth(terms: Sequence[Term], pair: tuple[int, int], result: tuple[str, ...]) -> tuple[int, int]:
    """By how many elements a product is larger than its operands: pairs are chosen by that."""
    a, b = (terms[i] for i in pair)
    needed = {*result, *(label for k, t in enumerate(terms) if k not in pair for label in t.labels)}
    sizes = dict(zip(a.labels + b.labels, a.tensor.type.shape + b.tensor.type.shape, strict=True))
    made = typical(prod(size for label, size in sizes.items() if label in needed))
    return made - a.size() - b.size(), made


def product(a: Term, b: Term, needed: Collection[str]) -> Term:
    """Two terms multiplied, summed over what is not needed."""
    a = a.without(set(a.labels).difference(b.labels, needed))
    b = b.without(set(b.labels).difference(a.labels, needed))
    batch = [label for label in a.labels if label in b.labels and label in needed]
    summed = [label for label in a.labels if label in b.labels and label not in needed]
    left, right = ([label for label in t.labels if label not in batch + summed] for t in (a, b))
    labels = (*batch, *left, *right)
    if summed:
        axes = [tuple(t.labels.index(label) for label in group) for group in (summed, batch) for t in (a, b)]
        return Term(apply(ops.DotGeneral(*axes), a.tensor, b.tensor), labels)
    lhs, rhs = a.in_order([*batch, *left]), b.in_order([*batch, *right])
    rows = lhs.type.shape + (1,) * len(right)
    columns = rhs.type.shape[: len(batch)] + (1,) * len(left) + rhs.type.shape[len(batch) :]
    return Term(multiply(apply(ops.Reshape(rows), lhs), apply(ops.Reshape(columns), rhs)), labels)
