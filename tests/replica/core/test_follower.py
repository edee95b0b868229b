from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from replica.core.config import CoreConfig
from replica.core.follower import FORWARD_BYTES_MAX, FORWARD_COMMANDS_MAX, Follower
from replica.core.messages import Accept, AcceptAck, AcceptNack, Entry, Forward, Message, Record
from replica.core.node import Node
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, CAUSAL, NOOP, OPEN

SESSION = 1


class Bench:
    """A follower on its node; the leader is replica 0 of three."""

    def __init__(self, **config: Any) -> None:
        self.node = Node(CoreConfig(id=1, voters=(0, 1, 2), **config), view=1, leader=0)
        self.follower = Follower(self.node)

    def accept(self, *entries: Entry, previous: int = -1, view: int = -1, commit: int = 0, round: int = 1) -> list[Message]:  # noqa: A002 - the field
        """Take an accept; returns this turn's answer."""
        if previous < 0:
            previous = entries[0].index - 1 if entries else self.node.log.last_index
        if view < 0:
            view = self.node.log.view_at(previous) or 0
        self.follower.on_accept(Accept(1, 1, previous, view, commit, round, list(entries)))
        return self.answer()

    def answer(self) -> list[Message]:
        sends = self.follower.acks()
        assert all(peer == 0 for peer, _ in sends)
        return [message for _, sections in sends for message in sections]

    def open(self) -> None:
        """Open a session, applied here."""
        self.accept(Entry(1, 1, 0, [[OPEN, b"t", 30.0]], [], [], [], [], b"", [], []), commit=1)
        self.apply()

    def apply(self) -> None:
        while self.node.apply(1 << 30):
            pass

    def hold(self, *runs: tuple[int, int], at: float = 0.0) -> None:
        """Its witness holds runs ``(first, count)`` of the session."""
        for first, count in runs:
            run = Run(first, first + count - 1, bytes(count), [b"k"] * count, [b"v"] * count, 1)
            self.node.witness.hold(self.node.witness.chains[SESSION], run, at)

    def forwards(self, now: float) -> list[Message]:
        return [message for _, sections in self.follower.forwards(now) for message in sections]


def entry(index: int, view: int = 1, base: int = -1, commands: int = 0, first: int = 1) -> Entry:
    system: list[list[object]] = [] if commands else [[NOOP]]
    runs = ([SESSION], [first], [commands], [1]) if commands else ([], [], [], [])
    return Entry(index, view, index - 1 if base < 0 else base, system, *runs, bytes(commands), [b"k"] * commands, [b"v"] * commands)


# ------------------------------------------------------------------------------------------------------------------- the leader's log


def test_matching_entries_are_taken_and_acknowledged_once_a_turn() -> None:
    bench = Bench()
    bench.follower.on_accept(Accept(1, 1, 0, 0, 0, 1, [entry(1)]))
    bench.follower.on_accept(Accept(1, 1, 1, 1, 0, 2, [entry(2), entry(3)]))
    assert bench.answer() == [AcceptAck(1, 1, 3, 2, [])]
    assert bench.answer() == []


def test_a_heartbeat_is_acknowledged_with_its_round() -> None:
    bench = Bench()
    bench.accept(entry(1))
    assert bench.accept(round=7) == [AcceptAck(1, 1, 1, 7, [])]
    assert bench.accept(round=3) == [AcceptAck(1, 1, 1, 7, [])], "a late frame confirms nothing anew"


def test_the_commit_index_is_taken_up_to_what_is_known_to_match() -> None:
    bench = Bench()
    bench.accept(entry(1), entry(2), commit=9)
    assert bench.node.commit_index == 2
    bench.accept(entry(3), commit=1)
    assert bench.node.commit_index == 2, "it never goes back"


def test_an_old_tail_that_no_accept_has_matched_is_not_committed() -> None:
    """Entries of an older view may lie above the match: a commit index says nothing of them."""
    bench = Bench()
    for index in (1, 2, 3):
        bench.node.log.append(entry(index, view=0))
    bench.accept(previous=1, view=0, commit=3)
    assert bench.node.commit_index == 1


def test_what_is_there_already_is_taken_again_without_harm() -> None:
    bench = Bench()
    bench.accept(entry(1), entry(2), commit=2)
    bench.apply()
    assert bench.accept(entry(1), entry(2), entry(3), previous=0) == [AcceptAck(1, 1, 3, 1, [])]
    assert (bench.node.log.last_index, bench.node.applied_index) == (3, 2)


def test_a_late_accept_takes_nothing_back() -> None:
    bench = Bench()
    bench.accept(entry(1), entry(2), entry(3))
    assert bench.accept(entry(1), previous=0) == [AcceptAck(1, 1, 3, 1, [])]


def test_a_hole_is_answered_with_where_the_log_ends() -> None:
    bench = Bench()
    bench.accept(entry(1))
    assert bench.accept(entry(5), previous=4, view=1, round=3) == [AcceptNack(1, 1, 1, 3)]
    assert bench.node.log.last_index == 1


def test_a_previous_entry_of_another_view_is_answered_with_the_last_before_that_view() -> None:
    """A round trip for each view that differs, not for each entry; what is committed does not differ."""
    for views, committed, hint in (([0, 0], 0, 0), ([0, 0, 2, 2, 2], 0, 2), ([0, 0, 2, 2, 2], 4, 4), ([0], 0, 0)):
        bench = Bench()
        for index, view in enumerate(views, 1):
            bench.node.log.append(entry(index, view=view))
        bench.node.commit_index = committed
        assert bench.accept(entry(len(views) + 1), previous=len(views), view=1) == [AcceptNack(1, 1, hint, 1)]


def test_a_nack_is_the_one_answer_of_its_turn() -> None:
    bench = Bench()
    bench.follower.on_accept(Accept(1, 1, 0, 0, 0, 1, [entry(1)]))
    bench.follower.on_accept(Accept(1, 1, 7, 1, 0, 2, []))
    assert bench.answer() == [AcceptNack(1, 1, 1, 2)]
    assert bench.accept() == [AcceptAck(1, 1, 1, 2, [])]


def test_entries_of_another_view_give_way_from_the_first_conflict_on() -> None:
    bench = Bench()
    for index in (1, 2, 3):
        bench.node.log.append(entry(index, view=0))
    bench.accept(entry(2), previous=1, view=0)
    assert [bench.node.log.view_at(index) for index in (1, 2, 3)] == [0, 1, None]


def test_a_committed_entry_is_never_truncated() -> None:
    bench = Bench()
    bench.accept(entry(1), entry(2), commit=2)
    with pytest.raises(AssertionError, match="committed"):
        bench.accept(entry(2, view=3), previous=1, view=1)


def test_an_accept_from_below_the_kept_log_matches_what_was_applied() -> None:
    bench = Bench()
    bench.accept(*(entry(index) for index in range(1, 6)), commit=5)
    bench.apply()
    bench.node.log.discard_upto(4)
    assert bench.accept(*(entry(index) for index in range(3, 8)), previous=2, view=1) == [AcceptAck(1, 1, 7, 1, [])]


# --------------------------------------------------------------------------------------------------------------------------- limits


def test_applied_entries_beyond_a_window_are_forgotten_in_large_steps() -> None:
    bench = Bench()
    bench.accept(
        *(entry(index) for index in range(1, 2 * CoreConfig(id=0, voters=(0,)).entries_kept_max)),
        commit=2 * CoreConfig(id=0, voters=(0,)).entries_kept_max,
    )
    bench.apply()
    bench.follower.trim()
    assert bench.node.log.first_index == 1
    bench.accept(
        entry(2 * CoreConfig(id=0, voters=(0,)).entries_kept_max),
        entry(2 * CoreConfig(id=0, voters=(0,)).entries_kept_max + 1),
        commit=2 * CoreConfig(id=0, voters=(0,)).entries_kept_max + 1,
    )
    bench.apply()
    bench.follower.trim()
    assert bench.node.log.first_index == CoreConfig(id=0, voters=(0,)).entries_kept_max + 2


def test_past_half_its_limit_the_log_keeps_only_what_is_not_applied() -> None:
    bench = Bench(log_bytes_max=5_000)
    bench.accept(*(entry(index) for index in range(1, 20)), commit=12)
    bench.apply()
    bench.follower.trim()
    assert (bench.node.log.first_index, bench.node.log.last_index) == (13, 19)


# ------------------------------------------------------------------------------------------------------------------------- forwarding


def test_commands_that_the_log_does_not_show_for_long_are_forwarded() -> None:
    """Their client may have lost the leader, or died."""
    bench = Bench()
    bench.open()
    bench.hold((1, 2), (3, 1), at=10.0)
    bench.node.now = 10.25
    bench.accept(round=2)
    assert bench.forwards(10.25) == []
    bench.node.now = 10.65
    bench.accept(round=3)
    (forward,) = bench.forwards(10.65)
    assert forward == Forward(Record([SESSION, SESSION], [1, 3], [2, 1], [0, 2], [1, 1], bytes(3), [b"k"] * 3, [b"v"] * 3))


def test_they_are_forwarded_again_only_after_as_long_again() -> None:
    bench = Bench()
    bench.open()
    bench.hold((1, 1))
    found = []
    for step in range(1, 41):
        bench.node.now = step * 0.05
        bench.accept(round=step)
        found += [bench.node.now for _ in bench.forwards(bench.node.now)]
    assert 4 <= len(found) <= 6
    assert min(later - sooner for sooner, later in pairwise(found)) >= 0.3 - 1e-9


def test_what_the_log_shows_is_not_forwarded() -> None:
    bench = Bench()
    bench.open()
    bench.hold((1, 2))
    bench.accept(entry(2, base=1, commands=1))
    bench.node.now = 1.0
    bench.accept(round=2)
    assert bench.forwards(1.0) == []


def test_a_silent_leader_is_not_flooded_and_no_time_is_lost_asking() -> None:
    bench = Bench()
    bench.open()
    bench.hold((1, 1))
    assert bench.forwards(5.0) == []
    assert bench.follower.forward_at > 5.0, "a due time that stays in the past would be asked for ever again"


def test_a_follower_that_lags_forwards_nothing() -> None:
    """What it holds may be committed already."""
    bench = Bench()
    bench.open()
    bench.hold((1, 1))
    bench.node.now = 1.0
    bench.accept(entry(2, base=1, commands=1), commit=2)
    assert bench.forwards(1.0) == []


def test_a_session_that_makes_progress_is_not_forwarded() -> None:
    """What is in flight in a busy session came just now, however long the session has been busy."""
    bench = Bench()
    bench.open()
    position = 1
    bench.hold((1, 1))
    for step in range(1, 21):
        bench.node.now = step * 0.05
        bench.hold((step + 1, 1), at=bench.node.now)
        bench.accept(entry(step + 1, base=position, commands=1, first=step), commit=step + 1, round=step)
        bench.apply()
        position += 1
        assert bench.forwards(bench.node.now) == []


def test_one_turn_forwards_a_bounded_number_of_commands() -> None:
    bench = Bench()
    system: list[list[object]] = [[OPEN, b"%d" % number, 30.0] for number in range(4)]
    bench.accept(Entry(1, 1, 0, system, [], [], [], [], b"", [], []), commit=1)
    bench.apply()
    for chain in bench.node.witness.chains.values():
        count = FORWARD_COMMANDS_MAX // 2
        bench.node.witness.hold(chain, Run(1, count, bytes([CAUSAL]) * count, [b"k"] * count, [b"v"] * count, 1), 0.0)
    bench.node.now = 1.0
    bench.accept(round=2)
    assert len(bench.forwards(1.0)) == 2
    bench.node.now = 1.4
    bench.accept(round=3)
    assert len(bench.forwards(1.4)) == 2


def test_one_turn_forwards_no_more_bytes_than_fit_a_frame() -> None:
    bench = Bench()
    bench.open()
    size = FORWARD_BYTES_MAX // 2
    for number in range(1, 9):  # of each cas both values count
        run = Run(number, number, bytes([CAS_VALUE]), [b"k"], [[bytes(size // 2), bytes(size // 2)]], 1)
        bench.node.witness.hold(bench.node.witness.chains[SESSION], run, 0.0)
    bench.node.now = 1.0
    bench.accept(round=2)
    (forward,) = bench.forwards(1.0)
    assert isinstance(forward, Forward)
    assert (forward.record.firsts, forward.record.previous, len(forward.record.keys)) == ([1, 2], [0, 1], 2)


def test_a_follower_that_knows_no_leader_says_nothing() -> None:
    bench = Bench()
    bench.open()
    bench.hold((1, 1))
    bench.node.leader = -1
    bench.follower.ack_due = True
    assert (bench.answer(), bench.forwards(9.0)) == ([], [])
