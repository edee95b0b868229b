from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from replica.core.client import Client, ClientConfig
from replica.core.homes import MOVES_AFTER, PINGS_FIRST, PINGS_KEPT, PINGS_SILENT, SPREAD_AFTER, SPREAD_AT_ONCE
from replica.core.messages import Applied, CausalRead, Home, Leader, Ping, Pong, Record, RecordAck, SessionOpened
from statemachine.command import CAUSAL, PUT

if TYPE_CHECKING:
    from replica.core.messages import Message
    from replica.core.session import Session


class Far:
    """A client whose links have round trips of their own: pings are answered after that long."""

    def __init__(self, *round_trips: float, up: tuple[int, ...] | None = None) -> None:
        self.round_trips = list(round_trips)
        self.client = Client(ClientConfig(voters=tuple(range(len(round_trips)))))
        self.now = 0.0
        self.pongs: list[tuple[float, int, int]] = []
        self.told: list[tuple[int, Message]] = []
        for replica in range(len(round_trips)) if up is None else up:
            self.client.link_up(replica, 0.0)
        self.client.step(0, [Leader(1, 1, 0)], 0.0)
        self.turn()
        self.run(0.5)

    def turn(self) -> None:
        self.client.take_completions(self.now)
        for replica, frame in self.client.take_sends():
            for message in frame:
                self.told.append((replica, message))
                if isinstance(message, Ping):
                    self.pongs.append((self.now + self.round_trips[replica], replica, message.nonce))

    def run(self, seconds: float) -> None:
        """Time passes; pings are answered as they come back, and what is due is run."""
        end = self.now + seconds
        while True:
            events = sorted([(due, 0, replica, nonce) for due, replica, nonce in self.pongs] + [(self.client.deadline(), 1, 0, 0)])
            due, kind, replica, nonce = events[0]
            if due > end:
                break
            self.now = max(self.now, due)
            if kind:
                self.client.expire(self.now)
            else:
                self.pongs.remove((due, replica, nonce))
                self.client.step(replica, [Pong(nonce)], self.now)
            self.turn()
        self.now = end

    def open(self, number: int) -> Session:
        session = self.client.open_session(b"%d" % number, number)
        self.client.step(0, [SessionOpened([b"%d" % number], [number])], self.now)
        self.turn()
        return session

    def homes(self) -> list[tuple[int, int, bool]]:
        """Return what was told about homes since the last time: (replica, session, home)."""
        found = [(replica, session, message.home) for replica, message in self.told if isinstance(message, Home) for session in message.sessions]
        self.told.clear()
        return found


# ------------------------------------------------------------------------------------------------------------------------- choosing


def test_the_home_is_the_replica_with_the_best_round_trip() -> None:
    far = Far(0.050, 0.001, 0.030)
    session = far.open(9)
    assert session.home == 1
    assert far.homes() == [(1, 9, True)]


def test_replicas_within_a_fifth_and_a_tenth_of_a_millisecond_are_equal_and_share_the_sessions() -> None:
    far = Far(0.0100, 0.0115, 0.0100 * 1.2 + 0.00015)
    assert Counter(far.open(number).home for number in range(1, 41)) == {0: 20, 1: 20}


def test_a_replica_that_was_not_measured_yet_is_nobodys_choice() -> None:
    far = Far(0.010, 0.010, 9.0)
    assert {far.open(number).home for number in range(1, 10)} == {0, 1}


def test_before_anything_is_measured_all_that_are_linked_are_equal() -> None:
    far = Far(9.0, 9.0, 9.0, up=(0, 2))
    assert {far.open(number).home for number in range(1, 10)} == {0, 2}


def test_a_fresh_link_is_measured_several_times_at_once() -> None:
    far = Far(0.010, 0.010, 0.010)
    assert [len(line.trips) for line in far.client.homes.lines.values()] == [PINGS_FIRST] * 3


def test_a_replica_that_answers_no_ping_is_asked_for_ever_and_few_are_waited_for() -> None:
    far = Far(0.010, 0.010, 0.010)
    far.round_trips[2] = 1000.0
    far.run(30.0)
    assert sum(replica == 2 for _, replica, _ in far.pongs) > PINGS_KEPT
    assert len(far.client.homes.lines[2].pinged) == PINGS_KEPT


# --------------------------------------------------------------------------------------------------------------------------- moving


def test_a_session_moves_after_several_worse_measurements_in_a_row() -> None:
    far = Far(0.050, 0.001, 0.050)
    session = far.open(9)
    far.homes()
    far.round_trips = [0.050, 0.200, 0.001]
    moved_at = None
    for second in range(30):
        far.run(1.0)
        if session.home == 2:
            moved_at = second
            break
    assert moved_at is not None
    assert moved_at >= MOVES_AFTER - 1
    assert far.homes() == [(1, 9, False), (2, 9, True)]
    assert far.client.moved == 1


def test_sessions_that_came_together_while_others_were_away_are_spread_again() -> None:
    """After an outage all were at home with whom the client reached first, for as long as it lived."""
    far = Far(0.001, 0.001, 0.001)
    sessions = [far.open(number) for number in range(9, 15)]
    far.client.link_down(2, far.now)
    far.client.link_down(1, far.now)
    far.run(5.0)
    assert {session.home for session in sessions} == {0}
    for replica in (1, 2):
        far.client.link_up(replica, far.now)
    far.run(SPREAD_AFTER - 2)
    assert {session.home for session in sessions} == {0}, "not at once: who comes and goes would make them move all the time"
    far.run(4.0)
    assert [session.home for session in sessions] == [0, 1, 2, 0, 1, 2]
    moved = far.client.moved
    far.run(100.0)
    assert far.client.moved == moved


def test_sessions_are_not_spread_over_replicas_that_are_equals_now_and_then() -> None:
    far = Far(0.001, 0.001, 0.001)
    sessions = [far.open(number) for number in range(9, 15)]
    for _ in range(10):
        far.client.link_down(2, far.now)
        far.client.link_up(2, far.now)
        far.run(SPREAD_AFTER - 5)
    assert {session.home for session in sessions} == {0, 1}


def test_many_sessions_are_spread_a_part_at_a_time() -> None:
    far = Far(0.001, 0.001)
    far.client.link_down(1, far.now)
    for number in range(10, 10 + 3 * SPREAD_AT_ONCE):
        far.open(number)
    far.client.link_up(1, far.now)
    far.run(SPREAD_AFTER - 5)
    moved = [far.client.moved]
    for _ in range(12):
        far.run(1.0)
        moved.append(far.client.moved)
    assert {later - sooner for sooner, later in pairwise(moved)} == {0, SPREAD_AT_ONCE, SPREAD_AT_ONCE // 2}


def test_a_session_that_ends_while_its_home_measures_worse_is_forgotten() -> None:
    far = Far(0.01, 0.001)
    session = far.open(7)
    session.home = 0
    far.run(1.1)
    assert far.client.homes.worse == {7: 1}
    far.client.close_session(session)
    assert far.client.homes.worse == {}


def test_a_session_leaves_a_home_that_falls_silent_and_keeps_no_writes_for_it() -> None:
    far = Far(0.001, 0.050, 0.100)
    session = far.open(1)
    assert session.home == 0
    far.round_trips[0] = math.inf
    far.run(1 + PINGS_SILENT)
    assert session.home == 1
    assert far.open(2).home == 1
    session.record(bytes([PUT]), [b"k"], [b"v"], None, far.now)
    far.client.step(1, [Applied(1, 1, leader=False, position=5, sessions=[1], upto=[1], results=[])], far.now)
    assert not session.own.order


def test_a_measurement_in_between_that_is_good_again_keeps_it() -> None:
    far = Far(0.010, 0.010, 0.010)
    session = far.open(9)
    home = session.home
    for _ in range(20):
        far.round_trips[home] = 0.100 if far.round_trips[home] == 0.010 else 0.010
        far.run(1.0)
    assert (session.home, far.client.moved) == (home, 0)


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_session_whose_home_is_gone_moves_at_once_with_all_that_is_on_its_way(dead: int) -> None:
    far = Far(0.010, 0.010, 0.010)
    sessions = [far.open(number) for number in range(1, 7)]
    for session in sessions:
        session.record(bytes([0x80]), [b"x"], [b"1"], None, far.now)
        session.causal_read([b"y"], None, far.now)
    far.turn()
    homeless = [session for session in sessions if session.home == dead]
    far.told.clear()
    far.client.link_down(dead, far.now)
    far.turn()
    assert homeless
    for session in homeless:
        told = [message for replica, message in far.told if replica == session.home]
        assert session.home != dead
        assert any(isinstance(message, Record) and session.id in message.sessions for message in told)
        assert any(isinstance(message, CausalRead) and session.id in message.sessions for message in told)
    assert sorted(far.homes()) == sorted((session.home, session.id, True) for session in homeless)


def test_a_session_keeps_its_floor_when_it_moves() -> None:
    far = Far(0.010, 0.010, 0.010)
    session = far.open(9)
    session.floor = 77
    far.client.link_down(session.home, far.now)
    session.causal_read([b"y"], None, far.now)
    far.told.clear()
    far.turn()
    assert [message.floors for _, message in far.told if isinstance(message, CausalRead)] == [[77]]


def test_sessions_are_bound_again_on_a_fresh_link_to_their_home() -> None:
    far = Far(0.010, 0.010, 0.010)
    sessions = [far.open(number) for number in range(1, 7)]
    for replica in range(3):
        far.client.link_down(replica, far.now)
    far.homes()
    far.client.link_up(2, far.now)
    far.turn()
    assert {session.home for session in sessions} == {2}
    assert {(replica, home) for replica, _, home in far.homes()} == {(2, True)}
    far.client.link_up(1, far.now)
    far.turn()
    assert far.homes() == []


def test_with_no_link_at_all_nothing_is_sent_and_nothing_breaks() -> None:
    far = Far(0.010, 0.010, 0.010)
    session = far.open(9)
    for replica in range(3):
        far.client.link_down(replica, far.now)
    session.causal_read([b"y"], None, far.now)
    session.strong_read([b"y"], None, far.now)
    session.record(b"\0", [b"x"], [b"1"], None, far.now)
    far.told.clear()
    far.run(5.0)
    assert far.told == []
    far.client.link_up(0, far.now)
    far.turn()
    assert {type(message).__name__ for _, message in far.told} >= {"Home", "Record", "CausalRead", "ReadIndex"}


def test_a_pong_that_nobody_asked_for_measures_nothing() -> None:
    far = Far(0.010, 0.010, 0.010)
    before = [list(line.trips) for line in far.client.homes.lines.values()]
    far.client.step(1, [Pong(9999)], far.now)
    assert [list(line.trips) for line in far.client.homes.lines.values()] == before


def test_what_a_replica_held_before_its_link_broke_counts_for_nothing_when_it_is_the_home() -> None:
    """Without disks it may have died and forgotten: a causal write that nobody holds is not complete."""
    far = Far(0.001, 0.010, 0.030)
    session = far.open(9)
    session.record(bytes([PUT | CAUSAL]), [b"k"], [b"v"], "write", far.now)
    far.client.step(1, [RecordAck(1, 1, [9], [1], [0], [])], far.now)
    assert far.client.take_completions(far.now) == []
    far.client.link_down(1, far.now)
    far.client.link_up(1, far.now)
    far.run(0.5)
    far.client.link_down(0, far.now)
    assert session.home == 1
    far.client.step(2, [RecordAck(1, 1, [9], [1], [0], [])], far.now)
    assert far.client.take_completions(far.now) == [], "replica 1 has not said anything since"
    far.client.step(1, [RecordAck(1, 1, [9], [1], [0], [])], far.now)
    assert [completion.handle for completion in far.client.take_completions(far.now)] == ["write"]
