"""Who can be heard, and so who may leave or vote."""

from __future__ import annotations

import pytest

from replica.core.reconfiguration import NotNow
from tests.replica.core.cabinet import NEW, Cabinet


def test_a_voter_that_is_back_and_has_acknowledged_nothing_yet_is_not_heard() -> None:
    """With memory durability it forgot all and votes in no view before the others have opened one: without those that are left it never would."""
    cabinet = Cabinet()
    cabinet.leader.link_down(2)
    cabinet.leader.link_up(2)
    assert "only replica 0 of them can be heard" in cabinet.refusal("remove", 1)
    cabinet.ack(2)
    cabinet.remove(1)


def test_with_memory_durability_a_voter_that_has_not_what_opened_the_view_is_no_help() -> None:
    """Before, one that has forgotten what it knew neither votes nor tells what its witness holds."""
    cabinet = Cabinet()
    cabinet.leader.progress[2].match = cabinet.leader.open_index - 1
    assert "only replica 0 of them can be heard" in cabinet.refusal("remove", 1)
    cabinet.ack(2, match=cabinet.leader.open_index)
    cabinet.remove(1)


def test_a_learner_that_is_back_and_has_acknowledged_nothing_yet_does_not_vote() -> None:
    cabinet = Cabinet()
    cabinet.learn()
    cabinet.leader.link_down(NEW)
    cabinet.ack(NEW)
    cabinet.leader.link_up(NEW)
    cabinet.pass_turns(1, 2)
    assert cabinet.shape() == ((0, 1, 2), (NEW,))
    cabinet.pass_turns()
    assert cabinet.shape() == ((0, 1, 2, NEW), ())


def test_nobody_leaves_whom_the_others_cannot_do_without() -> None:
    cabinet = Cabinet()
    cabinet.leader.link_down(1)
    assert cabinet.refusal("remove", 2) == "without replica 2 the voters are 0, 1, and only replica 0 of them can be heard: no majority"
    cabinet.leader.link_up(1)
    cabinet.node.now = cabinet.node.config.election_seconds
    assert "no majority" in cabinet.refusal("remove", 2), "it is linked and silent"
    assert cabinet.refusal("remove", 0).endswith("and none of them can be heard: no majority")
    with pytest.raises(NotNow):
        cabinet.leader.reconfiguration.remove(0)
    cabinet.ack(1)
    cabinet.remove(2)


def test_a_change_is_given_up_if_a_voter_that_it_needs_is_lost_while_it_waits() -> None:
    """Two of three live and go on; logged, the change would leave them with one that counts."""
    cabinet = Cabinet()
    cabinet.puts(cabinet.session, b"x")
    cabinet.remove(1)
    cabinet.turn()
    cabinet.leader.link_down(2)
    cabinet.ack(1)
    cabinet.turn()
    assert (cabinet.told.number, cabinet.leader.reconfiguration.wanted) == (1, None)
    assert cabinet.puts(cabinet.session, b"y").sessions == [], "not yet: what it waited for is not applied"
    cabinet.pass_turns(1)
    assert cabinet.puts(cabinet.session, b"z").sessions == [cabinet.session]
