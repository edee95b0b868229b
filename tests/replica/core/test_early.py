from __future__ import annotations

from replica.core.early import EARLY_RECORDS_MAX, EarlyRecords
from replica.core.messages import Record
from statemachine.command import PUT

LINK, OTHER = ("link", 1), ("link", 2)


def record(session: int, first: int, *values: bytes) -> Record:
    count = len(values)
    return Record([session], [first], [count], [first - 1], [1], bytes([PUT]) * count, [b"k"] * count, list(values))


def early(commands_max: int = 100, bytes_max: int = 1000) -> EarlyRecords:
    return EarlyRecords(commands_max, bytes_max)


def test_records_come_back_in_their_order_when_their_sessions_are_open_and_leave_room() -> None:
    kept, records = early(), [record(7, 1, b"a"), record(7, 2, b"b"), record(9, 1, b"c")]
    assert [kept.add(LINK, each) for each in records] == [True] * 3
    assert kept.take(6) == {}
    assert kept.take(7) == {7: [(LINK, records[0]), (LINK, records[1])]}
    assert (kept.count, kept.commands, kept.bytes) == (1, 1, 2)
    assert kept.take(100) == {9: [(LINK, records[2])]}
    assert (kept.count, kept.commands, kept.bytes) == (0, 0, 0)


def test_records_are_bounded_in_number() -> None:
    kept = early(10**6, 10**6)
    assert all(kept.add(LINK, record(7, number, b"")) for number in range(1, EARLY_RECORDS_MAX + 1))
    assert not kept.add(LINK, record(8, 1, b""))
    assert kept.count == EARLY_RECORDS_MAX
    assert kept.add(LINK, record(7, 1, b"")), "it is there"


def test_records_are_bounded_in_commands_and_in_bytes_of_keys_and_values() -> None:
    kept = early(commands_max=3)
    assert kept.add(LINK, record(7, 1, b"a", b"b"))
    assert not kept.add(LINK, record(7, 3, b"a", b"b"))
    assert kept.add(LINK, record(7, 3, b"a"))
    kept = early(bytes_max=10)
    assert not kept.add(LINK, record(7, 1, b"v" * 10))
    assert kept.add(LINK, record(7, 1, b"v" * 9))
    assert not kept.add(LINK, record(8, 1, b""))
    assert list(kept.records) == [7]


def test_what_comes_again_is_kept_once_and_belongs_to_its_last_link() -> None:
    kept, first = early(), record(7, 1, b"a")
    for link in (LINK, LINK, OTHER):
        assert kept.add(link, record(7, 1, b"a"))
    assert (kept.count, kept.commands, kept.bytes) == (1, 1, 2)
    kept.forget_link(LINK)
    assert kept.take(7) == {7: [(OTHER, first)]}


def test_a_link_that_is_gone_takes_its_records_with_it() -> None:
    kept = early()
    kept.add(LINK, record(7, 1, b"a"))
    kept.add(OTHER, record(7, 2, b"b"))
    kept.add(LINK, record(8, 1, b"c"))
    kept.forget_link(LINK)
    assert (kept.count, kept.commands, kept.bytes) == (1, 1, 2)
    assert kept.take(100) == {7: [(OTHER, record(7, 2, b"b"))]}
