from __future__ import annotations

import math

import pytest

from replica.core.election import RETRY_SHARE
from replica.core.journal import Voted
from replica.core.messages import AcceptNack, Collect, Leader, Record, TakeOver, VoteReply
from tests.replica.core.lone import CLIENT, ELECTION_SECONDS, LONG, Lone, accept, asked, granted, noop, silent, vote, votes
from tests.scenarios.cluster import Cluster

# ------------------------------------------------------------------------------------------------------------------------------- votes


def test_a_vote_joins_the_view_and_is_given_once() -> None:
    lone = silent()
    assert votes(lone.tell(2, vote(2))) == [(2, 2, False, True)]
    assert lone.state() == (2, -1, 2)
    assert not granted(lone.tell(0, vote(2, (9, 9))))
    assert granted(lone.tell(2, vote(2))), "asked again, the same answer"


def test_another_view_another_vote() -> None:
    lone = silent()
    lone.tell(2, vote(2))
    assert granted(lone.tell(0, vote(3)))
    assert lone.state() == (3, -1, 0)


def test_who_stands_votes_for_itself_only() -> None:
    lone = Lone(1, 5)
    lone.wait(LONG)
    for peer in (2, 3):
        lone.tell(peer, VoteReply(1, 1, 2, trial=True, granted=True))
    assert not granted(lone.tell(4, vote(2)))


def test_an_old_view_gets_no_vote_and_learns_of_the_present_one() -> None:
    lone = silent()
    lone.tell(2, vote(5))
    assert lone.tell(0, vote(4)) == [(0, VoteReply(1, 5, 4, trial=False, granted=False))]


def test_a_view_with_a_leader_gives_no_votes() -> None:
    lone = silent()
    lone.tell(2, Collect(1, 2, 1))
    assert not granted(lone.tell(0, vote(2)))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([1, 1], (1, 2), True),
        ([1, 1], (1, 1), False),
        ([1, 1], (2, 1), True),
        ([1, 2], (1, 9), False),
        ([1, 2], (2, 2), True),
        ([], (0, 0), True),
    ],
    ids=["equal", "shorter", "newer view, shorter", "older view, longer", "equal again", "empty"],
)
@pytest.mark.parametrize("trial", [True, False])
def test_a_log_that_lacks_something_gets_no_vote(mine: list[int], theirs: tuple[int, int], expected: bool, trial: bool) -> None:
    """The view of the last entry decides, then its index; what is committed plays no part."""
    lone = silent()
    for index, view in enumerate(mine, 1):
        lone.tell(0 if view == 1 else 2, accept(view, (mine[index - 2] if index > 1 else 0, index - 1), noop(index, view)))
    lone.now += LONG
    lone.replica.election.at = math.inf
    assert granted(lone.tell(0, vote(7, theirs, trial=trial))) is expected


def test_a_higher_view_is_joined_even_if_its_candidate_gets_no_vote() -> None:
    lone = silent()
    lone.tell(0, accept(1, (0, 0), noop(1, 1)))
    lone.now += LONG
    assert not granted(lone.tell(2, vote(4)))
    assert lone.state() == (4, -1, -1)
    assert granted(lone.tell(0, vote(4, (1, 1)))), "its vote is still to be had"


def test_a_real_vote_is_not_followed_away_from_a_leader_that_is_heard() -> None:
    """Who skipped the trial, or won it before the leader came back, disturbs nobody."""
    lone = Lone()
    lone.tell(0, accept(1))
    assert not granted(lone.tell(2, vote(5)))
    assert lone.state() == (1, 0, -1)


def test_who_voted_waits_for_the_outcome_before_it_stands_itself() -> None:
    lone = silent()
    lone.tell(2, vote(2))
    assert lone.replica.deadline() == pytest.approx(lone.now + ELECTION_SECONDS)


# --------------------------------------------------------------------------------------------------------------------------- the disk


def test_no_vote_leaves_before_it_is_on_disk() -> None:
    lone = silent()
    lone.slow = True
    assert lone.tell(2, vote(2)) == []
    assert votes(lone.sync()) == [(2, 2, False, True)]
    assert lone.disk[-1] == Voted(2, 2)


def test_a_candidate_asks_when_its_own_vote_is_on_disk() -> None:
    lone = Lone()
    lone.slow = True
    lone.wait(LONG)
    assert asked(lone.tell(2, VoteReply(1, 1, 2, trial=True, granted=True))) == []
    assert lone.unsynced[-1][1] == [Voted(2, 1)]
    assert asked(lone.sync()) == [(0, 2, False, False), (2, 2, False, False)]


def test_nothing_of_a_view_is_said_before_the_view_is_on_disk() -> None:
    lone = silent()
    lone.link_client()
    lone.turn()
    lone.slow = True
    assert lone.tell(2, Collect(1, 2, 1)) == []
    assert lone.tell(CLIENT, Record([9], [1], [1], [0], [1], b"\0", [b"k"], [b"v"])) == []
    assert lone.replies == {}
    assert lone.tell(2, accept(2, (0, 0), noop(1, 2))) == []
    assert {type(section).__name__ for _, section in lone.sync()} >= {"WitnessState", "AcceptAck"}
    assert Leader(1, 2, 2) in lone.replies[CLIENT]


@pytest.mark.parametrize("durable", [True, False])
def test_a_vote_survives_a_restart(durable: bool) -> None:
    """Also with ``memory`` durability: who forgot how it voted could elect two leaders of one view."""
    lone = silent(durable=durable)
    lone.tell(2, vote(2))
    lone.restart()
    assert lone.state() == (2, -1, 2)
    assert not granted(lone.tell(0, vote(2, (9, 9))))
    assert granted(lone.tell(2, vote(2)))


def test_a_vote_that_was_lost_with_the_disk_was_told_to_nobody() -> None:
    lone = silent()
    lone.slow = True
    assert lone.tell(2, vote(2)) == []
    lone.restart()
    lone.slow = False
    lone.now += LONG
    assert granted(lone.tell(0, vote(2)))


def test_who_comes_back_leads_nothing_that_it_led() -> None:
    lone = Lone(0)
    lone.turn()
    assert lone.role == "leader"
    lone.restart()
    assert (lone.state(), lone.role) == ((1, -1, -1), "candidate")
    lone.win(1)
    assert lone.state() == (2, 0, 0)


# --------------------------------------------------------------------------------------------------------------------- winning, losing


@pytest.mark.parametrize(("voters", "needed"), [(3, 1), (5, 2), (7, 3)])
def test_a_majority_of_votes_wins(voters: int, needed: int) -> None:
    lone = Lone(1, voters)
    lone.wait(LONG)
    for trial in (True, False):
        for peer in range(2, 2 + needed):
            assert lone.role != "leader"
            lone.tell(peer, VoteReply(1, 1, 2, trial, granted=True))
    assert lone.state() == (2, 1, 1)


def test_a_replica_alone_elects_itself() -> None:
    lone = Lone(0, 1)
    lone.turn()
    lone.restart()
    lone.wait(LONG)
    assert (lone.state(), lone.role) == ((2, 0, 0), "leader")


def test_the_winner_tells_clients_and_asks_the_witnesses() -> None:
    lone = Lone()
    lone.link_client()
    lone.turn()
    sent = lone.win(2)
    assert [(peer, section) for peer, section in sent if isinstance(section, Collect)] == [(0, Collect(1, 2, 1)), (2, Collect(1, 2, 2))]
    assert lone.replies[CLIENT] == [Leader(1, 2, 1)]
    assert lone.role == "recovering"


def test_votes_that_come_late_change_nothing() -> None:
    lone = Lone(1, 5)
    lone.win(2, 3)
    assert lone.tell(4, VoteReply(1, 1, 2, trial=False, granted=True)) == []
    assert lone.role == "recovering"


def test_a_leader_that_hears_no_majority_for_two_timeouts_steps_down() -> None:
    lone = Lone(0)
    lone.turn()
    lone.wait(2 * ELECTION_SECONDS - 0.01)
    assert lone.role == "leader"
    lone.wait(0.02)
    assert (lone.state(), lone.role) == ((1, -1, -1), "candidate")


def test_acknowledgements_of_a_majority_keep_a_leader() -> None:
    lone = Lone(0, 5)
    lone.turn()
    for _ in range(5):
        lone.now += ELECTION_SECONDS
        for peer in (1, 2):
            lone.tell(peer, AcceptNack(1, 1, 0, 0))
    assert lone.role == "leader"


def test_a_leader_that_hears_of_a_higher_view_steps_down() -> None:
    lone = Lone(0)
    lone.turn()
    lone.tell(2, AcceptNack(1, 3, 0, 0))
    assert (lone.state(), lone.role) == ((3, -1, -1), "candidate")


def test_a_candidate_that_hears_the_leader_of_its_view_follows_it() -> None:
    lone = Lone(1, 5)
    lone.wait(LONG)
    for peer in (2, 3):
        lone.tell(peer, VoteReply(1, 1, 2, trial=True, granted=True))
    lone.tell(4, accept(2))
    assert (lone.state(), lone.role) == ((2, 4, 1), "follower")
    assert asked(lone.wait(ELECTION_SECONDS - 0.01)) == []


def test_a_candidate_learns_of_a_higher_view_from_a_refusal() -> None:
    lone = Lone()
    lone.wait(LONG)
    lone.tell(2, VoteReply(1, 8, 2, trial=True, granted=False))
    assert lone.state() == (8, -1, -1)


def test_a_broken_link_to_the_leader_is_a_hint_to_ask_soon() -> None:
    lone = Lone()
    lone.tell(0, accept(1))
    lone.unlink(0)
    assert lone.replica.deadline() == pytest.approx(RETRY_SHARE * ELECTION_SECONDS)
    assert asked(lone.wait(RETRY_SHARE * ELECTION_SECONDS)) == [(0, 2, True, False), (2, 2, True, False)]
    assert granted(lone.tell(2, vote(2, trial=True))), "and not to refuse others for its sake"


def test_other_broken_links_are_no_hint() -> None:
    lone = Lone()
    lone.tell(0, accept(1))
    lone.unlink(2)
    assert lone.replica.deadline() == pytest.approx(ELECTION_SECONDS)


# -------------------------------------------------------------------------------------------------------------------- handing over


def test_who_is_told_to_take_over_asks_in_earnest_at_once() -> None:
    lone = Lone()
    lone.tell(0, accept(1))
    assert asked(lone.tell(0, TakeOver(1, 1))) == [(0, 2, False, True), (2, 2, False, True)]


def test_a_forced_vote_is_given_although_a_leader_is_heard() -> None:
    lone = Lone()
    lone.tell(0, accept(1))
    assert granted(lone.tell(2, vote(2, forced=True)))


def test_a_leader_follows_who_is_forced_upon_it() -> None:
    lone = Lone(0)
    lone.turn()
    assert granted(lone.tell(2, vote(2, (1, 1), forced=True)))
    assert lone.state() == (2, -1, 2)


def test_a_forced_vote_needs_a_current_log_like_any_other() -> None:
    lone = Lone()
    lone.tell(0, accept(1, (0, 0), noop(1, 1)))
    assert not granted(lone.tell(2, vote(2, forced=True)))


def test_to_take_over_an_old_view_is_nothing() -> None:
    lone = silent()
    lone.tell(2, vote(2))
    assert asked(lone.tell(0, TakeOver(1, 1))) == []


# ------------------------------------------------------------------------------------------------------------------------ all together


def test_a_dead_leader_is_replaced_and_the_cluster_goes_on() -> None:
    cluster = Cluster(election_seconds=0.5, durable=True)
    (session,) = cluster.open("s")
    cluster.kill(0)
    cluster.run(1.0)
    assert [cluster.replicas[place].node.leader for place in (1, 2)] == [1, 1]
    cluster.put(session, b"x", b"1", "put")
    cluster.run(0.1)
    assert cluster.completed("put")


def test_a_replica_that_was_cut_off_disturbs_nobody_when_it_returns() -> None:
    cluster = Cluster(election_seconds=0.5)
    cluster.isolate(2)
    cluster.run(10.0, delay=0.05)
    cluster.rejoin(2)
    cluster.run(3.0, delay=0.05)
    assert [replica.node.view for replica in cluster.replicas.values()] == [1, 1, 1]
    assert [replica.node.leader for replica in cluster.replicas.values()] == [0, 0, 0]


def test_a_replica_that_restarts_with_an_old_view_disturbs_nobody() -> None:
    cluster = Cluster(election_seconds=0.5, durable=True)
    cluster.kill(2)
    cluster.kill(0)
    cluster.restart(0)
    cluster.run(2.0, delay=0.01)
    view, leader = cluster.replicas[1].node.view, cluster.replicas[1].node.leader
    assert view > 1
    cluster.restart(2)
    cluster.run(5.0, delay=0.01)
    assert [(replica.node.view, replica.node.leader) for replica in cluster.replicas.values()] == [(view, leader)] * 3


def test_a_link_that_breaks_between_a_follower_and_the_leader_deposes_nobody() -> None:
    """The follower asks, and who still hears the leader refuses."""
    cluster = Cluster(election_seconds=0.5)
    cluster.run(0.2)
    cluster.cut(0, 2)
    cluster.run(5.0, delay=0.05)
    assert [(cluster.replicas[place].node.view, cluster.replicas[place].node.leader) for place in (0, 1)] == [(1, 0)] * 2


def test_equal_chances_end_in_a_leader_once_chance_tells_them_apart() -> None:
    cluster = Cluster(5, election_seconds=0.5)
    cluster.jitter = dict.fromkeys(cluster.jitter, 0.5)
    cluster.kill(0)
    for place in (1, 2, 3, 4):
        cluster.campaign(place)
    cluster.settle()
    cluster.jitter = {place: place / 5 for place in cluster.jitter}
    cluster.run(3.0)
    leaders = {replica.node.leader for place, replica in cluster.replicas.items() if place}
    assert len(leaders) == 1
    assert leaders != {-1}


def test_each_vain_campaign_gives_voters_more_time() -> None:
    """Their disks may need longer for a vote than an election's time: candidates that stood again too soon would never win."""
    lone = Lone(1, 3)
    lone.wait(LONG)
    waits = []
    for _ in range(4):
        lone.now = lone.replica.election.at
        lone.turn()
        lone.tell(2, VoteReply(1, lone.replica.node.view, lone.replica.node.view + 1, trial=True, granted=True))
        waits.append(lone.replica.election.at - lone.now)
    assert waits == sorted(waits)
    assert waits[-1] >= 4 * waits[0]
    lone.tell(0, accept(lone.replica.node.view + 1, (0, 0)))
    assert lone.replica.election.vain == 0
