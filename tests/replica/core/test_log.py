from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.core.log import (
    COMMAND_OVERHEAD_BYTES,
    COMMANDS_PER_ACCEPT_MAX,
    ENTRIES_PER_ACCEPT_MAX,
    ENTRY_OVERHEAD_BYTES,
    Log,
    entry_bytes,
    last_position,
)
from replica.core.messages import Entry
from statemachine.command import NOOP


def entry(index: int, view: int = 1, base: int = 0, commands: int = 1, system: int = 0, value: bytes = b"v") -> Entry:
    keys = [b"k"] * commands
    return Entry(index, view, base, [[NOOP]] * system, [7] if commands else [], [1], [commands], [1], bytes(commands), keys, [value] * commands)


def log_of(*views: int, commands: int = 1) -> Log:
    log = Log()
    for view in views:
        log.append(entry(log.last_index + 1, view, log.last_position, commands))
    return log


def test_an_empty_log_ends_at_zero() -> None:
    log = Log()
    assert (log.last_index, log.last_view, log.last_position, log.size_bytes) == (0, 0, 0, 0)
    assert log.view_at(0) == 0


def test_positions_count_system_commands_first_then_commands() -> None:
    log = Log()
    log.append(entry(1, base=0, commands=3, system=2))
    assert last_position(log.get(1)) == 5
    log.append(entry(2, base=5, commands=0, system=1))
    assert log.last_position == 6


def test_entries_are_consecutive_in_index_and_position() -> None:
    log = log_of(1)
    with pytest.raises(AssertionError):
        log.append(entry(3, base=1))
    with pytest.raises(AssertionError):
        log.append(entry(2, base=7))


def test_each_entry_keeps_its_own_view() -> None:
    log = log_of(1, 1, 3)
    assert [log.view_at(index) for index in range(5)] == [0, 1, 1, 3, None]
    assert log.last_view == 3


def test_truncation_drops_what_is_above_and_its_bytes() -> None:
    log = log_of(1, 1, 1)
    log.truncate_after(1)
    assert (log.last_index, log.last_position, log.size_bytes) == (1, 1, entry_bytes(log.get(1)))
    log.append(entry(2, view=2, base=1))
    assert log.last_view == 2


def test_what_is_discarded_leaves_its_view_and_position_behind() -> None:
    log = log_of(1, 2, 2, commands=2)
    log.discard_upto(2)
    assert (log.first_index, log.last_index, log.last_position) == (3, 3, 6)
    assert (log.view_at(1), log.view_at(2), log.view_at(3)) == (None, 2, 2)
    log.discard_upto(3)
    assert (log.first_index, log.last_index, log.last_view, log.last_position, log.size_bytes) == (4, 3, 2, 6, 0)
    log.append(entry(4, base=6))
    assert log.last_index == 4


def test_discarding_what_is_gone_changes_nothing() -> None:
    log = log_of(1, 1)
    log.discard_upto(1)
    log.discard_upto(1)
    assert (log.first_index, log.last_index) == (2, 2)


def test_an_entry_that_is_not_here_is_our_bug() -> None:
    log = log_of(1, 1)
    log.discard_upto(1)
    for index in (1, 3):
        with pytest.raises(AssertionError):
            log.get(index)


def test_since_gives_at_least_one_entry_and_stops_at_the_limit() -> None:
    log = log_of(1, 1, 1)
    size = entry_bytes(log.get(1))
    assert [e.index for e in log.since(1, 1)] == [1]
    assert [e.index for e in log.since(1, 2 * size)] == [1, 2]
    assert [e.index for e in log.since(2, 10 * size)] == [2, 3]
    assert log.since(4, 1) == []


def test_one_accept_carries_a_bounded_number_of_entries_and_commands() -> None:
    many = log_of(*[1] * (ENTRIES_PER_ACCEPT_MAX + 5))
    assert len(many.since(1, 1 << 40)) == ENTRIES_PER_ACCEPT_MAX
    wide = log_of(1, 1, commands=COMMANDS_PER_ACCEPT_MAX - 1)
    assert len(wide.since(1, 1 << 40)) == 1


def test_an_entrys_bytes_are_its_keys_values_and_overheads() -> None:
    measured = Entry(1, 1, 0, [], [7], [1], [3], [1], bytes(3), [b"abc", b"d", b"e"], [b"12345", None, [b"x", b"y"]])
    assert entry_bytes(measured) == ENTRY_OVERHEAD_BYTES + 3 * COMMAND_OVERHEAD_BYTES + 5 + 5 + 2


@given(st.lists(st.tuples(st.sampled_from(["append", "truncate", "discard"]), st.integers(0, 8))))
def test_a_log_is_a_list_with_a_forgotten_beginning(steps: list[tuple[str, int]]) -> None:
    log, entries, gone = Log(), list[Entry](), 0
    for step, amount in steps:
        if step == "append":
            base = last_position(entries[-1]) if entries else 0
            entries.append(entry(len(entries) + 1, view=amount, base=base, commands=amount))
            log.append(entries[-1])
        elif step == "truncate" and len(entries) - amount >= gone:
            del entries[len(entries) - amount :]
            log.truncate_after(len(entries))
        elif step == "discard" and gone + amount <= len(entries):
            gone += amount
            log.discard_upto(gone)
        assert log.last_index == len(entries)
        assert log.last_position == (last_position(entries[-1]) if entries else 0)
        assert log.last_view == (entries[-1].view if entries else 0)
        assert log.size_bytes == sum(map(entry_bytes, entries[gone:]))
        assert log.since(gone + 1, 1 << 40) == entries[gone:][:ENTRIES_PER_ACCEPT_MAX]
        views = [0, *(e.view for e in entries)]
        assert [log.view_at(index) for index in range(len(views))] == [None if index < gone else view for index, view in enumerate(views)]


def test_bytes_between_two_indices_count_what_is_here() -> None:
    log = log_of(1, 1, 1)
    size = entry_bytes(log.get(1))
    assert [log.bytes_between(0, 4), log.bytes_between(1, 3), log.bytes_between(2, 3), log.bytes_between(3, 4)] == [3 * size, size, 0, 0]
    log.discard_upto(2)
    assert [log.bytes_between(0, 4), log.bytes_between(2, 3)] == [size, 0]
