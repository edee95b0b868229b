from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from replica.core.client import Client, ClientConfig
from replica.core.configuration import Configuration
from replica.core.messages import Home, Leader, Members, Ping, Record, RecordAck, SpecReply, StrongReadReply
from tests.replica.core.caller import LEADER, SESSION, Caller, brief

if TYPE_CHECKING:
    from replica.core.flights import Completion

FIRST = Configuration(1, (0, 1, 2))
LEARNING = FIRST.with_learner(3, "host:7003")
GROWN = LEARNING.with_voter(3)
SHRUNK = FIRST.without(2)


def told(configuration: Configuration, *, view: int = 1, leads: bool = True) -> Members:
    return Members(view, leads, configuration.items())


def spoken(caller: Caller, configuration: int, *, view: int = 1, replica: int = LEADER) -> list[Completion]:
    """The leader of a view speculated on command 1, in a configuration."""
    return caller.hear(replica, SpecReply(configuration, view, 0, [SESSION], [1], [1], []))


def voters(caller: Caller) -> tuple[int, list[int]]:
    return caller.client.members.configuration, list(caller.client.members.voters)


def asking(caller: Caller) -> Caller:
    """It has one strong command in flight."""
    caller.put(b"x", handle="put")
    caller.sent()
    return caller


# ------------------------------------------------------------------------------------------------------------------- whose word counts


def test_a_leader_says_who_votes() -> None:
    caller = Caller()
    caller.hear(LEADER, told(GROWN))
    assert voters(caller) == (3, [0, 1, 2, 3])
    assert caller.client.place == {0: 0, 1: 1, 2: 2, 3: 3}


def test_a_follower_does_not() -> None:
    """Its log may hold a change that is never committed."""
    caller = Caller()
    caller.hear(1, told(SHRUNK, leads=False))
    assert voters(caller) == (1, [0, 1, 2])


def test_a_leader_s_word_tells_who_leads() -> None:
    caller = Caller()
    caller.hear(1, told(GROWN, view=2))
    assert (caller.client.view, caller.client.leader) == (2, 1)


def test_an_older_view_s_word_and_an_older_configuration_are_not_listened_to() -> None:
    caller = Caller()
    caller.hear(1, Leader(1, 5, 1), told(GROWN, view=5))
    caller.hear(1, told(LEARNING, view=5))
    caller.hear(LEADER, told(GROWN.without(2), view=4))
    assert voters(caller) == (3, [0, 1, 2, 3])


def test_a_newer_view_s_word_counts_whatever_number_it_tells() -> None:
    """The old one's change was cut off the log."""
    caller = Caller()
    caller.hear(LEADER, told(GROWN))
    caller.hear(1, told(SHRUNK, view=2))
    assert voters(caller) == (2, [0, 1])


# --------------------------------------------------------------------------------------------------------------- whose answers count


def test_an_answer_counts_when_its_configuration_s_voters_are_known() -> None:
    caller = asking(Caller())
    caller.ack(1, 1)
    caller.ack(2, 1)
    assert spoken(caller, 2) == []
    caller.hear(LEADER, told(LEARNING))
    assert brief(spoken(caller, 2)) == [("put", 0, 1, True)], "a learner changes nothing: the voters are the same"


def test_who_came_counts_and_all_that_was_counted_counts_anew() -> None:
    caller = Caller(5, home=9)
    for replica in (5,):
        caller.client.link_up(replica, 0.0)
    asking(caller)
    for witness in (1, 2):
        caller.ack(witness, 1)
    spoken(caller, 1)
    larger = Configuration(3, (0, 1, 2, 3, 4, 5))
    assert caller.hear(LEADER, told(larger)) == []
    assert spoken(caller, 3) == []
    assert [caller.ack(witness, 1) for witness in (1, 2, 3)] == [[], [], []], "four of five were enough; of six it is five"
    assert brief(caller.ack(5, 1)) == [("put", 0, 1, True)]


def test_who_left_counts_no_more() -> None:
    caller = asking(Caller())
    caller.hear(LEADER, told(SHRUNK))
    spoken(caller, 2)
    assert caller.ack(2, 1) == []
    assert brief(caller.ack(1, 1)) == [("put", 0, 1, True)]


def test_a_number_means_another_configuration_in_another_view() -> None:
    """Views 1 and 2 each had a change number 2; the news of the second one was lost."""
    caller = asking(Caller())
    caller.hear(LEADER, told(SHRUNK))
    caller.hear(1, Leader(2, 2, 1))
    caller.ack(0, 1, view=2)
    assert spoken(caller, 2, view=2, replica=1) == [], "who votes in view 2 is not known: two of three, perhaps of four"
    caller.hear(1, told(LEARNING, view=2))
    assert voters(caller) == (2, [0, 1, 2])
    caller.ack(0, 1, view=2)
    assert spoken(caller, 2, view=2, replica=1) == []
    assert brief(caller.ack(2, 1, view=2)) == [("put", 0, 1, True)]


def test_the_first_configuration_is_the_same_whoever_tells_it_and_whenever() -> None:
    """A leader that answers in it undoes what an older view's leader had told."""
    caller = asking(Caller())
    caller.hear(LEADER, told(SHRUNK))
    caller.hear(1, Leader(1, 2, 1))
    caller.ack(0, 1, view=2)
    spoken(caller, 1, view=2, replica=1)
    assert voters(caller) == (1, [0, 1, 2])
    caller.ack(0, 1, view=2)
    spoken(caller, 1, view=2, replica=1)
    assert brief(caller.ack(2, 1, view=2)) == [("put", 0, 1, True)]


def test_who_knows_no_configuration_waits_for_a_leader_s_word() -> None:
    """The replica that it linked to first told the voters of its own, which is not the first one."""
    caller = Caller(4, configuration=7)
    assert voters(caller) == (0, [0, 1, 2, 3])
    asking(caller)
    for witness in (1, 2, 3):
        caller.ack(witness, 1)
    assert spoken(caller, 7) == spoken(caller, 1) == []
    caller.hear(LEADER, told(Configuration(7, (0, 1, 2, 3))))
    assert voters(caller)[0] == 7
    assert brief(spoken(caller, 7)) == [("put", 0, 1, True)]


def test_the_first_voters_may_be_learned_later_and_are_learned_once() -> None:
    caller = Caller(2, configuration=7)
    caller.client.members.learn_first((0, 1, 2))
    caller.client.members.learn_first((5, 6, 7))
    asking(caller)
    spoken(caller, 1)
    assert voters(caller) == (1, [0, 1, 2])


def test_a_removed_leader_s_values_count_with_a_majority_of_those_who_vote() -> None:
    caller = Caller(4)
    caller.hear(1, Leader(1, 2, 0))
    caller.hear(0, told(Configuration(2, (1, 2, 3)), view=2))
    caller.strong_read(b"x", handle="read")
    caller.hear(0, StrongReadReply(2, 2, False, 0, [SESSION], [1], [1], [b"v"], [3]))
    assert caller.client.tallies.fast_level([9, 9, 9]) == 0
    assert caller.confirm(1, 1, 0, view=2) == []


# ------------------------------------------------------------------------------------------------------------------------- who is spoken to


def test_who_comes_is_greeted_when_it_is_linked_and_sent_what_is_not_answered() -> None:
    caller = Caller()
    caller.client.link_up(3, 0.0)
    asking(caller)
    caller.hear(LEADER, told(GROWN))
    assert {Ping, Record} <= {type(section) for section in caller.sent()[3]}
    caller = asking(Caller())
    caller.hear(LEADER, told(GROWN))
    assert 3 not in caller.sent()
    caller.client.link_up(3, 0.0)
    assert [section.keys for section in caller.sections(Record, 3)] == [[b"x"]]


def test_nobody_is_at_home_with_who_left() -> None:
    caller = Caller(home=2)
    assert caller.session.home == 2
    caller.hear(LEADER, told(SHRUNK))
    assert caller.session.home in {0, 1}
    assert [section for section in caller.sections(Home) if section.home] == [Home([SESSION], home=True)]
    assert 2 not in caller.client.homes.lines
    caller.put(b"y")
    assert 2 not in caller.sent()
    assert caller.hear(2, RecordAck(1, 1, [SESSION], [1], [1], [])) == [], "what it still says is of no interest"


def test_who_is_no_voter_may_be_linked_and_tells_who_leads() -> None:
    caller = Caller()
    caller.client.link_up(9, 0.0)
    assert 9 not in caller.sent()
    caller.hear(9, Leader(1, 4, 2), RecordAck(1, 9, [SESSION], [1], [1], []))
    assert (caller.client.view, caller.client.leader) == (4, 2)
    caller.client.link_down(9, 0.0)
    assert caller.client.members.linked == {0: None, 1: None, 2: None}


def test_a_link_that_breaks_before_its_replica_votes_is_not_greeted() -> None:
    caller = Caller()
    caller.client.link_up(3, 0.0)
    caller.client.link_down(3, 0.0)
    caller.hear(LEADER, told(GROWN))
    assert not caller.client.targets[3].linked


def test_what_is_being_opened_is_asked_of_who_leads_the_new_configuration() -> None:
    client = Client(ClientConfig(voters=(0, 1)))
    client.open_session(b"t", None)
    client.link_up(2, 0.0)
    client.step(2, [told(Configuration(2, (0, 1, 2)), view=2)], 0.0)
    sent: dict[int, list[Any]] = dict(client.take_sends())
    assert any(getattr(section, "tokens", None) == [b"t"] for section in sent[2])


def test_a_leader_that_is_no_voter_as_far_as_is_known_is_asked_who_votes() -> None:
    """View 1's leader told of a change that removed it, which was cut off; that view 2's leader said so was lost."""
    caller = Caller(ping_seconds=1.0)
    caller.hear(LEADER, told(SHRUNK))
    caller.hear(1, Leader(1, 2, 2))
    caller.sent()
    caller.wait(1.0)
    assert caller.sent()[2] == [Ping(0)]
    assert 2 not in caller.sent(), "once"
    caller.hear(2, told(LEARNING, view=2))
    caller.sent()
    caller.wait(1.0)
    assert Ping(0) not in caller.sent()[2], "now it is one of the voters"


def test_all_are_asked_that_are_linked_and_no_voters_as_far_as_is_known() -> None:
    """The only voter that is known was removed, and knows no leader; that another one leads was lost on its way."""
    caller = Caller(ping_seconds=1.0)
    alone = Configuration(2, (1,), removed=(0, 2))
    caller.hear(LEADER, told(alone))
    caller.hear(1, Leader(3, 2, -1))
    caller.sent()
    caller.wait(1.0)
    sent = caller.sent()
    assert (sent[0], sent[2]) == ([Ping(0)], [Ping(0)])
    caller.hear(2, told(Configuration(3, (2,), removed=(0, 1)), view=2))
    assert caller.client.leader == 2
    caller.wait(1.0)
    assert Ping(0) not in caller.sent()[2], "now it is the only voter"


def test_who_is_not_linked_is_not_asked() -> None:
    caller = Caller(ping_seconds=1.0)
    caller.hear(1, Leader(1, 2, 9))
    caller.wait(1.0)
    assert 9 not in caller.sent()


# ------------------------------------------------------------------------------------------------------------------------- addresses


def test_anybody_tells_where_new_voters_listen_and_it_is_handed_over_once() -> None:
    caller = Caller()
    caller.hear(1, told(GROWN, leads=False))
    assert caller.client.members.take_addresses() == {3: "host:7003"}
    assert caller.client.members.take_addresses() == {}


@pytest.mark.parametrize("known", ["a learner", "linked already"])
def test_only_voters_without_a_link_are_news(known: str) -> None:
    caller = Caller()
    caller.client.link_up(3, 0.0)
    if known == "a learner":
        caller.client.link_down(3, 0.0)
    caller.hear(1, told(LEARNING if known == "a learner" else GROWN, leads=False))
    assert caller.client.members.take_addresses() == {}
