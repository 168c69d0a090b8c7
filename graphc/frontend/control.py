"""Control flow in traces: `scan`, `map`, `while_loop`, `cond`, over nested values.

A body is traced once, where it stands, on stand-ins for what changes from round to round. What depends on these becomes
the body; what it uses besides (tensors from outside, Variables) is computed before the loop and handed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend.arguments import body_result
from graphc.frontend.closures import Closure, traced_body
from graphc.frontend.eager import compiled_form, tracing
from graphc.frontend.jit import identifier
from graphc.frontend.promotion import as_tensor, is_weak
from graphc.frontend.recording import current, describe
from graphc.frontend.signature import expect_function, name_of
from graphc.frontend.size import UserSize, is_size, to_size
from graphc.frontend.structure import flatten, leaf_paths
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir import build
from graphc.ir.dim import Dim, Size
from graphc.ir.node import Node
from graphc.ir.types import TensorType, bool_, i64
from graphc.ops.control import Cond, Scan, WhileLoop
from graphc.ops.elementwise import Add
from graphc.ops.size import SizeOf
from graphc.runtime.tree import Tree, unflatten
from graphc.runtime.tree import flatten as flatten_as
from graphc.sites import user_site

Step = Callable[[Any, Any], Any]


def scan(
    step: Step,
    init: Any,
    xs: Any = None,
    length: UserSize | None = None,
    reverse: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Any, Any]:
    """(last carry, stacked ys) of `carry, y = step(carry, x)`, a round for each slice of xs along axis 0.

    carry, x and y are tensors, nested dicts, tuples and lists of them, or None; carry keeps its structure and types.
    One loop is compiled, whatever the length; it may be symbolic, and 0. Without xs `length` says how many rounds, and
    x is None. `reverse` goes from the last slice to the first; ys stay in the order of xs.

    `gr.scan(lambda total, x: (total + x, total + x), 0.0, xs)` gives the sum of xs and its running sums.

    The gradient stores what it needs of each round; with `checkpoint_every=k` the carry of each k-th alone, and
    computes the rest again: at k = √length the memory of √length rounds, for one more forward scan.

    Raises `ShapeError` and `DTypeError` where a carry changes its type or xs differ in length, `ArgumentError` where
    structures change or there is no length, `TraceError` for `.assign` in the step.
    """
    expect_function("gr.scan", step)
    if checkpoint_every is not None and not (isinstance(checkpoint_every, int) and checkpoint_every > 0):
        raise ArgumentError(
            f"gr.scan: checkpoint_every is {checkpoint_every!r}",
            site=user_site(),
            help="give a number of rounds, 1 or more",
        )
    if not tracing():
        found: tuple[Any, Any] = compiled_form(scanned, step, length, reverse, checkpoint_every)(init, xs)
        return found
    return scanned(step, length, reverse, checkpoint_every, init, xs)


def map(function: Callable[[Any], Any], xs: Any) -> Any:
    """The results of a function for each slice of xs along axis 0, one after the other, stacked.

    As `gr.vmap(function)(xs)`, in the memory of one slice. Raises as `gr.scan`.
    """
    expect_function("gr.map", function)
    return scan(Mapping(function), None, xs)[1]


class Mapping:
    """A function as a step that carries nothing; equal for one function, so that compiled code is found again."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function
        self.__name__ = name_of(function)

    def __call__(self, carry: Any, x: Any) -> tuple[None, Any]:
        return None, self.function(x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)


def scanned(
    step: Step, length: UserSize | None, reverse: bool, checkpoint_every: int | None, init: Any, xs: Any
) -> tuple[Any, Any]:
    """What `scan` gives, in the trace in progress."""
    if length is not None and not is_size(length):
        raise ArgumentError(f"gr.scan: length is {length!r}", site=user_site(), help="give a whole number or a size")
    rounds = length_of(xs, None if length is None else to_size(length))
    if checkpoint_every is None:
        return rounds_of(step, init, xs, rounds, reverse)
    return chunks_of(step, init, xs, rounds, reverse, checkpoint_every)


#: From the number of a round, the index that random numbers in it depend on; None where they don't.
Numbering = Callable[[Node], Node | None]


def rounds_of(
    step: Step, init: Any, xs: Any, length: Size, reverse: bool,
    checkpoint: bool = False, numbering: Numbering = lambda index: index,
) -> tuple[Any, Any]:  # fmt: skip
    """One scan."""
    recording = current("gr.scan")
    starts, carry_tree = flatten(init)
    slices, x_tree = flatten(xs)
    inits, arrays = ([as_tensor(leaf).node for leaf in leaves] for leaves in (starts, slices))
    carries = [recording.scope.placeholder(n.type) for n in inits]
    parts = [recording.scope.placeholder(n.type.with_shape(n.type.shape[1:])) for n in arrays]
    index = recording.scope.placeholder(TensorType(i64))
    number = numbering(index)
    with traced_body(recording, "gr.scan", *([] if number is None else [number])):
        arguments = unflatten(carry_tree, tensors(carries)), unflatten(x_tree, tensors(parts))
        result = body_result("step(carry, x)", step, *arguments)
        carry, y = pair(step, result)
        news = next_carries("gr.scan", carry, carry_tree, labels("carry", init), carries)
        leaves, y_tree = flatten(y)
        outputs = [as_tensor(leaf).node for leaf in leaves]
    with recording.scope.at(user_site()):
        closure = Closure(recording, [*news, *outputs], [*carries, *parts, index])
        inputs = {part: f"x{i}" for i, part in enumerate(parts)}
        indexed = index in closure.used
        body = closure.graph(title(step), inputs | ({index: "round"} if indexed else {}), carries, outputs, news)
        op = Scan(body, len(closure.captured), length, reverse, indexed, checkpoint)
        results = closure.results(op, *closure.captured, *inits, *arrays)
    last, stacked = results[: len(inits)], results[len(inits) :]
    return unflatten(carry_tree, tensors(last)), unflatten(y_tree, tensors(stacked))


def chunks_of(step: Step, init: Any, xs: Any, length: Size, reverse: bool, size: int) -> tuple[Any, Any]:
    """A scan over chunks of `size` rounds, of which derivatives keep the first carries; then over what is left."""
    recording = current("gr.scan")
    chunks = length // size
    whole = chunks * size
    leaves, tree = flatten(xs)
    arrays = [as_tensor(leaf).node for leaf in leaves]
    with recording.scope.at(user_site()):
        folded = [build.reshape(build.slice_axis(n, 0, 0, whole), (chunks, size, *n.type.shape[1:])) for n in arrays]
        rest = [build.slice_axis(n, 0, whole, length) for n in arrays]
    outer: list[Node] = []

    def remember(index: Node) -> None:
        outer.append(index)

    def chunk(carry: Any, x: Any) -> tuple[Any, Any]:
        return rounds_of(step, carry, x, size, reverse, numbering=lambda index: outer[0] * size + index)

    def after(index: Node) -> Node:
        return build.binary(Add(), index, recording.scope.node(SizeOf(i64, whole)))

    sites = recording.random_sites

    def in_chunks(carry: Any) -> tuple[Any, Any]:
        recording.random_sites = sites
        carry, ys = rounds_of(chunk, carry, unflatten(tree, tensors(folded)), chunks, reverse, True, remember)
        stacked, y_tree = flatten(ys)
        flat = [build.reshape(t.node, (whole, *t.node.type.shape[2:])) for t in stacked]
        return carry, unflatten(y_tree, tensors(flat))

    def in_rest(carry: Any) -> tuple[Any, Any]:
        recording.random_sites = sites
        return rounds_of(step, carry, unflatten(tree, tensors(rest)), length - whole, reverse, numbering=after)

    if isinstance(length, int) and length == whole:
        return in_chunks(init)
    carry, first = (in_rest if reverse else in_chunks)(init)
    carry, second = (in_chunks if reverse else in_rest)(carry)
    (a, y_tree), (b, _) = flatten(second if reverse else first), flatten(first if reverse else second)
    joined = [build.concat((p.node, q.node), 0) for p, q in zip(a, b, strict=True)]
    return carry, unflatten(y_tree, tensors(joined))


def while_loop(condition: Callable[[Any], TensorLike], body: Callable[[Any], Any], init: Any) -> Any:
    """The first of `init`, `body(init)`, `body(body(init))`, … that the condition does not hold for.

    The carry is a tensor or a nested structure of them and keeps its structure and types; the condition gives a bool
    scalar. `gr.while_loop(lambda x: x < 100.0, lambda x: 2.0 * x, x)` doubles x until it is 100 or more.

    It has no reverse derivative: `gr.scan` has. Raises as `gr.scan` does, and where the condition is no bool scalar.
    """
    expect_function("gr.while_loop", condition)
    expect_function("gr.while_loop", body)
    if not tracing():
        return compiled_form(repeated, condition, body)(init)
    return repeated(condition, body, init)


def repeated(condition: Callable[[Any], TensorLike], body: Callable[[Any], Any], init: Any) -> Any:
    """What `while_loop` gives, in the trace in progress."""
    recording = current("gr.while_loop")
    starts, tree = flatten(init)
    inits = [as_tensor(leaf).node for leaf in starts]
    carries = [recording.scope.placeholder(n.type) for n in inits]
    count = recording.scope.placeholder(TensorType(i64))
    with traced_body(recording, "gr.while_loop", count):
        holds = body_result("condition(carry)", condition, unflatten(tree, tensors(carries)))
        test = predicate("gr.while_loop: the condition", holds)
        result = body_result("body(carry)", body, unflatten(tree, tensors(carries)))
        news = next_carries("gr.while_loop", result, tree, labels("carry", init), carries)
    with recording.scope.at(user_site()):
        closure = Closure(recording, [test, *news], [*carries, count])
        if count in closure.used:
            inits, carries = [*inits, build.constant(recording.scope, 0, i64)], [*carries, count]
            news = [*news, count + 1]
        again = closure.graph(title(condition), {}, carries, [test], [])
        op = WhileLoop(again, closure.graph(title(body), {}, carries, [], news))
        results = closure.results(op, *closure.captured, *inits)
    return unflatten(tree, tensors(results[: len(starts)]))


def cond(pred: TensorLike, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """`true_fn(*operands)` where the predicate, a bool scalar, holds, else `false_fn(*operands)`: only one runs.

    Operands and results are tensors or nested structures; both functions give the same structure of the same types.
    They may use tensors from outside, too. `gr.cond(gr.all(x > 0), gr.log, lambda x: x * 0.0, x)`.

    Raises `ShapeError` or `DTypeError` where the predicate is no bool scalar or results differ in type, `ArgumentError`
    where they differ in structure.
    """
    expect_function("gr.cond", true_fn)
    expect_function("gr.cond", false_fn)
    if not tracing():
        return compiled_form(chosen, true_fn, false_fn)(pred, *operands)
    return chosen(true_fn, false_fn, pred, *operands)


def chosen(true_fn: Callable[..., Any], false_fn: Callable[..., Any], pred: TensorLike, *operands: Any) -> Any:
    """What `cond` gives, in the trace in progress."""
    recording = current("gr.cond")
    test = predicate("gr.cond: the predicate", pred)
    leaves, tree = flatten(tuple(operands))
    actual = [as_tensor(leaf).node for leaf in leaves]
    stand_ins = [recording.scope.placeholder(n.type) for n in actual]
    since = recording.scope.placeholder(TensorType(i64)).serial
    with traced_body(recording, "gr.cond"):
        call = f"a branch of gr.cond with {len(operands)} operand{'s' * (len(operands) != 1)}"
        values = [body_result(call, f, *unflatten(tree, tensors(stand_ins))) for f in (true_fn, false_fn)]
        results, result_tree = alike(*values)
    with recording.scope.at(user_site()):
        closure = Closure(recording, [*results[0], *results[1]], stand_ins, since)
        inputs = {stand_in: f"x{i}" for i, stand_in in enumerate(stand_ins)}
        branches = [
            closure.graph(title(f), inputs, [], nodes, [])
            for f, nodes in zip((true_fn, false_fn), results, strict=True)
        ]
        found = closure.results(Cond(*branches), test, *closure.captured, *actual)
    return unflatten(result_tree, tensors(found))


def tensors(nodes: Sequence[Node]) -> list[Tensor]:
    """Nodes as users see them."""
    return [Tensor(node) for node in nodes]


def title(function: Callable[..., Any]) -> str:
    """What a body is called."""
    return identifier(name_of(function))


def labels(root: str, value: Any) -> list[str]:
    """What errors call the leaves of a value: `carry`, `carry[0]`, `carry['h']`."""
    paths = leaf_paths(value)
    return [root + "".join(f"[{key if key.isdigit() else repr(key)}]" for key in path) for path in paths]


def length_of(xs: Any, given: Size | None) -> Size:
    """The number of rounds. Raises where nothing says it, or two say different ones."""
    leaves, _ = flatten(xs)
    found = given
    for label, leaf in zip(labels("xs", xs), leaves, strict=True):
        x = as_tensor(leaf)
        if not x.ndim:
            raise ShapeError(
                f"gr.scan: {label} has no axis to take slices of",
                operands=[describe("x", x.node)],
                site=user_site(),
                help="use what is the same in each round in the step as it is; it need not be among xs",
            )
        size = x.node.type.shape[0]
        if found is not None and size != found:
            raise ShapeError(
                f"gr.scan: {label} has {size} slices, expected {found}",
                operands=[describe("x", x.node)],
                site=user_site(),
                help="all xs, and length where it is given, have one length along axis 0",
            )
        found = size
    if found is None:
        raise ArgumentError("gr.scan: nothing says how many rounds", site=user_site(), help="give xs, or length=")
    if not isinstance(found, Dim) and found < 0:
        raise ArgumentError(f"gr.scan: length is {found}", site=user_site(), help="give 0 or more")
    current("gr.scan").check(found, 0, f"gr.scan of {found} rounds")
    return found


def pair(step: Step, result: Any) -> tuple[Any, Any]:
    """A step's result as (carry, y)."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result[0], result[1]
    raise ArgumentError(
        f"gr.scan: {name_of(step)} gives no pair (carry, y)",
        site=user_site(),
        help="return carry, None where there is no y",
    )


def next_carries(what: str, value: Any, tree: Tree, names: Sequence[str], carries: Sequence[Node]) -> list[Node]:
    """A new carry's leaves, each of the type of the old one. Raises where the structure or a type changes."""

    def misfit(path: str) -> Exception:
        return ArgumentError(
            f"{what}: the carry comes back with another structure at {path.replace('out', 'its top', 1)}",
            site=user_site(),
            help="give back what came in: the same dicts, tuples and lists, with new values",
        )

    leaves, _ = flatten(value)
    if len(leaves) != len(carries):
        raise misfit("out")
    given = flatten_as(tree, value, misfit)
    news = []
    for i, (label, carry) in enumerate(zip(names, carries, strict=True)):
        leaf = given[i]
        new = as_tensor(leaf, carry.type.dtype) if is_weak(leaf) else as_tensor(leaf)
        if new.type != carry.type:
            kind = ShapeError if new.dtype == carry.type.dtype else DTypeError
            raise kind(
                f"{what}: {label} is {carry.type} before a round and {new.type} after it",
                operands=[describe("after", new.node)],
                site=user_site(),
                help=f"start with the type that rounds give, or cast: .astype(gr.{carry.type.dtype})"
                if kind is DTypeError else "start with the shape that rounds give, as with gr.zeros",
            )  # fmt: skip
        news.append(new.node)
    return news


def predicate(what: str, value: TensorLike) -> Node:
    """A bool scalar. Raises for anything else."""
    test = as_tensor(value)
    if test.type == TensorType(bool_):
        return test.node
    kind = ShapeError if test.dtype == bool_ else DTypeError
    raise kind(
        f"{what} is {test.type}, not a bool scalar",
        operands=[describe("x", test.node)],
        site=user_site(),
        help="gr.all or gr.any make one of many; a comparison one of a number",
    )


def alike(first: Any, second: Any) -> tuple[tuple[list[Node], list[Node]], Tree]:
    """The leaves of both branches' results, of one structure and of the same types. Raises where they differ."""
    (leaves, tree), (others, other_tree) = flatten(first), flatten(second)
    if tree != other_tree:
        raise ArgumentError(
            "gr.cond: the branches give different structures",
            site=user_site(),
            help="return the same dicts, tuples and lists from both",
        )
    pairs: tuple[list[Node], list[Node]] = ([], [])
    for label, a, b in zip(labels("result", first), leaves, others, strict=True):
        like = next((v for v in (a, b) if not is_weak(v)), None)
        dtype = None if like is None else as_tensor(like).dtype
        x, y = (as_tensor(v, dtype) if is_weak(v) else as_tensor(v) for v in (a, b))
        if x.type != y.type:
            kind = ShapeError if x.dtype == y.dtype else DTypeError
            raise kind(
                f"gr.cond: {label} is {x.type} of one branch and {y.type} of the other",
                operands=[describe("true", x.node), describe("false", y.node)],
                site=user_site(),
                help="both branches give the same types: cast one, or broadcast it",
            )
        pairs[0].append(x.node)
        pairs[1].append(y.node)
    return pairs, tree
