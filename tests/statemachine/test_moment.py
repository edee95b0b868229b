"""A moment: what a store held once, whatever is written, dropped or moved while it is read."""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING

import pytest

from statemachine.command import DELETE, PUT
from statemachine.moment import Moment
from statemachine.store import Store
from statemachine.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statemachine.moment import Columns, Entry

pytestmark = pytest.mark.usefixtures("small_sizes")

KEYS = [b"k%d" % number for number in range(10)]


def filled() -> Table[Entry]:
    entries: Table[Entry] = Table()
    for number, key in enumerate(KEYS, 1):
        entries.put(key, (b"old", number))
    return entries


def rows(slices: Iterable[Columns]) -> list[tuple[bytes, bytes | None, int]]:
    return sorted(row for columns in slices for row in zip(*columns, strict=True))


OLD_ROWS = [(key, b"old", number) for number, key in enumerate(KEYS, 1)]


@pytest.mark.parametrize("taken", range(12))
def test_what_is_written_after_the_moment_does_not_show(taken: int) -> None:
    entries = filled()
    moment = Moment(entries)
    slices = moment.slices(1, 100)
    found = rows(islice(slices, taken))
    for round_ in (20, 40):
        written = [*KEYS, b"new0", b"new1", b"new2"]
        moment.remember(written)
        entries.put_many(written, zip(repeat(b"new"), range(round_, round_ + len(written)), strict=False))
    assert sorted(found + rows(slices)) == OLD_ROWS


@pytest.mark.parametrize("rounds", [1, 2, 3], ids=["gone", "back", "gone again"])
@pytest.mark.parametrize("later", [0, 1, 2, 5, 9, 12])
@pytest.mark.parametrize("taken", range(12))
def test_what_is_dropped_after_the_moment_still_shows_once(taken: int, later: int, rounds: int) -> None:
    """Dropped after ``taken`` slices, back after ``later`` more, and dropped again after as many."""
    entries = filled()
    moment = Moment(entries)
    slices = moment.slices(1, 100)
    found = rows(islice(slices, taken))
    for round_ in range(rounds):
        moment.remember(KEYS)
        if round_ % 2 == 0:
            moment.lose(KEYS)
            for key in KEYS:
                entries.remove(key)
        else:
            entries.put_many(KEYS, zip(repeat(b"back"), range(50, 50 + len(KEYS)), strict=False))
        found += rows(islice(slices, later))
    assert sorted(found + rows(slices)) == OLD_ROWS


def test_a_moment_told_to_the_end_keeps_no_list_of_what_is_dropped() -> None:
    entries = filled()
    moment = Moment(entries)
    assert rows(moment.slices(3, 100)) == OLD_ROWS
    moment.lose(KEYS)
    assert not moment._lost


def test_the_table_is_pinned_only_while_its_parts_are_read() -> None:
    entries = filled()
    slices = Moment(entries).slices(2, 100)
    pins = [entries.pins]
    next(slices)
    pins.append(entries.pins)
    del slices
    pins.append(entries.pins)
    assert pins == [0, 1, 0]


def test_slices_are_cut_by_keys_and_by_bytes() -> None:
    store = Store()
    store.apply(bytes([PUT] * 5 + [DELETE]), KEYS[:6], [b"", b"12345", b"123", b"123456789", b"12", None], 1)
    slices = [columns[1] for columns in Moment(store.entries).slices(4, 8)]
    assert slices == [[b"", b"12345", b"123"], [b"123456789"], [b"12", None]]


def test_a_moment_given_up_forgets_little_by_little() -> None:
    entries = filled()
    moment = Moment(entries)
    moment.past_max = 3
    given_up = []
    for count in (3, 4):
        moment.remember(KEYS[:count])
        given_up.append(moment.given_up)
    assert given_up == [False, True]
    left = []
    while not moment.gone():
        moment.remember(KEYS)
        left.append(len(moment.past))
    assert left == [3, 2, 1, 0]
