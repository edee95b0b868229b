from __future__ import annotations

from statemachine.command import KEY_BYTES_MAX
from triskele.scanning import Scan, first_from


def page(keys: list[bytes], more: object) -> list[object]:
    return [[[key, b"v", 1] for key in keys], more]


def test_pages_are_added_up_until_there_is_no_more() -> None:
    scan = Scan(b"", None, 10)
    assert scan.query == [b"", None, 10]
    scan.take(page([b"a", b"b"], more=True))
    assert (scan.finished, scan.query) == (False, [b"b\0", None, 8])
    scan.take(page([b"c"], more=False))
    assert scan.finished
    assert [key for key, _ in scan.rows] == [b"a", b"b", b"c"]


def test_a_page_may_tell_where_the_next_begins() -> None:
    scan = Scan(b"", None, 10)
    scan.take(page([], more=b"m"))  # every row of it was an own delete
    assert (scan.finished, scan.query) == (False, [b"m", None, 10])


def test_enough_rows_are_enough() -> None:
    scan = Scan(b"", None, 2)
    scan.take(page([b"a", b"b"], more=True))
    assert scan.finished


def test_a_page_has_as_many_rows_as_a_replica_gives_at_most() -> None:
    assert Scan(b"", None, 5000).query == [b"", None, 1000]


def test_nothing_lies_between_the_last_row_and_the_end() -> None:
    scan = Scan(b"", b"a\0", 10)
    scan.take(page([b"a"], more=True))
    assert scan.finished


def test_a_range_ends_before_its_end() -> None:
    scan = Scan(b"b", b"d", 10)
    assert [key for key in (b"a", b"b", b"c", b"d") if scan.covers(key)] == [b"b", b"c"]
    assert Scan(b"b", None, 10).covers(b"z")


def test_the_first_key_behind_a_longest_one_is_no_longer_than_a_key() -> None:
    longest = KEY_BYTES_MAX
    assert first_from(b"a\0") == b"a\0"
    assert first_from(b"a" * longest + b"\0") == b"a" * (longest - 1) + b"b"
    assert first_from(b"a" + b"\xff" * (longest - 1) + b"\0") == b"b"
    assert first_from(b"\xff" * longest + b"\0") is None
