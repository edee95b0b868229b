"""Three nodes apply the same entries; one or another has a table that somebody altered."""

from __future__ import annotations

import copy

import pytest

from replica.core.config import CoreConfig
from replica.core.divergence import PATIENCE_SECONDS, POSITIONS_KEPT, Divergence
from replica.core.messages import Entry, StateHash
from replica.core.node import Node
from statemachine.command import OPEN, PUT

EVERY = 16
KEYS, COLD = [b"k0", b"k1"], b"cold"


class Seat:
    """One replica's state, and what it knows of the others'."""

    def __init__(self, replica: int, voters: int, every: int = EVERY) -> None:
        self.node = Node(CoreConfig(id=replica, voters=tuple(range(voters))))
        self.divergence = Divergence(self.node, every)
        self.node.on_applied = lambda entry: self.divergence.on_applied(entry.base)

    def applies(self, entry: Entry) -> None:
        self.node.append_entry(entry)
        self.node.commit(entry.index)
        self.node.apply(1 << 20)


class Table:
    """All of them. Messages go where they should at once, to and from those that are not ``away``."""

    def __init__(self, voters: int = 3, every: int = EVERY) -> None:
        self.seats = [Seat(replica, voters, every) for replica in range(voters)]
        self.away: set[int] = set()
        self.position = self.index = self.number = 0
        for seat in self.seats:
            seat.node.store.apply(bytes([PUT]), [COLD], [b"as it was"], 1)
        self.entry([[OPEN, b"token", 30.0]], commands=2)

    def entry(self, system: list[list[object]] | None = None, commands: int = 1) -> None:
        """All apply one more entry."""
        self.index += 1
        keys = [KEYS[number % 2] for number in range(commands)]
        entry = Entry(
            self.index, 1, self.position, system or [], [1], [self.number + 1], [commands], [1], bytes([PUT]) * commands, keys,
            [b"v%d" % self.index] * commands,
        )  # fmt: skip
        self.position += commands + len(system or [])
        self.number += commands
        for seat in self.seats:
            seat.applies(entry)

    def reach(self, position: int) -> None:
        """Entries of three commands until some entry ends at the position or beyond it."""
        while self.position < position:
            self.entry(commands=3)

    def work(self) -> None:
        """All hash what they have begun, and tell it."""
        for seat in self.seats:
            while seat.divergence.work(1):
                pass
        for seat in self.seats:
            for peer, sections in seat.node.take_sends():
                for section in sections:
                    if isinstance(section, StateHash) and not self.away & {peer, seat.node.config.id}:
                        self.seats[peer].divergence.on_hash(seat.node.config.id, section)

    def verdicts(self) -> list[str]:
        return [seat.divergence.verdict for seat in self.seats]

    def serving(self) -> list[int]:
        return [number for number, verdict in enumerate(self.verdicts()) if not verdict]


def test_replicas_of_one_state_compare_it_at_the_same_entry_s_end_and_go_on() -> None:
    table = Table()
    table.reach(EVERY)
    assert table.position == 18, "the entry goes beyond the multiple"
    table.reach(EVERY * 5 // 2)  # meanwhile they write on
    table.work()
    assert [list(seat.divergence._told) for seat in table.seats] == [[18]] * 3
    assert [len(set(seat.divergence._told[18].values())) for seat in table.seats] == [1] * 3
    assert (table.serving(), table.seats[0].divergence.divergent) == ([0, 1, 2], {})


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_one_whose_state_was_altered_knows_itself_to_be_wrong_whoever_it_is(wrong: int) -> None:
    table = Table()
    table.reach(EVERY)
    table.work()
    table.seats[wrong].node.store.entries.put(COLD, (b"altered", 1))  # behind the store's back, as a bit that flips would
    assert table.serving() == [0, 1, 2]
    table.reach(2 * EVERY)
    table.work()
    assert table.serving() == [replica for replica in range(3) if replica != wrong]
    assert table.seats[wrong].divergence.certain
    assert "not that of the majority" in table.seats[wrong].divergence.verdict
    assert all(list(seat.divergence.divergent) == [wrong] for seat in table.seats if seat.node.config.id != wrong)


def diverge(table: Table, *wrong: int) -> None:
    """Give some of them states of their own, and go on to the next comparison."""
    for replica in wrong:
        table.seats[replica].node.store.entries.put(b"extra %d" % replica, (None, 1))
    table.reach(table.position + EVERY)
    table.work()


def test_where_all_have_states_of_their_own_nobody_serves() -> None:
    table = Table()
    diverge(table, 1, 2)
    assert table.serving() == []
    assert not any(seat.divergence.certain for seat in table.seats)
    assert all("nobody can tell which is right" in verdict for verdict in table.verdicts())


def test_two_of_five_that_agree_with_each_other_are_still_wrong() -> None:
    table = Table(5)
    for replica in (3, 4):
        table.seats[replica].node.store.entries.put(b"extra", (None, 1))
    diverge(table)
    assert table.serving() == [0, 1, 2]


def test_a_difference_waits_for_the_voter_that_decides() -> None:
    table = Table()
    table.away = {2}
    diverge(table, 1)
    assert table.serving() == [0, 1, 2]
    position = next(iter(table.seats[0].divergence._told))
    late = StateHash(position, table.seats[2].divergence._told[position][2])
    for seat in table.seats[:2]:
        seat.divergence.on_hash(2, late)
    assert table.serving() == [0, 2]
    for seat in table.seats:
        seat.node.now += PATIENCE_SECONDS + 1
    table.work()
    assert table.serving() == [0, 2], "it was decided"


def test_a_difference_that_nobody_decides_in_time_ends_the_service_of_those_who_know_of_it() -> None:
    table = Table()
    table.away = {2}
    diverge(table, 1)
    for seat in table.seats:
        seat.node.now += PATIENCE_SECONDS
    table.work()
    assert table.serving() == [0, 1, 2]
    for seat in table.seats:
        seat.node.now += 0.1
    table.work()
    assert table.serving() == [2]


def test_a_difference_that_was_open_is_settled_when_the_majority_has_the_same_state_later() -> None:
    table = Table()
    table.away = {2}
    diverge(table, 1)
    table.away = set()
    table.reach(table.position + EVERY)
    table.work()
    assert table.serving() == [0, 2], "1 is found out"
    first = min(table.seats[0].divergence._told)
    for seat in table.seats:
        seat.node.now += PATIENCE_SECONDS + 1
    table.seats[0].divergence.on_hash(2, StateHash(first, 7))
    table.work()
    assert table.serving() == [0, 2], "nobody who is sound waits for the word about the first difference"


def test_a_large_state_is_hashed_at_multiples_of_a_power_of_two_times_the_distance() -> None:
    table = Table()
    for seat in table.seats:
        seat.node.store.apply(bytes(5), [b"large %d" % number for number in range(5)], [b"v"] * 5, 1)
    seen = set()
    for _ in range(40):
        table.entry(commands=1)
        table.work()
        seen |= set(table.seats[0].divergence._told)
    assert seen == {32}, "8 keys want 32 positions"


def test_a_replica_that_is_alone_hashes_nothing() -> None:
    table = Table(1)
    table.reach(5 * EVERY)
    assert not table.seats[0].divergence.work(1)


def test_hashes_of_strangers_and_of_old_positions_are_not_kept() -> None:
    table = Table()
    divergence = table.seats[0].divergence
    divergence.on_hash(9, StateHash(8, 1))
    assert divergence._told == {}
    for position in range(20):
        divergence.on_hash(1, StateHash(position, 1))
    assert list(divergence._told) == list(range(20 - POSITIONS_KEPT, 20))


def test_a_copy_goes_its_own_way_and_leaves_a_hash_that_is_begun_behind() -> None:
    table = Table()
    table.reach(EVERY)
    seat = table.seats[0]
    other = copy.deepcopy(seat.divergence)
    assert other.node is not seat.node
    assert not other.work(1)
    other.on_hash(1, StateHash(5, 1))
    assert seat.divergence._told == {}
    assert seat.divergence.work(1)
