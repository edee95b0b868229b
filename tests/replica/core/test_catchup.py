from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.core.configuration import Configuration
from replica.core.effects import Received
from replica.core.messages import AcceptAck, AcceptNack, Entry, Record, SnapshotAck, SnapshotPart
from statemachine.command import NOOP, OPEN
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.replica.core.lone import CLIENT, Lone, accept, noop
from tests.replica.core.transfer import FOLLOWER, Transfer, parts_of, small_chunks

if TYPE_CHECKING:
    from replica.core.messages import Message

pytestmark = pytest.mark.usefixtures("parts_of_two_keys")


@pytest.fixture
def parts_of_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)


def follower(*, durable: bool = True) -> Lone:
    return Lone(FOLLOWER, durable=durable, election_seconds=math.inf)


def acked(sent: list[tuple[int, Message]]) -> list[int]:
    """Return how many parts each answer says are here."""
    return [section.part for _, section in sent if isinstance(section, SnapshotAck)]


def matches(sent: list[tuple[int, Message]]) -> list[int]:
    return [section.match_index for _, section in sent if isinstance(section, AcceptAck)]


def takes(lone: Lone, source: int, parts: list[SnapshotPart]) -> list[tuple[int, Message]]:
    """Give it parts, each in a turn of its own; returns what it sends then."""
    return [told for part in parts for told in lone.tell(source, part)]


def states(lone: Lone) -> tuple[object, object, int, int]:
    node = lone.replica.node
    return node.store.freeze(), node.sessions.freeze(), node.applied_index, node.applied_position


def whole(transfer: Transfer) -> list[SnapshotPart]:
    """Return all parts of a transfer, acknowledged as they come."""
    transfer.begin()
    while transfer.ack_parts(len(transfer.parts)):
        pass
    return transfer.parts


# ---------------------------------------------------------------------------------------------------------------------- the leader


def test_who_lacks_what_the_log_forgot_is_sent_the_state_within_the_window() -> None:
    transfer = Transfer(keys=8, window=3)
    assert transfer.begin() == [0, 1, 2]
    assert transfer.ack_parts(1) == [3]
    assert transfer.ack_parts(1) == [], "nothing new"
    assert transfer.ack_parts(4) == [4, 5, 6]
    assert [part.last for part in transfer.parts] == [False] * 6 + [True]
    assert {(part.index, part.entry_view, part.position, part.sessions) for part in transfer.parts} == {(10, 1, transfer.node.applied_position, 2)}


def test_the_log_goes_on_behind_the_state() -> None:
    transfer = Transfer(keys=3)
    parts = whole(transfer)
    progress = transfer.leader.progress[FOLLOWER]
    assert (progress.sending, progress.next) == (None, parts[0].index + 1)
    transfer.puts(transfer.session, b"x")
    assert [entry.index for entry in transfer.turn()[FOLLOWER].entries] == [parts[0].index + 1]


def test_a_follower_is_sent_no_entries_before_it_has_the_state() -> None:
    transfer = Transfer()
    transfer.begin()
    transfer.puts(transfer.session, b"x")
    sent = transfer.turn()
    assert len(sent[1].entries) == 1
    assert FOLLOWER not in sent
    transfer.now = transfer.node.now = 0.2
    assert transfer.turn()[FOLLOWER].entries == [], "it hears heartbeats"


def test_the_state_is_that_of_the_moment_at_which_the_transfer_began() -> None:
    transfer = Transfer(keys=6)
    transfer.begin()
    before = transfer.node.store.freeze()
    transfer.puts(transfer.session, *[b"k%d" % number for number in range(6)])
    transfer.turn()
    transfer.leader.on_accept_ack(1, transfer.acknowledgement())
    transfer.apply()
    while transfer.ack_parts(len(transfer.parts), transfer.parts[0].index):
        pass
    told = Store.restore(part.chunk for part in transfer.parts[transfer.parts[0].sessions :])
    assert told.freeze() == before != transfer.node.store.freeze()


def test_a_fresh_link_gets_the_parts_that_were_not_acknowledged() -> None:
    transfer = Transfer()
    transfer.begin()
    transfer.ack_parts(2)
    transfer.leader.link_down(FOLLOWER)
    transfer.leader.link_up(FOLLOWER)
    assert transfer.sent() == [2, 3, 4]


def test_parts_of_which_nothing_is_heard_are_sent_again_after_an_election_s_time() -> None:
    transfer = Transfer(window=2)
    transfer.begin()
    for now, sent in ((0.4, []), (0.61, [0, 1]), (1.0, []), (1.21, [0, 1])):
        transfer.now = transfer.node.now = now
        transfer.turn()
        assert transfer.sent() == sent, now


def test_an_answer_puts_the_sending_again_off() -> None:
    transfer = Transfer(window=1)
    transfer.begin()
    transfer.now = transfer.node.now = 0.4
    assert transfer.ack_parts(1) == [1]
    transfer.now = transfer.node.now = 0.8
    transfer.turn()
    assert transfer.sent() == []


@pytest.mark.parametrize(("upto", "index"), [(1, 99), (4, -1), (9, -1)])
def test_answers_about_another_snapshot_or_parts_that_were_not_sent_are_nothing(upto: int, index: int) -> None:
    transfer = Transfer(window=3)
    transfer.begin()
    assert transfer.ack_parts(upto, index) == []
    sending = transfer.leader.progress[FOLLOWER].sending
    assert sending is not None
    assert (sending.acked, len(sending.made)) == (0, 3)


def test_an_answer_when_nothing_is_sent_any_more_is_nothing() -> None:
    transfer = Transfer()
    assert transfer.ack_parts(1) == []


def test_a_follower_whose_log_reached_the_snapshot_gets_no_more_of_it() -> None:
    transfer = Transfer()
    transfer.begin()
    transfer.leader.on_accept_ack(FOLLOWER, transfer.acknowledgement())
    assert transfer.leader.progress[FOLLOWER].sending is None
    assert transfer.ack_parts(1) == []


def test_one_transfer_at_a_time_however_often_the_follower_complains() -> None:
    transfer = Transfer()
    assert transfer.begin()
    assert transfer.begin() == []


def test_a_follower_that_lost_the_parts_it_had_gets_them_again() -> None:
    """It was started again in the middle: what it has is less than it said before."""
    transfer = Transfer(window=3)
    transfer.begin()
    transfer.ack_parts(2)
    transfer.leader.link_down(FOLLOWER)
    transfer.leader.link_up(FOLLOWER)
    transfer.sent()
    resent: list[int] = []
    for now in range(1, 4):
        transfer.now = transfer.node.now = float(now)
        transfer.turn()
        resent += transfer.sent() + transfer.ack_parts(0)
    assert 0 in resent


# -------------------------------------------------------------------------------------------------------------------- the follower


def test_parts_in_their_order_become_the_leader_s_state() -> None:
    transfer, lone = Transfer(keys=5), follower()
    parts = whole(transfer)
    assert [acked(lone.tell(0, part)) for part in parts] == [[number] for number in range(1, len(parts) + 1)]
    node = transfer.node
    assert states(lone) == (node.store.freeze(), node.sessions.freeze(), node.applied_index, node.applied_position)
    log = lone.replica.node.log
    assert (log.first_index, log.last_index, log.last_view, log.last_position) == (8, 7, 1, node.applied_position)


def test_the_state_is_changed_in_one_step() -> None:
    lone = follower()
    before = states(lone)
    *most, last = whole(Transfer(keys=5))
    for part in most:
        lone.tell(0, part)
        assert states(lone) == before
    lone.tell(0, last)
    assert states(lone) != before


@given(st.data())
def test_parts_may_be_lost_repeated_and_out_of_order(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch)
        transfer, lone = Transfer(keys=5), follower()
        parts = whole(transfer)
        have = 0
        for number in data.draw(st.lists(st.integers(0, len(parts) - 1), max_size=12)):
            done = have == len(parts)
            (answer,) = acked(lone.tell(0, parts[number])) or [have]
            have += number == have
            assert done or answer == have
        for part in parts[have:]:
            lone.tell(0, part)
        assert states(lone)[:2] == (transfer.node.store.freeze(), transfer.node.sessions.freeze())


def test_another_leader_begins_anew_with_a_state_of_its_own() -> None:
    lone, parts = follower(), whole(Transfer(keys=5))
    takes(lone, 0, parts[:3])
    store = Store()
    store.apply(b"\0", [b"other"], [b"v"], 4)
    others = parts_of(6, 2, 2, store=store)
    assert [acked(lone.tell(1, part)) for part in others] == [[number] for number in range(1, len(others) + 1)]
    assert (states(lone)[0], lone.replica.node.applied_index) == (store.freeze(), 6)


def test_a_part_that_tells_no_state_is_refused_by_name_and_all_is_begun_anew() -> None:
    parts = whole(Transfer(keys=5))
    lone = follower()
    takes(lone, 0, parts[:4])
    lone.replica.step(Received(0, [attrs.evolve(parts[4], chunk=[[b"k"], [b"v"], [0]])]), 0.0)
    effects = lone.replica.take_effects(0.0)
    assert effects.drops == [(0, "invalid_snapshot")]
    assert [section.part for _, sections in effects.sends for section in sections if isinstance(section, SnapshotAck)] == [0]
    takes(lone, 0, parts)
    assert lone.replica.node.applied_index == parts[0].index


@pytest.mark.parametrize("fault", ["a table that is no table", "a table that is cut", "a store that is cut"])
def test_a_state_that_turns_out_incomplete_is_refused_by_name_and_not_taken(fault: str) -> None:
    store, sessions = Store(), Sessions()
    store.apply(bytes(3), [b"a", b"b", b"c"], [b"v"] * 3, 10)
    sessions.open(1, b"t", 30.0)
    parts = parts_of(20, 1, 1, store=store, sessions=sessions)
    match fault:
        case "a table that is no table":
            parts[1] = attrs.evolve(parts[1], chunk=[7])
        case "a table that is cut":
            parts[1] = attrs.evolve(parts[1], chunk=[])
        case _:
            parts[-1:] = []
            parts[-1] = attrs.evolve(parts[-1], last=True)
    replica = follower().replica
    for part in parts:
        replica.step(Received(0, [part]), 0.0)
    assert replica.node.applied_index == 0
    assert (0, "invalid_snapshot") in replica.take_effects(0.0).drops


def test_a_part_of_what_the_log_brought_already_is_answered_as_taken_and_with_how_far_the_log_is() -> None:
    lone = follower()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), commit=2))
    sent = lone.tell(0, parts_of(2, 1, 1)[0])
    assert (acked(sent), matches(sent)) == ([1], [2])
    assert lone.replica.node.log.first_index == 1


def test_a_leader_that_missed_the_last_answer_learns_of_it_though_a_heartbeat_comes_with_the_part() -> None:
    """The heartbeat speaks of entries that are not here: refused, it takes the place of the turn's ack."""
    lone = follower()
    last = parts_of(5, 1, 1)[-1]
    takes(lone, 0, parts_of(5, 1, 1))
    sent = lone.tell(0, last, accept(1, (1, 60), commit=5))
    assert acked(sent) == [last.part + 1]
    assert any(isinstance(message, AcceptNack) for _, message in sent)


def test_who_has_the_state_acknowledges_it_and_takes_what_follows() -> None:
    lone = follower()
    sent = takes(lone, 0, parts_of(5, 1, 1))
    assert 5 in matches(sent)
    assert matches(lone.tell(0, accept(1, (1, 5), noop(6, 1), commit=6))) == [6]
    assert lone.replica.node.applied_index == 6


@pytest.mark.parametrize("durable", [True, False])
def test_nothing_is_acknowledged_before_it_is_on_disk(durable: bool) -> None:
    lone = follower(durable=durable)
    lone.slow = True
    sent = takes(lone, 0, parts_of(5, 1, 1))
    sent += lone.tell(0, accept(1, (1, 5), noop(6, 1)))
    assert max(matches(sent)) == (0 if durable else 6)
    if durable:
        assert matches(lone.sync()) == [6]


def test_entries_that_were_acknowledged_stay_when_a_late_snapshot_ends_below_them() -> None:
    """The leader took the follower for one left behind, and it was not: a majority may rest on its ack of entry 3 (Raft section 7)."""
    lone = follower()
    assert matches(lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), noop(3, 1)))) == [3]
    takes(lone, 0, parts_of(2, 1, 1))
    assert lone.replica.node.log.last_index == 3


def test_no_ack_reaches_beyond_the_log() -> None:
    lone = follower()
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), noop(3, 1)))
    sent = takes(lone, 0, parts_of(2, 1, 1))
    assert max(matches(sent)) <= lone.replica.node.log.last_index


def test_entries_behind_a_snapshot_are_not_on_disk_because_older_ones_in_their_places_were() -> None:
    """Entries of view 1 were on disk up to 7; view 2's leader sent its state up to 2, and an entry 3 that is in no disk's hands yet."""
    lone = follower()
    lone.tell(0, accept(1, (0, 0), *[noop(index, 1) for index in range(1, 8)]))
    takes(lone, 1, parts_of(2, 2, 2))
    lone.slow = True
    entry = Entry(3, 2, 2, [[NOOP]], [], [], [], [], b"", [], [])
    assert max(matches(lone.tell(1, accept(2, (2, 2), entry))), default=0) <= 2
    assert max(matches(lone.sync())) == 3


# ------------------------------------------------------------------------------------------------------------ sessions and commands


def holding() -> Lone:
    """A follower where sessions 1 and 2 are open and hold commands 1 to 3 each; the leader's state is beyond its log."""
    lone = follower()
    lone.link_client()
    lone.tell(0, accept(1, (0, 0), Entry(1, 1, 0, [[OPEN, b"a", 30.0], [OPEN, b"b", 30.0]], [], [], [], [], b"", [], []), commit=1))
    keys = [b"%d" % number for number in range(6)]
    lone.tell(CLIENT, Record([1, 2], [1, 1], [3, 3], [0, 0], [1, 1], bytes(6), keys, [b"v"] * 6))
    return lone


def test_sessions_that_ended_lose_their_commands_and_others_keep_what_the_state_does_not_hold() -> None:
    lone = holding()
    sessions = Sessions()
    sessions.open(2, b"b", 30.0)
    sessions.record(2, 1, 2, None, 1)
    sessions.open(9, b"c", 30.0)
    takes(lone, 0, parts_of(20, 1, 1, 30, sessions=sessions))
    witness = lone.replica.node.witness
    assert {session: (chain.committed, chain.accepted, chain.held) for session, chain in witness.chains.items()} == {2: (2, 3, 3), 9: (0, 0, 0)}
    assert witness.commands == 1


def test_commands_kept_through_a_snapshot_are_there_after_a_restart_if_it_is_on_disk() -> None:
    lone = holding()
    sessions = Sessions()
    sessions.open(2, b"b", 30.0)
    sessions.record(2, 1, 2, None, 1)
    takes(lone, 0, parts_of(20, 1, 1, 30, sessions=sessions))
    lone.disk = lone.replica.checkpoint()
    node = lone.replica.node
    assert [(type(record).__name__) for record in lone.disk] == ["Began", "Voted", "Committed", "Record", "Levels"]
    assert (node.commit_index, node.log.last_index) == (20, 20)


def test_who_waited_for_a_session_that_the_state_ended_is_told_the_new_verdict() -> None:
    lone = holding()
    lone.tell(CLIENT, Record([2], [4], [1], [3], [1], b"\0", [b"0"], [b"v"]))
    chain = lone.replica.node.witness.chains[2]
    assert (chain.accepted, chain.held) == (3, 4), "session 1 has key 0"
    sessions = Sessions()
    sessions.open(2, b"b", 30.0)
    takes(lone, 0, parts_of(20, 1, 1, 30, sessions=sessions))
    assert lone.replica.node.witness.chains[2].accepted == 4
    assert CLIENT in lone.replies


# ---------------------------------------------------------------------------------------------------------------------- configurations


def test_a_state_goes_with_the_configuration_of_its_moment() -> None:
    """A change behind it comes with the log."""
    transfer, lone = Transfer(keys=2), follower()
    first = transfer.node.configuration
    transfer.leader.log_configuration(first.with_learner(3, "host:7003"))
    parts = whole(transfer)
    assert {part.config for part in parts} == {2}
    assert [Configuration.from_items(part.configuration) for part in parts] == [first] * len(parts)
    takes(lone, 0, parts)
    assert lone.replica.node.configurations.told == [(parts[0].index, first)]


def test_who_joins_learns_from_the_state_who_votes() -> None:
    transfer, lone = Transfer(keys=2), Lone(3, joins=True, election_seconds=math.inf)
    transfer.leader.log_configuration(transfer.node.configuration.with_learner(3, "host:7003"))
    transfer.leader.on_accept_ack(1, transfer.acknowledgement())
    transfer.apply()
    transfer.node.log.discard_upto(transfer.node.applied_index)
    takes(lone, 0, whole(transfer))
    assert (lone.replica.node.configuration.learners, lone.role) == ((3,), "learner")
