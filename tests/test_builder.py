"""The text builder: a block computes nothing twice, another block starts anew, memory is read every time."""

from __future__ import annotations

from graphc.codegen.llvm import Builder, Module


def function() -> Builder:
    """An empty function of a pointer and an index."""
    return Builder(Module("x86-64"), "f", [("ptr", "p"), ("i64", "n")])


def test_a_block_computes_nothing_twice() -> None:
    b = function()
    p, n = b.arguments
    first = b.gep("float", p, b.mul(n, b.i64(3)))
    assert b.gep("float", p, b.mul(n, b.i64(3))) == first
    assert b.gep("double", p, b.mul(n, b.i64(3))) != first
    assert b.text().count(" = mul ") == 1


def test_another_block_does_not_rely_on_what_one_computed() -> None:
    b = function()
    n = b.arguments[1]
    with b.when(b.icmp("slt", n, b.i64(9))):
        inside = b.mul(n, b.i64(3))
    assert b.mul(n, b.i64(3)) != inside


def test_memory_is_read_every_time() -> None:
    b = function()
    p = b.arguments[0]
    before = b.load("float", p)
    b.store(b.constant("float", 1), p)
    assert b.load("float", p) != before


def test_a_literal_is_splatted_as_a_constant() -> None:
    b = function()
    assert b.splat(b.constant("float", 0), 4) == b.constant("<4 x float>", 0)
    assert b.splat(b.i64(7), 2).name == "splat (i64 7)"
    assert b.splat(b.arguments[1], 2).name.startswith("%")
