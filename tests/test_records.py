"""Records are frozen dataclasses: values, fields, defaults, equality by class and fields."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from typing import Any

import pytest

from graphc import ops
from graphc.records import Record


class Point(Record):
    """Two fields, one with a default."""

    x: int
    y: tuple[int, ...] = (0,)


class Named(Point):
    """A field more than its base."""

    name: str = "p"


class Other(Point):
    """The fields of its base."""


def test_fields_are_given_in_order_by_name_or_by_default() -> None:
    assert Point(1) == Point(1, (0,)) == Point(x=1) == Point(1, y=(0,))
    assert Named(1, (2,), "q") == Named(name="q", y=(2,), x=1)
    assert [f.name for f in fields(Named)] == ["x", "y", "name"]
    assert asdict(Named(1)) == {"x": 1, "y": (0,), "name": "p"}
    assert is_dataclass(Point)


@pytest.mark.parametrize(
    "values, named", [((), {}), ((1, (2,), 3), {}), ((1,), {"x": 2}), ((1,), {"z": 2}), ((), {"y": (1,)})]
)
def test_a_wrong_call_is_a_type_error(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*values, **named)


def test_equality_compares_class_and_fields() -> None:
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Point(1) != (1, (0,))
    assert len({Point(1), Point(1, (0,)), Other(1), Point(3)}) == 3
    assert ops.Add() == ops.Add() != ops.Mul()
    assert ops.Reshape((2,)) == ops.Reshape((2,)) != ops.Reshape((3,))


@pytest.mark.parametrize("record", [Point(1), ops.Add(), ops.ReduceSum((0,))])
def test_records_are_frozen(record: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        record.x = 2
    with pytest.raises(FrozenInstanceError):
        del record.x


def test_they_print_copy_and_match_as_dataclasses_do() -> None:
    point = Named(1, (2,))
    assert repr(point) == "Named(x=1, y=(2,), name='p')"
    assert replace(point, x=5) == Named(5, (2,))
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
    match point:
        case Point(x, y):
            assert (x, y) == (1, (2,))
        case _:
            raise AssertionError
