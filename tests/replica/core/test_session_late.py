"""What comes late, after what the session knows by then: it must not count as if it had come in time."""

from __future__ import annotations

from replica.core.messages import CausalRead, Leader
from tests.replica.core.caller import Caller, brief, values_of


def test_an_acceptance_of_an_older_view_completes_nothing_in_a_newer_one() -> None:
    caller = Caller()
    caller.put(b"x", handle="p")
    caller.hear(1, Leader(1, 2, 1))
    caller.speculate(1, 1, view=2, replica=1)
    caller.ack(0, 1, view=2)
    assert caller.ack(2, 1, view=1) == [], "it was on its way when its sender joined the new view, whose leader may not count it"
    assert brief(caller.ack(2, 1, view=2)) == [("p", 0, 1, True)]


def test_an_answer_to_a_read_behind_a_cas_that_left_before_the_outcome_came_is_asked_for_again() -> None:
    """The cas saw what its outcome rests on, and so must the read: this answer shows an older state."""
    caller = Caller()
    caller.cas(b"x")
    caller.causal_read(b"y", handle="r")
    caller.sent()
    caller.applied(0, 1, [1, 1], position=33)
    assert caller.causal_values(1, (b"old", 5), position=20) == []
    (section,) = caller.sections(CausalRead, 1)
    assert section.floors == [33]
    assert values_of(caller.causal_values(1, (b"new", 30), position=33)) == [b"new"]


def test_what_was_pinned_in_an_older_view_confirms_no_read_in_a_newer_one() -> None:
    caller = Caller()
    caller.put(b"x", causal=True)
    caller.strong_read(b"x", handle="r")
    caller.confirm(1, 1, 1)
    caller.hear(0, Leader(1, 2, 0))
    caller.strong_values(1, (b"vx", 0), view=2)
    caller.confirm(2, 1, 1, view=2)
    assert caller.confirm(1, 1, 0, view=2) == [], "it pins nothing of the chain any more: its new view began without it"
    assert values_of(caller.confirm(1, 1, 1, view=2)) == [b"vx"]


def test_values_of_an_older_view_are_not_confirmed_by_voters_of_a_newer_one() -> None:
    caller = Caller()
    caller.strong_read(b"x", handle="r")
    caller.strong_values(1, (b"old", 5))
    caller.hear(0, Leader(1, 2, 0))
    caller.confirm(1, 1, 0, view=2)
    assert caller.confirm(2, 1, 0, view=2) == []
    assert values_of(caller.strong_values(1, (b"new", 6), view=2)) == [b"new"]
