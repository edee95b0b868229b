from __future__ import annotations

import pytest

from replica.core.flights import CompletionKind
from replica.core.messages import CloseSession, OpenSession, SessionOpened
from tests.replica.core.caller import LEADER, Caller


def asked(caller: Caller) -> list[list[bytes]]:
    """End the turn; returns the tokens of each question for sessions."""
    return [opening.tokens for opening in caller.sections(OpenSession)]


def test_a_lost_question_is_asked_again_however_often_others_begin() -> None:
    """Each new one put the next question off: who opened four a second never asked again."""
    caller = Caller()
    caller.client.open_session(b"lost", None)
    caller.sent()
    again = []
    for number in range(10):
        caller.wait(0.1)
        caller.client.open_session(b"%d" % number, None)
        again += [tokens for tokens in asked(caller) if b"lost" in tokens]
        caller.hear(LEADER, SessionOpened([b"%d" % number], [100 + number]))
    assert 3 <= len(again) <= 4


def test_a_session_that_was_given_up_is_not_asked_for_any_more() -> None:
    """Who opens sessions and gives up all through an outage was owed them all when it ended."""
    caller = Caller()
    caller.client.link_down(LEADER, caller.now)
    for number in range(100):
        caller.client.close_session(caller.client.open_session(b"%d" % number, None))
    wanted = caller.client.open_session(b"wanted", "handle")
    assert len(caller.client.take_completions(0.0)) == 100
    caller.wait(0.25)
    caller.client.link_up(LEADER, caller.now)
    assert asked(caller) == [[b"wanted"]]
    assert [(done.session, done.kind) for done in caller.hear(LEADER, SessionOpened([b"wanted"], [40]))] == [(wanted, CompletionKind.OPENED)]


@pytest.mark.parametrize(("seconds", "closed"), [(29.0, [CloseSession([40], [0])]), (31.0, [])])
def test_one_that_was_given_up_is_closed_if_it_opens_within_its_lease(seconds: float, closed: list[CloseSession]) -> None:
    """Later its lease has ended it, and what is remembered of it would gather without end."""
    caller = Caller()
    caller.client.close_session(caller.client.open_session(b"early", None))
    for _ in range(int(seconds)):
        caller.wait(1.0)
        caller.client.close_session(caller.client.open_session(b"%f" % caller.now, None))
    caller.sent()
    caller.hear(LEADER, SessionOpened([b"early"], [40]))
    assert caller.sections(CloseSession) == closed
    assert len(caller.client.openings.given_up) <= 31


def test_a_refused_one_that_was_given_up_is_forgotten() -> None:
    caller = Caller()
    caller.client.close_session(caller.client.open_session(b"u", None))
    caller.sent()
    caller.hear(LEADER, SessionOpened([b"u"], [0]))
    assert caller.sections(CloseSession) == []
    assert caller.client.openings.given_up == {}
