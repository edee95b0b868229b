"""What comes for sessions that are not open here yet: records and homes."""

from __future__ import annotations

from typing import Any

from replica.core.early import EARLY_RECORDS_MAX
from replica.core.effects import LinkDown
from replica.core.messages import Home, Record
from replica.core.node import GAP
from statemachine.command import CAUSAL, OPEN, PUT
from tests.replica.core.stand import LINK, OTHER, A, B, Stand, ack, columns, record, refusal


def test_records_that_come_before_their_opening_wait_for_it() -> None:
    stand = Stand(sessions=0)
    frame = Record([A, B], [1, 1], [2, 1], [0, 0], [1, 1], *columns((PUT, b"x"), (PUT, b"y"), (PUT, b"z")))
    assert stand.say(Home([A], home=True), frame, record(A, 3, (PUT | CAUSAL, b"w"))) == []
    told = stand.log(system=[[OPEN, b"a", 30.0], [OPEN, b"b", 30.0]])
    assert told == {LINK: [ack(A, 2, 2), ack(A, 3, 3), ack(B, 1, 1)]}
    assert stand.replica.node.witness.chains[A].home


def test_a_forwarded_record_that_comes_before_its_opening_does_not_take_the_session_s_link() -> None:
    """Who forwards is no client: what the session is told would go to a replica."""
    stand = Stand(sessions=0)
    forwarded = record(A, 1, (PUT, b"x"))
    stand.replica.voter.on_record(2, forwarded, None, forwarded=True)
    stand.log(system=[[OPEN, b"a", 30.0]])
    chain = stand.replica.node.witness.chains[A]
    assert (chain.link, chain.held) == (None, 0)


def test_a_session_that_moved_before_its_opening_came_has_no_home_here() -> None:
    stand = Stand(sessions=0)
    stand.say(Home([A], home=True), Home([A], home=False))
    stand.log(system=[[OPEN, b"a", 30.0]])
    assert not stand.replica.node.witness.chains[A].home


def test_too_many_early_records_are_told_to_come_again() -> None:
    stand = Stand(sessions=0)
    for number in range(EARLY_RECORDS_MAX):
        assert stand.say(record(A, number + 1, (PUT, b"x"))) == []
    assert stand.say(record(B, 1, (PUT, b"x"))) == [refusal(B, GAP)]
    stand.log(system=[[OPEN, b"a", 30.0], [OPEN, b"b", 30.0]])
    assert stand.levels(A) == (0, EARLY_RECORDS_MAX, EARLY_RECORDS_MAX)
    assert stand.say(record(B, 1, (PUT, b"y"))) == [ack(B, 1, 1)]


def test_early_records_take_no_more_room_than_witnesses_have() -> None:
    limits: list[dict[str, Any]] = [{"witness_commands_max": 2}, {"witness_bytes_max": 2 * len(b"x" + b"v")}]
    for limit in limits:
        stand = Stand(sessions=0, **limit)
        assert stand.say(record(A, 1, (PUT, b"x"), (PUT, b"x"))) == []
        assert stand.say(record(A, 1, (PUT, b"x"), (PUT, b"x"))) == [], "it came again"
        assert stand.say(record(A, 3, (PUT, b"x"))) == [refusal(A, GAP)]
        stand.log(system=[[OPEN, b"a", 30.0]])
        assert stand.levels(A)[1:] == (2, 2)


def test_as_many_homes_as_there_may_be_sessions_come_before_their_openings() -> None:
    """A client binds a session once: forgotten, it would have no home for ever."""
    stand = Stand(sessions=0, sessions_max=3000)
    stand.say(Home(list(range(1, 3001)), home=True))
    stand.log(system=[[OPEN, b"%d" % number, 30.0] for number in range(3000)])
    assert all(chain.home for chain in stand.replica.node.witness.chains.values())


def test_too_many_early_homes_are_bound_by_their_next_home() -> None:
    stand = Stand(sessions=0, sessions_max=10)
    stand.say(Home(list(range(2, 12)), home=True), Home([A], home=True))
    stand.log(system=[[OPEN, b"a", 30.0]])
    assert not stand.replica.node.witness.chains[A].home
    stand.say(Home([A], home=True))
    assert stand.replica.node.witness.chains[A].home


def test_a_link_that_is_gone_takes_its_early_records_with_it() -> None:
    stand = Stand(sessions=0)
    stand.say(Home([A], home=True), record(A, 1, (PUT, b"x")), record(B, 1, (PUT, b"x")))
    stand.say(record(A, 1, (PUT, b"x")), link=OTHER)
    stand.step(LinkDown(LINK))
    told = stand.log(system=[[OPEN, b"a", 30.0], [OPEN, b"b", 30.0]])
    assert told == {OTHER: [ack(A, 1, 1)]}
    assert (stand.levels(B), stand.replica.node.witness.chains[A].home) == ((0, 0, 0), False)
