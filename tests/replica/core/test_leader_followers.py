from __future__ import annotations

import pytest

from replica.core.config import CoreConfig
from replica.core.draft import Speculation
from replica.core.leader import TRIM_ENTRIES, WINDOW_ENTRIES_MAX, Leader
from replica.core.log import entry_bytes
from replica.core.messages import AcceptAck, AcceptNack, Entry, OpenSession
from replica.core.node import Node
from replica.core.witness import Run
from statemachine.command import NOOP
from tests.replica.core.seat import CLIENT, Seat

# ------------------------------------------------------------------------------------------------------------------------- committing


@pytest.mark.parametrize(("voters", "needed"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 3)])
def test_a_majority_with_the_leader_commits(voters: int, needed: int) -> None:
    seat = Seat(voters, opened=False)
    seat.turn()
    for peer in range(1, needed + 1):
        assert seat.node.commit_index == 0
        seat.ack(peer)
    assert seat.node.commit_index == 1


def test_acknowledgements_of_less_commit_less() -> None:
    seat = Seat(5, opened=False)
    seat.turn()
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    seat.turn()
    seat.ack(1, match=2)
    seat.ack(2, match=1)
    assert seat.node.commit_index == 1
    seat.ack(2, match=0)
    assert seat.node.commit_index == 1, "what was acknowledged once stays so"


def test_an_entry_of_an_older_view_is_not_committed_by_counting() -> None:
    """Raft, figure 8: it commits with the first entry of the leader's own view."""
    node = Node(CoreConfig(id=0, voters=(0, 1, 2)), view=2, leader=0)
    node.log.append(Entry(1, 1, 0, [[NOOP]], [], [], [], [], b"", [], []))
    leader = Leader(node)
    leader.serve()
    leader.on_accept_ack(1, AcceptAck(1, 2, 1, 0, []))
    assert node.commit_index == 0
    leader.close_turn()
    leader.on_accept_ack(1, AcceptAck(1, 2, 2, 0, []))
    assert node.commit_index == 2


# -------------------------------------------------------------------------------------------------------------------------- followers


def test_an_idle_leader_sends_a_heartbeat_when_it_is_due() -> None:
    seat = Seat()
    due = seat.leader.deadline()
    assert seat.turn() == {}, "told everything but the commit"
    seat.now = due
    accepts = seat.turn()
    assert [(accept.entries, accept.commit_index) for accept in accepts.values()] == [([], 1)] * 2
    assert seat.leader.deadline() == pytest.approx(seat.now + seat.node.config.heartbeat_seconds)


def test_a_new_commit_index_is_told_within_the_flush_time() -> None:
    seat = Seat()
    seat.now = seat.leader.deadline()
    seat.turn()
    (session,) = seat.open(b"t")
    seat.turn()
    seat.puts(session, b"x")
    assert seat.turn()[1].commit_index == 2, "with the next entry"
    seat.ack()
    assert seat.turn() == {}
    assert seat.leader.deadline() == pytest.approx(seat.now + seat.node.config.commit_flush_seconds)
    seat.now = seat.leader.deadline()
    assert seat.turn()[1].commit_index == 3


def test_a_leader_alone_has_nothing_to_send_and_only_leases_to_look_at() -> None:
    seat = Seat(1)
    assert (seat.turn(), seat.leader.deadline()) == ({}, seat.leader.registrar.look_at)


def test_a_follower_without_a_link_is_sent_nothing() -> None:
    seat = Seat()
    seat.leader.link_down(2)
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    assert list(seat.turn()) == [1]
    seat.now = 1.0
    assert list(seat.turn()) == [1]


def test_a_leader_without_links_waits_for_its_next_heartbeat() -> None:
    seat = Seat(linked=False, opened=False)
    assert seat.turn() == {}
    assert seat.leader.deadline() > seat.now


def test_on_a_fresh_link_sending_starts_again_behind_what_was_acknowledged() -> None:
    seat = Seat()
    seat.open(b"t")
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"u"], 30.0))
    assert seat.turn()[2].previous_index == 2
    seat.leader.link_down(2)
    seat.leader.link_up(2)
    accept = seat.turn()[2]
    assert (accept.previous_index, [entry.index for entry in accept.entries]) == (2, [3])


def test_a_follower_that_misses_entries_is_backed_up_to_its_hint_never_below_its_match() -> None:
    seat = Seat()
    for token in (b"t", b"u", b"v"):
        seat.leader.registrar.on_open_session(CLIENT, OpenSession([token], 30.0))
        seat.turn()
    seat.ack(1)
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 2, seat.leader.round))
    accept = seat.turn()[2]
    assert (accept.previous_index, [entry.index for entry in accept.entries]) == (2, [3, 4])
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 0, seat.leader.round))
    assert seat.turn()[2].previous_index == 1
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 99, seat.leader.round))
    assert seat.turn() == {}, "a hint beyond what was sent says nothing"


def test_a_round_is_confirmed_by_a_majority_that_echoes_it() -> None:
    seat = Seat(5)
    confirmed = seat.leader.confirmed
    seat.leader.round_wanted = True
    assert len(seat.turn()) == 4
    sent = seat.leader.round
    assert sent > confirmed
    seat.ack(1)
    assert seat.leader.confirmed < sent
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 0, sent))
    assert seat.leader.confirmed == sent, "a nack confirms leadership like an ack"


# ----------------------------------------------------------------------------------------------------------------------------- limits


def filled(seat: Seat, session: int, entries: int, value_bytes: int = 0) -> None:
    """Make entries of one command each."""
    for _ in range(entries):
        chain = seat.node.witness.chains[session]
        seat.node.witness.hold(chain, Run(chain.held + 1, chain.held + 1, b"\0", [b"k"], [bytes(value_bytes)], 1), 0.0)
        assert seat.leader.append(chain, Speculation())
        seat.leader.close_turn()


def test_one_frame_to_a_follower_that_catches_up_is_bounded() -> None:
    seat = Seat(accept_bytes_max=10_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 10, value_bytes=3000)
    sent = []
    while accepts := seat.turn():
        sent.append([entry.index for entry in accepts[1].entries])
    assert [index for frame in sent for index in frame] == list(range(3, 13))
    assert max(map(len, sent)) == 2


def test_a_follower_that_acknowledges_nothing_is_sent_a_bounded_number_of_entries() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    filled(seat, session, WINDOW_ENTRIES_MAX + 200)
    for _ in range(40):
        seat.turn()
    assert seat.leader.progress[1].next - seat.leader.progress[1].match <= WINDOW_ENTRIES_MAX + 64
    assert seat.turn() == {}
    seat.ack(1, match=500)
    assert seat.turn()[1].entries


def test_a_follower_that_acknowledges_nothing_is_sent_a_bounded_number_of_bytes() -> None:
    seat = Seat(window_bytes_max=20_000, accept_bytes_max=5_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 30, value_bytes=2000)
    for _ in range(40):
        seat.turn()
    progress, log = seat.leader.progress[1], seat.node.log
    size = sum(entry_bytes(log.get(index)) for index in range(progress.match + 1, progress.next))
    assert 15_000 < size < 25_000 + 5_000
    assert 1 not in seat.turn(), "its answers would be answered in turn, for ever"
    seat.now = seat.leader.heartbeat_at
    assert seat.turn()[1].entries == []
    seat.ack(1, match=progress.next - 1)
    assert seat.turn()[1].entries


def test_the_log_forgets_in_large_steps_what_everybody_has() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    filled(seat, session, TRIM_ENTRIES - 10)
    seat.commit()
    seat.leader.trim()
    assert seat.node.log.first_index == 1
    filled(seat, session, 20)
    seat.commit()
    seat.leader.trim()
    assert seat.node.log.first_index == seat.node.log.last_index + 1


def test_the_log_keeps_what_a_follower_lacks() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    filled(seat, session, 2 * TRIM_ENTRIES)
    seat.turn()
    seat.ack(1)
    seat.apply()
    seat.leader.trim()
    assert seat.node.log.first_index == 1


def test_past_half_its_limit_the_log_leaves_a_slow_follower_behind() -> None:
    seat = Seat(log_bytes_max=100_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 20, value_bytes=5_000)
    assert seat.leader.busy()
    seat.turn()
    seat.ack(1)
    seat.apply()
    seat.leader.trim()
    assert not seat.leader.busy()
    seat.leader.link_down(2)
    seat.leader.link_up(2)
    seat.now = 1.0
    assert seat.turn()[2].entries == [], "it needs a snapshot first"


def test_a_log_of_few_large_entries_is_forgotten_too() -> None:
    """Fewer entries than one step forgets, but over the limit: nobody could write ever again."""
    seat = Seat(log_bytes_max=100_000)
    (session,) = seat.open(b"t")
    for _ in range(30):
        filled(seat, session, 1, value_bytes=9_000)
        seat.commit()
        seat.leader.trim()
        assert not seat.leader.busy()


def test_before_it_leaves_anybody_behind_the_log_forgets_what_all_have() -> None:
    seat = Seat(log_bytes_max=100_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 9, value_bytes=5_000)
    seat.commit()
    filled(seat, session, 2, value_bytes=5_000)
    seat.turn()
    seat.ack(1)
    seat.apply()
    seat.leader.trim()
    assert seat.node.log.first_index == seat.leader.progress[2].match + 1
