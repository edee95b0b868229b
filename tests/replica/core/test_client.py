from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.client import Client, ClientConfig
from replica.core.flights import CompletionKind
from replica.core.messages import (
    Anchor,
    CloseSession,
    Home,
    KeepAlive,
    Leader,
    OpenSession,
    Ping,
    Pong,
    ReadIndex,
    Record,
    RecordAck,
    SessionOpened,
    SpecReply,
    StrongRead,
)
from replica.core.node import EXPIRED, GAP, NOSESSION
from tests.replica.core.caller import LEADER, SESSION, Caller, brief

if TYPE_CHECKING:
    from replica.core.config import Mode


def kinds(caller: Caller) -> dict[int, list[str]]:
    """End the turn; returns the names of what each replica is sent."""
    return {replica: [type(message).__name__ for message in frame] for replica, frame in caller.sent().items()}


# ------------------------------------------------------------------------------------------------------------------- who is sent what


@pytest.mark.parametrize(("mode", "replicas"), [("ho", {0, 1, 2}), ("curp", {0, 1, 2}), ("ht", {0, 1, 2}), ("paxos", {0})])
def test_strong_commands_go_to_all_voters_where_there_is_a_fast_path(mode: Mode, replicas: set[int]) -> None:
    caller = Caller(mode=mode)
    caller.put(b"x")
    assert kinds(caller) == {replica: ["Record"] for replica in replicas}


@pytest.mark.parametrize(("mode", "others"), [("ho", True), ("ht", False)])
def test_causal_writes_go_to_all_voters_or_to_the_leader_alone(mode: Mode, others: bool) -> None:
    caller = Caller(mode=mode)
    caller.put(b"x", causal=True)
    assert set(kinds(caller)) == ({0, 1, 2} if others else {0})


def test_in_ht_witnesses_are_told_what_they_saw_last() -> None:
    caller = Caller(mode="ht")
    caller.put(b"a")
    caller.put(b"b", causal=True)
    caller.put(b"c", b"d")
    frames = caller.sent()
    (all_of_it,), (seen,) = frames[0], frames[1]
    assert isinstance(all_of_it, Record)
    assert isinstance(seen, Record)
    assert (all_of_it.firsts, all_of_it.counts, all_of_it.previous, all_of_it.keys) == ([1], [4], [0], [b"a", b"b", b"c", b"d"])
    assert (seen.firsts, seen.counts, seen.previous, seen.keys) == ([1, 3], [1, 2], [0, 1], [b"a", b"c", b"d"])


def test_one_turn_is_one_frame_and_equal_sections_are_one_object() -> None:
    caller = Caller()
    other = caller.open(b"u", 8)
    caller.sent()
    caller.put(b"a")
    other.record(b"\0", [b"b"], [b"1"], None, 0.0)
    caller.put(b"c")
    frames = caller.sent()
    (record,) = frames[0]
    assert isinstance(record, Record)
    assert (record.sessions, record.firsts, record.counts) == ([SESSION, 8, SESSION], [1, 1, 2], [1, 1, 1])
    assert frames[0][0] is frames[1][0] is frames[2][0]
    assert caller.sent() == {}


def test_strong_reads_go_to_the_leader_and_anchors_behind_the_commands_to_the_others() -> None:
    caller = Caller()
    caller.put(b"x")
    caller.strong_read(b"x", b"y")
    caller.strong_read(b"z")
    frames = caller.sent()
    assert [type(message) for message in frames[0]] == [Record, StrongRead]
    assert frames[0][1] == StrongRead([SESSION, SESSION], [1, 3], [2, 1], [1, 1], [b"x", b"y", b"z"])
    assert frames[1][1:] == frames[2][1:] == [Anchor([SESSION], [1], [3])], "one anchor for each session"


def test_causal_reads_go_to_the_home_alone() -> None:
    caller = Caller()
    caller.causal_read(b"x")
    assert kinds(caller) == {1: ["CausalRead"]}


def test_a_replica_without_a_link_is_sent_nothing_now_or_later() -> None:
    caller = Caller()
    caller.client.link_down(2, 0.0)
    caller.put(b"x")
    assert set(caller.sent()) == {0, 1}
    assert caller.sent() == {}


# --------------------------------------------------------------------------------------------------------------------------- sessions


def test_a_session_is_opened_at_the_leader_and_asked_for_again_until_it_is() -> None:
    caller = Caller()
    caller.client.open_session(b"u", "u")
    assert caller.sent() == {0: [OpenSession([b"u"], 30.0)]}
    assert caller.wait(0.2) == []
    assert caller.sections(OpenSession) == []
    caller.wait(0.1)
    assert caller.sections(OpenSession, 0) == [OpenSession([b"u"], 30.0)]
    (opened,) = caller.hear(0, SessionOpened([b"u"], [40]))
    assert (opened.kind, opened.handle, opened.session.id, opened.session.floor) == (CompletionKind.OPENED, "u", 40, 40)
    assert caller.hear(0, SessionOpened([b"u"], [41])) == [], "the answer to a resend"
    assert opened.session.id == 40


def test_a_session_asked_for_before_a_leader_is_known_is_asked_for_then() -> None:
    client = Client(ClientConfig(voters=(0, 1, 2)))
    client.link_up(2, 0.0)
    client.step(2, [Leader(1, 2, -1)], 0.0)
    client.open_session(b"u", "u")
    assert all(not isinstance(section, OpenSession) for _, sections in client.take_sends() for section in sections)
    client.step(2, [Leader(1, 2, 2)], 0.0)
    assert dict(client.take_sends())[2] == [OpenSession([b"u"], 30.0)]


def test_a_session_asked_for_while_the_leader_has_no_link_is_asked_for_when_it_has() -> None:
    caller = Caller()
    caller.client.link_down(0, 0.0)
    caller.client.open_session(b"u", "u")
    assert caller.sections(OpenSession) == []
    caller.client.link_up(0, 0.0)
    assert caller.sections(OpenSession, 0) == [OpenSession([b"u"], 30.0)]


def test_a_refused_opening_fails_by_name() -> None:
    caller = Caller()
    caller.client.open_session(b"u", "u")
    (failed,) = caller.hear(0, SessionOpened([b"u"], [0]))
    assert (failed.kind, failed.handle, failed.reason, failed.session.lost) == (CompletionKind.FAILED, "u", "too many sessions", "too many sessions")


def test_a_closed_session_is_closed_at_the_leader_once() -> None:
    caller = Caller()
    caller.client.close_session(caller.session)
    assert caller.sections(CloseSession) == [CloseSession([SESSION], [0])]
    caller.client.close_session(caller.session)
    assert (caller.sections(CloseSession), caller.session.lost) == ([], "closed")
    caller = Caller()
    caller.put(b"x", b"y", causal=True)
    caller.client.close_session(caller.session)
    assert caller.sections(CloseSession) == [CloseSession([SESSION], [2])], "the leader may not have what its home acknowledged"
    unopened = caller.client.open_session(b"u", "u")
    caller.sent()
    caller.client.close_session(unopened)
    assert caller.sections(CloseSession) == []


def test_of_a_session_that_is_closed_what_is_done_completes_and_the_rest_fails_at_once() -> None:
    caller = Caller()
    caller.put(b"a", handle="done")
    caller.put(b"b", b"c", handle="sent")
    caller.strong_read(b"x", handle="read")
    caller.causal_read(b"y", handle="near")
    caller.session.flush("flushed")
    for replica in (1, 2):
        assert caller.ack(replica, 1) == []
    caller.client.step(LEADER, [SpecReply(1, 1, 0, [SESSION], [1], [1], [])], 0.0)
    caller.client.close_session(caller.session)
    caller.client.close_session(caller.session)
    told = caller.client.take_completions(0.0)
    assert [(c.handle, c.kind) for c in told if c.kind is not CompletionKind.FAILED] == [("done", CompletionKind.RECORDED)]
    failed = {(c.handle, c.first, c.count, c.reason) for c in told if c.kind is CompletionKind.FAILED}
    assert failed == {("sent", 0, 2, "closed"), ("read", 0, 1, "closed"), ("near", 0, 1, "closed"), ("flushed", 0, 1, "closed")}
    assert len(told) == 5
    frame = caller.sent()[LEADER]
    assert [type(section) for section in frame].count(Record) == 1, "what was submitted in this turn is sent all the same"
    assert CloseSession([SESSION], [3]) in frame
    assert caller.applied(LEADER, 3) == []


def test_a_session_that_was_given_up_before_it_was_open_is_closed_when_it_is() -> None:
    """Else it would take its place in the cluster until its lease ends."""
    caller = Caller()
    given_up, refused = (caller.client.open_session(token, token) for token in (b"u", b"v"))
    caller.client.close_session(given_up)
    caller.client.close_session(refused)
    told = caller.client.take_completions(0.0)
    assert [(c.handle, c.kind, c.reason) for c in told] == [(token, CompletionKind.FAILED, "closed") for token in (b"u", b"v")]
    caller.sent()
    assert caller.hear(0, SessionOpened([b"u", b"v"], [40, 0])) == []
    assert caller.sections(CloseSession) == [CloseSession([40], [0])]
    assert caller.hear(0, SessionOpened([b"u"], [40])) == []
    assert caller.sections(CloseSession) == []


@pytest.mark.parametrize(("reason", "name"), [(EXPIRED, "expired"), (NOSESSION, "nosession"), (99, "refused")])
def test_a_lost_session_fails_everything_in_flight_by_name(reason: int, name: str) -> None:
    caller = Caller()
    caller.put(b"a", b"b", handle="p")
    caller.put(b"c", causal=True, handle="w")
    caller.applied(0, 1)
    caller.strong_read(b"x", b"y", handle="s")
    caller.causal_read(b"x", handle="r")
    caller.session.flush("f")
    done = caller.refuse(2, reason)
    assert {(c.kind, c.reason) for c in done} == {(CompletionKind.FAILED, name)}
    assert sorted((c.handle, c.first, c.count) for c in done) == [("f", 0, 1), ("p", 1, 1), ("r", 0, 1), ("s", 0, 2), ("w", 0, 1)]
    assert (caller.session.lost, caller.session.in_flight, caller.session.idle) == (name, 0, True)
    assert caller.refuse(1, reason) == []


def test_a_lost_session_fails_nothing_that_completes_in_the_same_turn() -> None:
    """And completes nothing that failed: each command has one fate."""
    caller = Caller()
    caller.put(b"a", handle="p")
    caller.put(b"b", handle="q")
    caller.speculate(1, 2)
    caller.ack(1, 2)
    done = caller.hear(2, RecordAck(1, 1, [SESSION], [1], [1], []), RecordAck(1, 1, [], [], [], [[SESSION, EXPIRED]]))
    assert [(c.handle, c.kind) for c in done] == [("p", CompletionKind.RECORDED), ("q", CompletionKind.FAILED)]
    assert caller.applied(0, 2) == []


def test_of_a_read_answered_in_part_only_the_rest_fails() -> None:
    caller = Caller()
    caller.strong_read(b"a", b"b", b"c", handle="r")
    caller.confirm(1, 3, 0)
    caller.strong_values(2, (b"B", 1))
    assert brief(caller.refuse(1, EXPIRED)) == [("r", 0, 1, False), ("r", 2, 1, False)]


def test_answers_for_sessions_that_are_not_ours_are_nothing() -> None:
    caller = Caller()
    caller.client.close_session(caller.session)
    caller.sent()
    assert [caller.ack(1, 1), caller.speculate(1, 1, [1, 1]), caller.applied(0, 1, [1, 1]), caller.confirm(1, 1, 1)] == [[]] * 4
    assert [caller.strong_values(1, (None, 0)), caller.causal_values(1, (None, 0)), caller.lagging(1, 1), caller.refuse(1, GAP)] == [[]] * 4
    assert caller.hear(1, Ping(1), Pong(12345)) == []


def test_sessions_are_kept_alive_at_the_leader_and_at_home() -> None:
    caller = Caller()
    other = caller.open(b"u", 8)
    caller.put(b"x")
    caller.sent()
    caller.wait(1.0)
    alive = caller.sections(KeepAlive)
    assert {session for section in alive for session in section.sessions} == {caller.session.id, other.id}
    assert len(alive) == len({0, caller.session.home, other.home})


def test_many_sessions_are_kept_alive_a_part_at_a_time_and_all_within_a_third_of_their_lease() -> None:
    caller = Caller(lease_seconds=30.0, ping_seconds=1.0)
    opened = {caller.open(b"t%d" % number, 100 + number).id for number in range(1999)} | {caller.session.id}
    caller.sent()
    said: list[set[int]] = []
    for _ in range(10):
        caller.wait(1.0)
        said.append({session for section in caller.sections(KeepAlive, LEADER) for session in section.sessions})
    assert set().union(*said) == opened
    assert max(map(len, said)) <= 201


@pytest.mark.parametrize("late", [0.0, 1 / 9, 0.25, 1.0, 12.0])
def test_sessions_are_kept_alive_also_when_pings_are_late(late: float) -> None:
    """A busy process pings later than it should: no part of its sessions may be left out for that, time after time."""
    caller = Caller(lease_seconds=30.0, ping_seconds=1.0)
    opened = {caller.open(b"t%d" % number, 100 + number).id for number in range(1999)} | {caller.session.id}
    caller.sent()
    said: set[int] = set()
    begun = caller.now
    while caller.now + 1.0 + late < begun + 15.0:
        caller.wait(1.0 + late)
        said |= {session for section in caller.sections(KeepAlive, LEADER) for session in section.sessions}
    assert said == opened


# ------------------------------------------------------------------------------------------------------------------------------ views


def test_a_newer_view_is_adopted_and_everything_is_sent_again_to_its_leader() -> None:
    caller = Caller()
    caller.put(b"a")
    caller.strong_read(b"a")
    caller.causal_read(b"a")
    caller.sent()
    caller.hear(2, Leader(1, 2, 2))
    frames = caller.sent()
    assert {replica: [type(message).__name__ for message in frame] for replica, frame in frames.items()} == {
        0: ["Record"], 1: ["Record", "CausalRead"], 2: ["Record", "ReadIndex"],
    }  # fmt: skip
    assert (caller.client.view, caller.client.leader) == (2, 2)


def test_a_newer_view_is_not_followed_before_somebody_leads_it() -> None:
    caller = Caller()
    caller.strong_read(b"a")
    caller.ack(1, 0, view=2)
    caller.sent()
    caller.hear(2, Leader(1, 2, -1))
    assert (caller.client.view, caller.client.leader) == (1, 0)
    assert caller.sections(ReadIndex) == []
    caller.hear(2, Leader(1, 2, 1))
    assert len(caller.sections(ReadIndex, 1)) == 1


def test_who_campaigns_alone_keeps_no_client_from_its_leader() -> None:
    """Replica 2 was removed, or is cut off from the others: it is in a view that nobody will ever lead, and says so again and again."""
    caller = Caller()
    caller.hear(2, Leader(1, 2, -1))
    caller.strong_read(b"a")
    caller.strong_values(1, (b"v", 7))
    caller.confirm(2, 1, 0, view=2)
    (complete,) = caller.confirm(1, 1, 0)
    assert complete.values == [b"v"]


def test_who_answers_as_a_leader_is_the_leader_when_that_news_was_lost() -> None:
    caller = Caller()
    caller.put(b"a")
    caller.hear(2, SpecReply(1, 2, 1, [caller.session.id], [1], [1], []))
    assert (caller.client.leader, caller.session.spec_last) == (2, 1)


def test_what_is_known_already_or_older_changes_nothing() -> None:
    caller = Caller()
    caller.put(b"a")
    caller.sent()
    for news in (Leader(1, 1, 0), Leader(1, 0, 2), Leader(7, 0, 2), Leader(1, 1, -1)):
        caller.hear(2, news)
    assert (caller.sent(), caller.client.leader) == ({}, 0)


# ------------------------------------------------------------------------------------------------------------------------------ clock


def test_an_idle_client_has_its_next_ping_ahead_of_it_only() -> None:
    caller = Caller()
    assert caller.client.deadline() == pytest.approx(1.0)


def test_no_deadline_stays_in_the_past() -> None:
    caller = Caller()
    caller.client.open_session(b"u", "u")
    caller.put(b"a")
    caller.causal_read(b"a")
    caller.refuse(1, GAP)
    for _ in range(200):
        caller.wait(0.05)
        caller.sent()
        assert caller.client.deadline() > caller.now


def test_the_time_of_the_last_event_is_part_of_the_state_since_what_is_sent_next_is_due_by_it() -> None:
    early, late = Caller(), Caller()
    assert early.client.freeze() == late.client.freeze()
    late.client.take_completions(0.1)
    assert early.client.freeze() != late.client.freeze()
    for caller in (early, late):
        caller.put(b"a")
    assert late.client.deadline() == pytest.approx(early.client.deadline() + 0.1)


def test_a_home_is_told_before_the_first_command() -> None:
    caller = Caller()
    other = caller.open(b"u", 8)
    other.record(b"\0", [b"b"], [b"1"], None, 0.0)
    frame = caller.sent()[other.home]
    assert [type(message) for message in frame] == [Home, Record]
