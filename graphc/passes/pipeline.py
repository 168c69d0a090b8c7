"""The passes over a graph, in order: run, timed, verified after each one, and dumped where `GRAPHC_DUMP` asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphc import config
from graphc.dump import heading, write
from graphc.errors import ArgumentError, InternalError
from graphc.ir.graph import Graph, every_node, with_bodies
from graphc.ir.node import Node
from graphc.ir.text import print_graph, segments
from graphc.ir.verify import verify
from graphc.ops.control import Control
from graphc.passes.check import check
from graphc.passes.contract import orient
from graphc.passes.distribute import distribute
from graphc.passes.loops import merge_scans, prune
from graphc.passes.matricise import matricise
from graphc.passes.recompute import recompute
from graphc.passes.remat import Budget, rematerialise
from graphc.passes.simplify import RULES, simplify
from graphc.passes.widen import widen
from graphc.runtime.signature import Numerics
from graphc.sites import user_site
from graphc.suggest import nearest


@dataclass(frozen=True)
class Pass:
    """A named step; `after` names passes that must stand before it, for the `reason` given.

    `run` takes the graph and the names of rules to leave out; bodies of control flow come first, unless it goes into
    them itself.
    """

    name: str
    run: Callable[[Graph, Collection[str]], Graph]
    after: tuple[str, ...] = ()
    reason: str = ""
    whole: bool = False


PIPELINE: tuple[Pass, ...] = (
    Pass("merge_scans", merge_scans),
    Pass("prune", prune, after=("merge_scans",), reason="scans are merged only as long as they carry the same"),
    Pass("distribute", distribute, after=("prune",), reason="a sum over rounds that nobody reads is not worth moving"),
    Pass("widen", widen),
    Pass("simplify", simplify, after=("widen",), reason="its rules are of ops that compute, and those compute in f32"),
    Pass(
        "orient",
        orient,
        after=("simplify",),
        reason="a transpose is absorbed for good only where no contraction reads through it",
    ),
    Pass(
        "matricise",
        matricise,
        after=("simplify", "orient"),
        reason="it copies operands whose axes could not be brought in order",
    ),
    Pass("recompute", recompute, after=("simplify",), reason="it looks for tests in the form that simplify gives them"),
)


def check_order(pipeline: Sequence[Pass]) -> None:
    """Raise `InternalError` where a pass stands before one that it must follow."""
    names = [p.name for p in pipeline]
    for position, this in enumerate(pipeline):
        for earlier in this.after:
            if earlier not in names[:position]:
                raise InternalError(f"pass {this.name} must come after {earlier}: {this.reason}")


check_order(PIPELINE)

#: What comes before a program's own checks of its numbers: what nobody needs is not checked.
TIDY = PIPELINE[:2]


def checking(kind: Numerics) -> tuple[Pass, ...]:
    """The passes of a program that checks its numbers."""
    made = Pass(
        "check",
        lambda graph, skip: check(graph, kind),
        after=tuple(p.name for p in TIDY),
        reason="scans are merged only as long as they carry the same",
        whole=True,
    )
    pipeline = (*TIDY, made, *PIPELINE[len(TIDY) :])
    check_order(pipeline)
    return pipeline


def optimise(
    graph: Graph,
    skip: Collection[str] | None = None,
    dump: Path | None = None,
    pipeline: Sequence[Pass] = PIPELINE,
    budget: Budget = None,
) -> Graph:
    """The graph after all passes; `skip` names passes or single rules to leave out.

    Under a `budget` of memory, `remat` comes last. A program that checks its numbers has a pipeline of its own,
    `checking(…)`.

    `skip` and `dump` default to `GRAPHC_SKIP` and `GRAPHC_DUMP`. Raises `InternalError` naming the pass, the node and
    the dump where a pass fails or leaves an ill-formed graph, `ArgumentError` where `GRAPHC_SKIP` names neither.
    """
    skipped = asked_to_skip() if skip is None else skip
    directory = config.dump_directory() if dump is None else dump
    previous = write_dump(graph, "trace", 0, 0.0, directory)
    under = Pass("remat", lambda graph, skip: rematerialise(graph, budget))
    for position, this in enumerate([*pipeline, under] if budget is not None else pipeline, 1):
        if this.name in skipped:
            continue
        start = time.perf_counter()
        try:
            before, graph = graph, run_pass(this, graph, skipped)
            if graph != before:
                verify(graph)
        except Exception as error:
            where = f"; its input is {previous}" if previous else "; set GRAPHC_DUMP to a directory to see its input"
            raise InternalError(f"pass {this.name} on entry {graph.name}: {error}{where}") from error
        previous = write_dump(graph, this.name, position, time.perf_counter() - start, directory)
    return graph


def asked_to_skip() -> frozenset[str]:
    """What `GRAPHC_SKIP` names. Raises `ArgumentError` for what is neither a pass nor a rule."""
    skipped = config.skipped_passes()
    passes = [*(p.name for p in PIPELINE), "remat"]
    known = dict.fromkeys([*passes, *(rule.name for rule in RULES)])
    for name in sorted(skipped):
        if name not in known:
            near = nearest(name, known)
            raise ArgumentError(
                f"GRAPHC_SKIP: {name!r} is neither a pass nor a rewrite rule",
                site=user_site(),
                help=f"did you mean {near}?" if near else f"passes are {', '.join(passes)}",
            )
    return skipped


def run_pass(this: Pass, graph: Graph, skip: Collection[str]) -> Graph:
    """The graph after a pass that went through the bodies of its control flow first."""
    if not this.whole and any(isinstance(node.op, Control) for node in graph.nodes()):
        known: dict[Graph, Graph] = {}

        def inner(body: Graph) -> Graph:
            if body not in known:
                known[body] = run_pass(this, body, skip)
            return known[body]

        def changed(node: Node) -> Node:
            op = with_bodies(node.op, inner)
            return node if op is node.op else node.scope.typed(op, node.type, *node.inputs)

        graph = graph.rewrite(changed)
    return this.run(graph, skip)


def write_dump(graph: Graph, stage: str, position: int, seconds: float, directory: Path | None) -> Path | None:
    """Write `<directory>/<entry>/<position>-<stage>.txt`, which parses back with the `.bin` files beside it.

    It is headed by the time the pass took, verification included. Returns the path, or None without a directory.
    """
    if directory is None:
        return None
    path = directory / graph.name / f"{position:02d}-{stage}.txt"
    head = heading(stage, seconds, "nodes", (node.op.mnemonic() for node in every_node(graph)))
    write(path, head + print_graph(graph))
    for digest, data in segments(graph).items():
        (path.parent / f"{digest}.bin").write_bytes(data)
    return path
