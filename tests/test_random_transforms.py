"""vmap and forward derivatives of random graphs, interpreted and compiled."""

from __future__ import annotations

from graphc.ir.types import f64
from tests.graph_checks import check_compiled_vmap, check_forward, check_vmap, over


def test_vmap_of_random_graphs_is_the_loop() -> None:
    over(check_vmap, 40)


def test_vmap_of_random_graphs_compiles() -> None:
    over(check_compiled_vmap, 8, most=8)


def test_forward_derivatives_of_random_graphs() -> None:
    over(check_forward, 60, dtypes=(f64,))
