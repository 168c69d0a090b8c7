"""The printed graph, and its parser: `print_graph(parse_graph(print_graph(g))) == print_graph(g)`, to the bit.

    dim N: min=1, typical=64
    graph predict(x: f32[N,64])
    %0 = read{variable="dense/kernel"} : f32[64,10]   ; model.py:14   kernel = gr.Variable(...)
    %1 = dot_general{lhs_contract=[1], rhs_contract=[0], lhs_batch=[], rhs_batch=[]} %x, %0 : f32[N,10]
    return %1

The bodies of control flow stand, indented, before the line of their node, in the order of its attributes:

      graph body(c0: f32[8,8], x0: f32[N,8])
      %0 = read{variable="carry.0"} : f32[N,8]
      %1 = add %0, %x0 : f32[N,8]
      return %1
      update "carry.0" = %1
    %2 = scan{consts=1, length=T, reverse=false, indexed=false, checkpoint=false} %w, %h, %xs : (f32[N,8], f32[T,N,8])

Nodes are numbered as they are printed, inputs go by their names. Numbers are the shortest decimals that read back to
the same bits; an array over 4 kB stands beside the text, under its hash. Whatever follows `;` is a comment. The text
without sites depends on nothing but the graph: it is what caches are keyed by.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ArgumentError, InternalError, ShapeError
from graphc.ir.dim import Dim, Symbol, parse, symbol
from graphc.ir.graph import Graph, bodies, every_node
from graphc.ir.node import Array, Constant, Input, Node, Op, Read, Scope
from graphc.ir.types import DTYPES, DType, TensorType, TupleType

LARGEST_LITERAL = 4096
INDENT = "  "
PRINTED: tuple[type[Op], ...] = (*ops.ALL, *ops.CONTROL, Read, Constant)
OPS = {op.mnemonic(): op for op in PRINTED}
SIGNATURES = {op: (op.mnemonic(), tuple(f.name for f in fields(op) if f.type != "Graph")) for op in PRINTED}
FACTS = ("min", "max", "multiple_of", "typical")


def print_graph(graph: Graph, sites: bool = True) -> str:
    """The text of a graph; with `sites`, each line ends with the user's line."""
    return "\n".join([*map(symbol_line, graph.symbols()), *graph_lines(graph, sites)]) + "\n"


def graph_lines(graph: Graph, sites: bool) -> list[str]:
    """The lines of a graph, those of its bodies indented."""
    everything = graph.nodes()
    names = {node: f"%{quoted(node.op.name)}" for node in everything if isinstance(node.op, Input)}
    nodes = [node for node in everything if node not in names]
    names.update((node, f"%{i}") for i, node in enumerate(nodes))
    parameters = ", ".join(f"{names[node][1:]}: {node.type}" for node in graph.inputs)
    lines = [f"graph {quoted(graph.name)}({parameters})"]
    for node in nodes:
        for body in bodies(node.op).values() if isinstance(node.type, TupleType) else ():
            lines += [INDENT + line for line in graph_lines(body, sites)]
        site = graph.scope.site_of(node) if sites else None
        lines.append(node_line(node, names) + (f"   ; {site}" if site is not None else ""))
    lines.append("return " + ", ".join(names[node] for node in graph.outputs))
    lines += [f"update {json.dumps(name)} = {names[node]}" for name, node in graph.updates]
    return [line.rstrip() for line in lines]


def segments(graph: Graph) -> dict[str, bytes]:
    """The data of the arrays that the text refers to by hash."""
    constants = [n.op.data for n in every_node(graph) if isinstance(n.op, Constant)]
    return {digest(data): data for data in constants if len(data) > LARGEST_LITERAL}


def digest(data: bytes) -> str:
    """The name of a data segment: its hash."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def symbol_line(s: Symbol) -> str:
    """A symbolic dimension with those of its facts that are not the default."""
    default = Symbol(s.name)
    facts = [f"{f}={getattr(s, f)}" for f in FACTS if getattr(s, f) != getattr(default, f)]
    return f"dim {s.name}" + (f": {', '.join(facts)}" if facts else "")


def node_line(node: Node, names: Mapping[Node, str]) -> str:
    """`%3 = transpose{permutation=[1, 0]} %2 : f32[64,N]`."""
    op = f"constant{{{literal(node.op, node.type)}}}" if isinstance(node.op, Constant) else operation(node.op)
    operands = "".join([(", " if i else " ") + names[x] for i, x in enumerate(node.inputs)])
    return f"{names[node]} = {op}{operands} : {node.type}"


def operation(op: Op) -> str:
    """An op with its attributes: `transpose{permutation=[1, 0]}`."""
    mnemonic, attributes = SIGNATURES[type(op)]
    if not attributes:
        return mnemonic
    return mnemonic + "{" + ", ".join([f"{a}={attribute(getattr(op, a))}" for a in attributes]) + "}"


def attribute(value: Any) -> str:
    """An attribute's text."""
    write = ATTRIBUTES.get(type(value))
    if write is None:
        raise InternalError(f"an attribute {value!r} has no text")
    return write(value)


ATTRIBUTES: dict[type, Callable[[Any], str]] = {
    tuple: lambda value: "[" + ", ".join([attribute(v) for v in value]) + "]",
    str: json.dumps,
    bool: lambda value: "true" if value else "false",
    int: str,
    DType: str,
    Dim: str,
}
"""How attributes are written, by type."""


def literal(op: Constant, type_: TensorType) -> str:
    """A constant's elements: one number, or a list in row-major order; a large array's hash."""
    if len(op.data) > LARGEST_LITERAL:
        return f"data={digest(op.data)}"
    size, dtype = type_.dtype.itemsize, type_.dtype.numpy
    words = [op.data[i : i + size] for i in range(0, len(op.data), size)]
    numbers = [number_of(word, dtype) for word in words]
    return f"[{', '.join(numbers)}]" if type_.shape else numbers[0]


@lru_cache(maxsize=1 << 13)
def number_of(word: bytes, dtype: np.dtype[Any]) -> str:
    """The text of a number's bytes; the same ones stand in several entries."""
    return number(np.frombuffer(word, dtype)[0])


def number(value: Any) -> str:
    """The shortest decimal that reads back to the same bits; the bits themselves where there is none (odd NaNs)."""
    text = str(value).lower()
    if value.dtype.kind != "f" or read_number(text, value.dtype).tobytes() == value.tobytes():
        return text
    return f"bits:{value.tobytes()[::-1].hex()}"


def read_number(text: str, dtype: np.dtype[Any]) -> Array:
    """The inverse of `number`."""
    if text.startswith("bits:"):
        return np.frombuffer(bytes.fromhex(text[5:])[::-1], dtype).reshape(())
    if dtype.kind == "b":
        return np.asarray({"true": True, "false": False}[text])
    return np.asarray(float(text) if dtype.kind == "f" else int(text)).astype(dtype)


def quoted(name: str) -> str:
    """A name as it is, in quotes where it is not an identifier."""
    return name if name.isidentifier() else json.dumps(name)


# Parsing

STRING = r'"(?:[^"\\]|\\.)*"'
NAME = rf"(?:{STRING}|\w+)"
BODY = re.compile(rf'(?:[^";]|{STRING})*')
HEADER = re.compile(rf"graph ({NAME})\((.*)\)$")
NODE = re.compile(rf"%(\d+) = (\w+)(?:\{{((?:[^\"}}]|{STRING})*)\}})?((?: %{NAME},?)*) : (\w+\[.*\]|\(.*\))$")
UPDATE = re.compile(rf"update ({STRING}) = %({NAME})$")
SYMBOL = re.compile(r"dim (\w+)(?:: (.*))?$")


def parse_graph(text: str, data: Mapping[str, bytes] | None = None) -> Graph:
    """The graph a text stands for, in a scope of its own; `data` holds its segments.

    Raises `ArgumentError`, naming the line, where the text is not a graph.
    """
    parsers = [Parser(data or {}, {})]
    for count, line in enumerate(text.splitlines(), 1):
        body = BODY.match(line)
        content = body.group().rstrip() if body else ""
        if content:
            try:
                advance(parsers, content)
            except (KeyError, TypeError, ValueError, ShapeError) as fault:
                raise ArgumentError(f"line {count} of the graph does not parse: {content}", help=str(fault)) from None
    finish(parsers, 1)
    return parsers[0].graph()


def advance(parsers: list[Parser], content: str) -> None:
    """Give a line to the parser of the body, or of the graph, that its indentation says; a header begins a body."""
    depth = 1 + (len(content) - len(content.lstrip())) // len(INDENT)
    line = content.lstrip()
    begins = depth > 1 and HEADER.match(line) is not None
    finish(parsers, depth - begins)
    if begins:
        parsers.append(Parser(parsers[-1].data, parsers[-1].symbols))
    if depth != len(parsers):
        raise ValueError("indented further than the graph it belongs to")
    parsers[-1].line(line)


def finish(parsers: list[Parser], depth: int) -> None:
    """End bodies: those behind are no longer written to."""
    while len(parsers) > depth:
        body = parsers.pop().graph()
        parsers[-1].bodies.append(body)


class Parser:
    """Reads a graph line by line; `symbols` has what dimensions are called outside of it."""

    def __init__(self, data: Mapping[str, bytes], symbols: dict[str, Dim]) -> None:
        self.data = data
        self.scope = Scope()
        self.symbols = symbols
        self.bodies: list[Graph] = []  # of the next control node
        self.names: dict[str, Node] = {}
        self.name = ""
        self.inputs: list[Node] = []
        self.outputs: list[Node] = []
        self.updates: list[tuple[str, Node]] = []

    def graph(self) -> Graph:
        """What was read."""
        return Graph(self.name, self.scope, tuple(self.inputs), tuple(self.outputs), tuple(self.updates))

    def line(self, content: str) -> None:
        """Take one line, without its comment."""
        if found := NODE.match(content):
            self.node(*found.groups(default=""))
        elif found := HEADER.match(content):
            self.name = unquoted(found[1])
            self.inputs = [self.parameter(p) for p in split(found[2])]
        elif found := SYMBOL.match(content):
            facts = dict(fact.split("=") for fact in split(found[2] or ""))
            self.symbols[found[1]] = symbol(found[1], **{name: int(value) for name, value in facts.items()})
        elif found := UPDATE.match(content):
            self.updates.append((json.loads(found[1]), self.names[unquoted(found[2])]))
        elif content == "return" or content.startswith("return "):
            self.outputs = [self.names[unquoted(o[1:])] for o in split(content[6:])]
        else:
            raise ValueError("neither dim, graph, node, return nor update")

    def parameter(self, text: str) -> Node:
        """`x: f32[N,64]`."""
        name, type_ = text.rsplit(": ", 1)
        return self.define(unquoted(name), Input(unquoted(name)), self.type(type_))

    def define(self, name: str, op: Op, type_: TensorType, *operands: Node) -> Node:
        """A node, under its name in the text."""
        self.names[name] = self.scope.typed(op, type_, *operands)
        return self.names[name]

    def node(self, name: str, mnemonic: str, attributes: str, operands: str, type_: str) -> None:
        """`%3 = transpose{permutation=[1, 0]} %2 : f32[64,N]`."""
        result, op = self.type(type_), OPS[mnemonic]
        inputs = [self.names[unquoted(o[1:])] for o in split(operands)]
        if op is Constant:
            self.define(name, Constant(self.literal(attributes, result.dtype.numpy)), result)
            return
        kinds = {f.name: f.type for f in fields(op)}
        values = {key: self.attribute(value, kinds[key]) for key, value in (a.split("=", 1) for a in split(attributes))}
        graphs = dict(zip((key for key, kind in kinds.items() if kind == "Graph"), self.bodies, strict=True))
        self.bodies = []
        self.define(name, op(**values, **graphs), result, *inputs)

    def literal(self, text: str, dtype: np.dtype[Any]) -> bytes:
        """The bytes of a constant."""
        if text.startswith("data="):
            return self.data[text[5:]]
        numbers = split(text[1:-1]) if text.startswith("[") else [text]
        return b"".join(read_number(n, dtype).tobytes() for n in numbers)

    def type(self, text: str) -> TensorType:
        """`f32[N,64]`, or several in parentheses."""
        if text.startswith("("):
            return TupleType(tuple(self.type(t) for t in split(text[1:-1])))
        name, sizes = text[:-1].split("[", 1)
        return TensorType(DTYPES[name], tuple(parse(s, self.symbols) for s in split(sizes)))

    def attribute(self, text: str, kind: Any) -> Any:
        """An attribute of a field's declared type."""
        if text.startswith("["):
            return tuple(self.attribute(t, kind) for t in split(text[1:-1]))
        if text.startswith('"'):
            return json.loads(text)
        if text in ("true", "false"):
            return text == "true"
        return DTYPES[text] if kind == "DType" else parse(text, self.symbols)


def split(text: str) -> list[str]:
    """The parts between commas that are in no bracket or string."""
    return list(parts(text)) if text.strip() else []


def parts(text: str) -> Iterator[str]:
    """As `split`, of a text with at least one part."""
    depth, start = 0, 0
    for token in re.finditer(rf"{STRING}|[\[(]|[\])]|,", text):
        depth += (token[0] in "[(") - (token[0] in "])")
        if token[0] == "," and depth == 0:
            yield text[start : token.start()].strip()
            start = token.end()
    yield text[start:].strip()


def unquoted(name: str) -> str:
    """The inverse of `quoted`."""
    return str(json.loads(name)) if name.startswith('"') else name
