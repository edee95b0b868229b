"""The store: a plain dict and a rule book in all it tells, however commands are batched and whatever it is copied to."""

from __future__ import annotations

import pytest

from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT, SCAN_BYTES_MAX, SCAN_ROWS_MAX
from statemachine.moment import InvalidSnapshot
from statemachine.store import Store


def test_a_version_is_the_position_that_wrote_the_value() -> None:
    store = Store()
    assert store.apply(bytes([PUT, PUT, PUT | CAUSAL]), [b"a", b"b", b"a"], [b"1", b"2", b"3"], 10) is None
    assert store.read([b"a", b"b", b"c"]) == ([b"3", b"2", None], [12, 11, 0])
    assert store.get_entry(b"a") == (b"3", 12)


def test_a_delete_leaves_a_tombstone_with_its_version() -> None:
    store = Store()
    assert store.apply(bytes([PUT, DELETE, DELETE | CAUSAL]), [b"a", b"a", b"never"], [b"1", None, None], 1) is None
    assert store.read([b"a", b"never"]) == ([None, None], [2, 3])
    assert store.scan(b"", None, 10) == ([], False)


def test_a_batch_with_a_cas_has_a_result_per_command() -> None:
    store = Store()
    kinds = bytes([PUT, CAS_VALUE, CAS_VALUE, DELETE, CAS_VERSION, CAS_VERSION])
    keys = [b"a"] * 6
    values = [b"1", [b"1", b"2"], [b"1", b"3"], None, [4, b"4"], [0, b"5"]]
    assert store.apply(kinds, keys, values, 1) == [None, True, False, None, False, True]
    assert store.get_entry(b"a") == (b"5", 6)


def test_a_failed_cas_writes_nothing_but_takes_its_position() -> None:
    store = Store()
    assert store.apply(bytes([CAS_VALUE, PUT]), [b"a", b"b"], [[b"x", b"y"], b"1"], 1) == [False, None]
    assert store.freeze() == (0, ((b"b", b"1", 2),))


def test_an_empty_batch_changes_nothing() -> None:
    store = Store()
    assert store.apply(b"", [], [], 1) is None
    assert store.freeze() == (0, ())


# ---------------------------------------------------------------------------------------------------------------------------------- scans


@pytest.fixture
def letters() -> Store:
    store = Store()
    store.apply(bytes(5), [b"c", b"a", b"e", b"b", b"d"], [b"3", b"1", b"5", b"2", b"4"], 1)
    store.apply(bytes([DELETE]), [b"b"], [None], 6)
    return store


@pytest.mark.parametrize(
    ("start", "end", "limit", "keys", "more"),
    [
        (b"", None, 10, b"acde", False),
        (b"", None, 4, b"acde", False),
        (b"", None, 3, b"acd", True),
        (b"a", b"e", 3, b"acd", False),
        (b"a\0", b"d", 10, b"c", False),
        (b"c", b"c\0", 1, b"c", False),
        (b"b", b"c", 1, b"", False),
        (b"d", b"a", 1, b"", False),
        (b"z", None, 1, b"", False),
    ],
)
def test_a_scan_is_a_page_of_the_interval(letters: Store, start: bytes, end: bytes | None, limit: int, keys: bytes, *, more: bool) -> None:
    rows, rest = letters.scan(start, end, limit)
    assert [row[0] for row in rows] == [bytes([key]) for key in keys]
    assert rest is more


def test_rows_have_values_and_versions(letters: Store) -> None:
    assert letters.scan(b"c", None, 2) == ([[b"c", b"3", 1], [b"d", b"4", 5]], True)


def test_a_page_has_limited_rows() -> None:
    store = Store()
    keys = [b"%06d" % number for number in range(SCAN_ROWS_MAX + 1)]
    store.apply(bytes(len(keys)), keys, [b"v"] * len(keys), 1)
    rows, more = store.scan(b"", None, 10**9)
    assert ([row[0] for row in rows], more) == (keys[:-1], True)


@pytest.mark.parametrize(
    ("value_bytes", "count", "told"),
    [(SCAN_BYTES_MAX // 4 - 1, 5, 4), (SCAN_BYTES_MAX // 4, 5, 3), (SCAN_BYTES_MAX // 4, 4, 3), (SCAN_BYTES_MAX, 2, 1), (10, 5, 5)],
)
def test_a_page_has_limited_bytes_but_one_row_always(value_bytes: int, count: int, told: int) -> None:
    store = Store()
    store.apply(bytes(count), [b"%d" % number for number in range(count)], [bytes(value_bytes)] * count, 1)
    rows, more = store.scan(b"", None, 10)
    assert (len(rows), more) == (told, told < count)


# ----------------------------------------------------------------------------------------------------------------------------- tombstones


def test_tombstones_below_the_horizon_are_dropped() -> None:
    store = Store()
    store.apply(bytes([PUT, DELETE, DELETE, DELETE]), [b"live", b"a", b"b", b"c"], [b"v", None, None, None], 1)
    store.drop_tombstones(4)
    assert store.freeze() == (4, ((b"c", None, 4), (b"live", b"v", 1)))
    store.drop_tombstones(2)
    assert store.horizon == 4


def test_the_oldest_tombstones_go_when_there_are_too_many() -> None:
    store = Store(tombstones_max=16)
    keys = [b"%02d" % number for number in range(17)]
    store.apply(bytes([DELETE] * 16), keys[:16], [None] * 16, 1)
    assert (store.horizon, len(store.entries)) == (0, 16)
    store.apply(bytes([DELETE, PUT]), [keys[0], keys[1]], [None, b"v"], 17)
    assert (store.horizon, len(store.entries)) == (0, 16)
    store.apply(bytes([DELETE]), [keys[16]], [None], 19)
    assert (store.horizon, len(store.entries)) == (0, 17)
    store.apply(bytes([DELETE]), [b"one more"], [None], 20)
    assert (store.horizon, sorted(store.entries)) == (6, [keys[0], keys[1], *keys[5:17], b"one more"])


def test_when_they_go_does_not_depend_on_batches() -> None:
    whole, single = Store(tombstones_max=2), Store(tombstones_max=2)
    keys = [b"a", b"b", b"c", b"a", b"b", b"d", b"c"]
    kinds = bytes([DELETE, DELETE, DELETE, PUT, PUT, DELETE, PUT])
    values = [None if kind == DELETE else b"v" for kind in kinds]
    whole.apply(kinds, keys, values, 1)
    for place in range(len(keys)):
        single.apply(kinds[place : place + 1], keys[place : place + 1], values[place : place + 1], 1 + place)
    assert whole.freeze() == single.freeze()


# ------------------------------------------------------------------------------------------------------------------------------ snapshots


def test_a_snapshot_is_plain_lists_in_chunks() -> None:
    store = Store()
    store.apply(bytes([PUT, PUT, DELETE]), [b"a", b"b", b"c"], [b"1", b"2", None], 1)
    store.drop_tombstones(1)
    assert list(store.snapshot(chunk_keys=2)) == [[1, 1, 3], [[b"a", b"b"], [b"1", b"2"], [1, 2]], [[b"c"], [None], [3]]]


def test_a_snapshot_is_of_the_moment_it_was_asked_for(letters: Store) -> None:
    before = letters.freeze()
    chunks = letters.snapshot(chunk_keys=1)
    letters.apply(bytes([PUT, DELETE, PUT]), [b"a", b"c", b"f"], [b"new", None, b"new"], 7)
    letters.drop_tombstones(100)
    assert Store.restore(chunks).freeze() == before
    assert letters.freeze() != before


def test_a_snapshot_let_go_costs_writes_nothing_any_more(letters: Store) -> None:
    chunks = letters.snapshot()
    assert len(letters._moments) == 1
    del chunks
    assert not letters._moments


def test_a_restored_store_drops_its_oldest_tombstones_first(letters: Store) -> None:
    letters.apply(bytes([DELETE, DELETE, DELETE]), [b"e", b"a", b"c"], [None, None, None], 7)
    other = Store.restore(letters.snapshot(chunk_keys=1))
    for store in (letters, other):
        store.drop_tombstones(8)
    assert other.freeze() == letters.freeze() == (8, ((b"a", None, 8), (b"c", None, 9), (b"d", b"4", 5)))


def test_a_snapshot_may_be_loaded_chunk_by_chunk(letters: Store) -> None:
    store = Store()
    assert [store.load(chunk) for chunk in letters.snapshot(chunk_keys=2)] == [5, 3, 1, 0]
    assert store.freeze() == letters.freeze()


GOOD_HEADER: list[object] = [1, 0, 1]


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [[]],
        [[2, 0, 0]],
        [[1, -1, 0]],
        [[1, 0, b""]],
        [GOOD_HEADER],
        [GOOD_HEADER, [[b"k"], [b"v"]]],
        [GOOD_HEADER, [[b"k"], [b"v"], []]],
        [GOOD_HEADER, [["k"], [b"v"], [1]]],
        [GOOD_HEADER, [[b"k"], [1], [1]]],
        [GOOD_HEADER, [[b"k"], [b"v"], [0]]],
        [GOOD_HEADER, [[b"k"], [b"v"], [b"1"]]],
        [GOOD_HEADER, [[b"k", b"l"], [b"v", b"w"], [1, 2]]],
        [[1, 0, 2], [[b"k", b"k"], [b"v", b"v"], [1, 1]]],
        [[1, 0, 2], [[b"k"], [b"v"], [1]], [[b"k"], [None], [1]]],
        [GOOD_HEADER, [[b"k"], [b"v"], [1]], [[b"l"], [b"v"], [2]]],
    ],
    ids=repr,
)
def test_a_damaged_snapshot_is_refused(chunks: list[list[object]]) -> None:
    with pytest.raises(InvalidSnapshot, match="store"):
        Store.restore(chunks)


def test_a_snapshot_is_never_loaded_over_other_keys(letters: Store) -> None:
    with pytest.raises(AssertionError, match="empty"):
        letters.load(GOOD_HEADER)
