from __future__ import annotations

import pytest

from replica.core.catchup import begin
from replica.core.messages import (
    Accept,
    AcceptAck,
    AcceptNack,
    Collect,
    Contact,
    Forward,
    Message,
    SnapshotAck,
    SnapshotPart,
    TakeOver,
    Vote,
    VoteReply,
    WitnessState,
)
from tests.replica.core.lone import LONG, Lone, accept, noop, vote
from tests.replica.core.successor import A, B, Successor, Told, columns, state
from tests.replica.core.transfer import parts_of


def in_view(view: int, *, leader: int = -1) -> Successor:
    """A follower in ``view``, in which nobody is known to lead, or somebody."""
    lone = Successor()
    lone.replica.roles.join(view, leader)
    lone.turn()
    return lone


LEADERS: list[Message] = [accept(3, (1, 1)), Collect(1, 3, 1), parts_of(9, 1, 3)[0]]


# --------------------------------------------------------------------------------------------------------------------- who may say it


@pytest.mark.parametrize("message", LEADERS, ids=lambda message: type(message).__name__)
def test_an_old_view_s_leader_is_told_the_present_one(message: Message) -> None:
    lone = in_view(5, leader=0)
    assert lone.tell(2, message) == [(2, AcceptNack(1, 5, 0, 0))]
    assert lone.state() == (5, 0, -1)


@pytest.mark.parametrize("message", LEADERS, ids=lambda message: type(message).__name__)
def test_a_higher_view_is_joined_and_its_leader_followed(message: Message) -> None:
    lone = in_view(2, leader=0)
    lone.tell(2, message)
    assert lone.state() == (3, 2, -1)


@pytest.mark.parametrize("message", LEADERS, ids=lambda message: type(message).__name__)
def test_the_leader_of_the_present_view_is_learned_of_from_what_it_says(message: Message) -> None:
    lone = in_view(3)
    lone.tell(2, message)
    assert lone.state()[:2] == (3, 2)


@pytest.mark.parametrize("message", LEADERS, ids=lambda message: type(message).__name__)
def test_one_view_has_one_leader(message: Message) -> None:
    lone = in_view(3, leader=0)
    peers = lone.replica.peers
    peers.on_message(2, message)
    assert lone.replica.node.drops == [(2, "not_the_leader")]
    lone.replica.node.drops.clear()


@pytest.mark.parametrize(("source", "config"), [(2, 2), (7, 2), (7, 1)])
def test_a_leader_is_followed_whatever_configuration_is_known_here(source: int, config: int) -> None:
    """It may have come by a change that this replica is to hear of from it."""
    lone = in_view(2)
    lone.replica.peers.on_message(source, Accept(config, 9, 0, 0, 0, 1, []))
    assert (lone.replica.node.drops, lone.state()[0], lone.replica.node.leader) == ([], 9, source)


def test_nobody_is_told_anything_by_itself() -> None:
    lone = in_view(2)
    lone.replica.peers.on_message(1, accept(9))
    assert (lone.replica.node.drops, lone.state()[0]) == ([(1, "not_a_peer")], 2)
    lone.replica.node.drops.clear()


def test_whatever_a_leader_says_keeps_its_followers_from_standing() -> None:
    for message in LEADERS:
        lone = in_view(3)
        lone.now = 0.4
        lone.tell(2, message)
        assert lone.replica.election.at >= 0.4 + lone.config.election_seconds
        assert lone.replica.election.hears_leader()


# -------------------------------------------------------------------------------------------------------------------- what it means


@pytest.mark.parametrize("message", [AcceptAck(1, 9, 0, 0, []), AcceptNack(1, 9, 0, 0), VoteReply(1, 9, 9, trial=False, granted=False)])
def test_an_answer_that_names_a_higher_view_makes_anybody_join_it(message: Message) -> None:
    for lone in (Lone(0), in_view(2)):
        lone.tell(2, message)
        assert lone.state() == (9, -1, -1)
        assert lone.role == "candidate"


@pytest.mark.parametrize(
    "message",
    [
        AcceptAck(1, 1, 1, 1, []),
        AcceptNack(1, 1, 0, 1),
        SnapshotAck(1, 1, 1, 1),
        state(view=1),
        TakeOver(1, 1),
        VoteReply(1, 1, 1, trial=False, granted=True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_answers_of_an_older_view_are_nothing(message: Message) -> None:
    lone = Successor()
    lone.takes_over()
    before = lone.state(), lone.role, lone.replica.node.commit_index
    assert lone.tell(2, message) == []
    assert (lone.state(), lone.role, lone.replica.node.commit_index) == before


@pytest.mark.parametrize("message", [SnapshotAck(1, 2, 1, 1), state(), Forward(None)], ids=lambda message: type(message).__name__)  # type: ignore[arg-type]
def test_who_follows_makes_nothing_of_what_is_for_leaders(message: Message) -> None:
    lone = in_view(2, leader=0)
    assert lone.tell(2, message) == []


def test_a_witness_tells_what_it_holds_in_the_view_that_it_joined() -> None:
    lone = Successor()
    lone.holds(A, 1, "sc")
    lone.holds(B, 1, "c")
    ((peer, answer),) = [(peer, section) for peer, section in lone.tell(2, Collect(1, 4, 7)) if isinstance(section, WitnessState)]
    (kinds, keys, values), (more_kinds, more_keys, more_values) = columns(A, 1, "sc"), columns(B, 1, "c")
    kinds, keys, values = kinds + more_kinds, keys + more_keys, values + more_values
    assert (peer, lone.state()) == (2, (4, 2, -1))
    assert answer == WitnessState(1, 4, 7, 0, 1, [A, B], [1, 1], [2, 1], [1, 1], kinds, keys, values, [[A, 0, 2, 1], [B, 0, 1, 0]])


def test_an_answer_to_a_recovery_that_is_done_is_nothing() -> None:
    lone = Successor()
    lone.takes_over()
    lone.hears(2)
    assert lone.role == "leader"
    before = lone.replica.node.log.last_index
    lone.hears(0, Told(A, "s", 1))
    assert lone.replica.node.log.last_index == before


def test_a_leader_s_snapshot_makes_a_follower_say_how_far_it_is() -> None:
    lone = in_view(3, leader=2)
    sent = [told for part in parts_of(9, 1, 3) for told in lone.tell(2, part)]
    assert [section.match_index for _, section in sent if isinstance(section, AcceptAck)] == [9]


def test_a_follower_s_word_on_a_snapshot_goes_to_the_leading_part() -> None:
    lone = Lone(0)
    lone.turn()
    lone.tell(1, AcceptAck(1, 1, 1, 1, []))
    leader = lone.replica.leader
    assert leader is not None
    sending = leader.progress[2].sending = begin(lone.replica.node, 2)
    lone.tell(2, SnapshotAck(1, 1, sending.index, 1))
    lone.tell(2, SnapshotAck(1, 0, sending.index, 2))
    assert sending.acked == 1


def test_an_ack_of_what_the_log_does_not_hold_is_dropped_by_name() -> None:
    lone = Lone(0)
    lone.replica.peers.on_message(1, AcceptAck(1, 1, 99, 0, []))
    assert lone.replica.node.drops == [(1, "ack_beyond_log")]
    lone.replica.node.drops.clear()


# ----------------------------------------------------------------------------------------------------------------------------- votes


def test_a_trial_makes_nobody_join() -> None:
    lone = in_view(2)
    lone.tell(2, vote(9, (9, 9), trial=True))
    assert lone.state()[0] == 2


def test_a_real_vote_for_a_higher_view_is_joined_when_no_leader_is_heard() -> None:
    lone = in_view(2)
    lone.now = LONG
    lone.tell(2, vote(9, (9, 9)))
    assert lone.state() == (9, -1, 2)


def test_who_is_told_to_take_over_and_is_alone_enough_wins_at_once() -> None:
    lone = Lone(1, 3)
    lone.tell(0, accept(1, (0, 0), noop(1, 1), commit=1))
    sent = lone.tell(0, TakeOver(1, 1))
    assert [(peer, section.forced) for peer, section in sent if isinstance(section, Vote)] == [(0, True), (2, True)]
    lone.tell(2, VoteReply(1, 2, 2, trial=False, granted=True))
    assert lone.role == "recovering"


def test_a_leader_counts_no_votes() -> None:
    lone = Lone(0)
    lone.tell(1, VoteReply(1, 1, 1, trial=False, granted=True))
    assert lone.role == "leader"


def test_nonsense_is_dropped_by_its_name() -> None:
    lone = in_view(2)
    for message in (vote(1), SnapshotPart(1, 2, 1, 1, 1, 0, 0, last=True, configuration=[], chunk=[])):
        lone.replica.peers.on_message(1, message)
    assert lone.replica.node.drops == [(1, "not_a_peer")] * 2
    lone.replica.node.drops.clear()


def test_what_who_is_no_member_acknowledges_counts_for_nothing() -> None:
    """It was removed, and does not know yet."""
    lone = Lone(0)
    lone.link(9)
    leader = lone.replica.leader
    assert leader is not None
    last = lone.replica.node.log.last_index
    for message in (AcceptAck(1, 1, last, 99, []), AcceptNack(1, 1, 0, 99), SnapshotAck(1, 1, last, 1)):
        lone.tell(9, message)
    assert (lone.replica.node.commit_index, leader.confirmed, list(leader.progress)) == (0, 0, [1, 2])
    lone.unlink(9)


def test_where_others_listen_is_kept_as_they_said_it_last() -> None:
    lone = in_view(2)
    lone.tell(0, Contact([b"h:1", b"h:2", b"h:3"]))
    lone.tell(0, Contact([b"h:4", b"h:5", b"\xff"]))
    assert lone.replica.peers.contacts == {0: ("h:4", "h:5", "\ufffd")}
    lone.replica.peers.on_message(2, Contact([b"h:9"]))
    assert lone.replica.node.drops == [(2, "unexpected_Contact")]
    lone.replica.node.drops.clear()
    assert lone.replica.peers.contacts.keys() == {0}
