"""The table: a dict in all it tells, in columns, and its parts hold still while they are pinned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine.table import Table

pytestmark = pytest.mark.usefixtures("small_sizes")

keys = st.integers(0, 15).map(lambda number: b"k%d" % number)
batches = st.lists(st.tuples(keys, st.integers(0, 9)), max_size=6)
steps = st.lists(st.one_of(batches, st.tuples(keys, st.integers(0, 9)), keys), max_size=30)


@given(steps)
def test_it_is_a_dict(script: list[list[tuple[bytes, int]] | tuple[bytes, int] | bytes]) -> None:
    """A list is a batch to put, a pair one item to put, a key is to be removed."""
    table: Table[int] = Table()
    model: dict[bytes, int] = {}
    for step in script:
        if isinstance(step, list):
            new = table.put_many([key for key, _ in step], [item for _, item in step])
            assert sorted(new) == sorted({key for key, _ in step} - model.keys())
            model.update(step)
        elif isinstance(step, tuple):
            assert table.put(*step) is (step[0] not in model)
            model[step[0]] = step[1]
        else:
            assert table.remove(step) is (model.pop(step, None) is not None)
        check(table, model)
        check(table.clone(), model)


def check(table: Table[int], model: dict[bytes, int]) -> None:
    everything = [b"k%d" % number for number in range(17)]
    assert table.get_many(everything, -1) == [model.get(key, -1) for key in everything]
    assert [table.get(key) for key in everything] == [model.get(key) for key in everything]
    assert [table.get(key, 0) for key in everything] == [model.get(key, 0) for key in everything]
    assert [key in table for key in everything] == [key in model for key in everything]
    assert len(table) == len(model)
    assert sorted(table) == sorted(model)
    parts = [table.part(number) for number in range(table.parts())]
    assert sorted(key for part in parts for key in part) == sorted(model)
    assert all(table.part_of(key) == number for number, part in enumerate(parts) for key in part)


def test_a_clone_goes_its_own_way() -> None:
    table: Table[int] = Table()
    table.put_many([b"k%d" % number for number in range(10)], range(10))
    other = table.clone()
    other.put_many([b"k0", b"k9", b"new"], [-1, -9, -2])
    table.remove(b"k1")
    assert table.get_many([b"k0", b"k9", b"new", b"k1"], None) == [0, 9, None, None]
    assert other.get_many([b"k0", b"k9", b"new", b"k1"], None) == [-1, -9, -2, 1]


def test_the_first_keys_move_to_shards_little_by_little_unless_pinned() -> None:
    table: Table[int] = Table()
    table.put_many([b"k%d" % number for number in range(6)], range(6))
    table.pins += 1
    first = table.part(0)
    table.put_many([b"k%d" % number for number in range(12)], range(12))
    assert table.part(0) == first
    table.pins -= 1
    sizes = []
    while table.part(0):
        table.put_many([b"k0"], [0])
        sizes.append(len(table.part(0)))
    assert sizes == [5, 4, 3, 2, 1, 0]
    check(table, {b"k%d" % number: number for number in range(12)})


def test_columns_of_different_lengths_are_a_bug() -> None:
    table: Table[int] = Table()
    with pytest.raises(ValueError, match="zip"):
        table.put_many([b"a", b"b"], [1])


@pytest.mark.parametrize("expected", [0, 5, 6, 40])
def test_a_table_that_knows_how_many_keys_come_is_the_same_dict(expected: int) -> None:
    table: Table[int] = Table()
    table.expect(expected)
    model: dict[bytes, int] = {}
    for number in range(0, 16, 2):
        batch = [(b"k%d" % number, number), (b"k%d" % (number + 1), number + 1), (b"k%d" % number, -number)]
        assert sorted(table.put_many([key for key, _ in batch], [item for _, item in batch])) == sorted({key for key, _ in batch})
        model.update(batch)
        check(table, model)
    assert (len(table.part(0)) == 0) is (expected >= 6)


def test_a_column_of_keys_of_one_part_is_put_as_one() -> None:
    source: Table[int] = Table()
    source.put_many([b"k%d" % number for number in range(40)], range(40))
    source.put_many([], [])
    other: Table[int] = Table()
    other.expect(40)
    for number in range(source.parts()):
        keys = source.part(number)
        assert sorted(other.put_many(keys, source.get_many(keys, 0))) == sorted(keys)
        assert other.put_many(keys, source.get_many(keys, 0)) == []
    check(other, {b"k%d" % number: number for number in range(40)})
