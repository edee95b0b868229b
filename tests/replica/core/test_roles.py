from __future__ import annotations

import math

import pytest

from replica.core.messages import AcceptAck, Leader, SpecReply, VoteReply
from tests.replica.core.lone import CLIENT, ELECTION_SECONDS, LONG, Lone, accept, asked
from tests.replica.core.successor import A, Successor
from tests.scenarios.cluster import Cluster


def leading(voters: int = 3) -> Successor:
    """A leader of view 2 that serves."""
    lone = Successor(voters)
    lone.takes_over()
    for peer in range(2, 2 + voters // 2):
        lone.hears(peer)
    lone.acknowledged(*range(2, voters))
    assert lone.role == "leader"
    return lone


# --------------------------------------------------------------------------------------------------------------------------- names


def test_a_replica_is_called_by_what_it_does() -> None:
    lone = Successor()
    roles = [lone.role]
    lone.now = LONG
    lone.replica.election.at = lone.now
    lone.turn()
    lone.tell(2, VoteReply(1, 1, 2, trial=True, granted=True))
    roles.append(lone.role)
    lone.tell(2, VoteReply(1, 2, 2, trial=False, granted=True))
    roles.append(lone.role)
    lone.rounds[2] = lone.replica.recovery.answers[2].round if lone.replica.recovery else 0
    lone.hears(2)
    assert [*roles, lone.role] == ["follower", "candidate", "recovering", "leader"]


def test_the_appointed_leader_leads_from_the_start() -> None:
    assert (Lone(0).role, Lone(1).role) == ("leader", "follower")


# -------------------------------------------------------------------------------------------------------------------------- changes


def test_who_learns_of_a_higher_view_leads_no_more_and_keeps_nothing_of_its_own_view() -> None:
    lone = leading()
    lone.tell(2, accept(3, (0, 0)))
    assert (lone.role, lone.state()) == ("follower", (3, 2, -1))
    assert (lone.replica.leader, lone.replica.reads, lone.replica.recovery) == (None, None, None)


@pytest.mark.parametrize("serving", [True, False])
def test_who_led_is_told_to_look_after_what_waited_and_no_other(serving: bool) -> None:
    lone = leading() if serving else Successor()
    if not serving:
        lone.takes_over()
    heard: list[str] = []
    lone.replica.roles.on_changed = lambda: heard.append(lone.role)
    lone.replica.roles.join(3, -1)
    lone.replica.roles.join(4, -1)
    assert heard == ["candidate"]


def test_a_role_changes_without_anybody_to_be_told() -> None:
    lone = leading()
    lone.replica.roles.on_changed = None
    lone.replica.roles.join(9, 2)
    assert lone.role == "follower"


def test_the_vote_of_a_view_is_kept_when_its_leader_is_learned_of_and_not_in_the_next() -> None:
    lone = Successor()
    lone.replica.node.join(5, -1, 2)
    lone.replica.roles.join(5, 2)
    assert lone.state() == (5, 2, 2)
    lone.replica.roles.join(6, -1)
    assert lone.state() == (6, -1, -1)


def test_a_new_leader_asks_only_who_is_linked_and_others_when_they_come() -> None:
    lone = Successor(5)
    lone.unlink(4)
    lone.takes_over()
    assert sorted(lone.rounds) == [0, 2, 3]
    lone.link(4)
    lone.now += ELECTION_SECONDS
    lone.remember(lone.turn())
    assert sorted(lone.rounds) == [0, 2, 3, 4]


# ----------------------------------------------------------------------------------------------------------------------------- time


def test_a_leader_that_hears_no_majority_steps_down_and_says_so() -> None:
    lone = leading()
    lone.wait(LONG)
    assert (lone.role, lone.state()[:2]) == ("candidate", (2, -1))


def test_one_of_two_followers_is_enough_to_go_on_leading() -> None:
    lone = leading()
    for _ in range(4):
        lone.wait(ELECTION_SECONDS)
        lone.tell(2, AcceptAck(1, 2, 0, 0, []))
    assert lone.role == "leader"


def test_a_replica_alone_never_steps_down() -> None:
    lone = Lone(0, 1)
    lone.wait(1e6)
    assert lone.role == "leader"
    assert lone.replica.roles.deadline() < math.inf, "leases are looked at"


def test_a_recovery_that_nobody_answers_asks_again_and_ends_with_its_leader() -> None:
    lone = Successor()
    lone.takes_over()
    first = dict(lone.rounds)
    lone.remember(lone.wait(ELECTION_SECONDS * 0.6))
    assert all(lone.rounds[peer] > first[peer] for peer in first)
    lone.wait(LONG)
    assert lone.role == "candidate"


def test_a_leader_looks_at_leases_when_it_is_time() -> None:
    lone = leading()
    registrar = lone.replica.roles.leader.registrar if lone.replica.roles.leader else None
    assert registrar is not None
    before = registrar.look_at
    for peer in (0, 2):
        lone.tell(peer, AcceptAck(1, 2, 0, 0, []))
    lone.now = before
    lone.acknowledged(0, 2)
    assert registrar.look_at == before + 1.0


def test_a_follower_wakes_to_forward_what_it_holds_and_else_for_elections() -> None:
    lone = Successor()
    roles = lone.replica.roles
    assert roles.deadline() == roles.election.at
    lone.holds(A, 1, "s")
    assert roles.deadline() == min(roles.follower.forward_at, roles.election.at)


def test_a_candidate_asks_when_its_time_has_come_and_not_before() -> None:
    lone = Lone(1)
    at = lone.replica.election.at
    assert asked(lone.wait(at - 0.01)) == []
    assert len(asked(lone.wait(0.01))) == 2


# ---------------------------------------------------------------------------------------------------------------------------- links


def test_a_leader_knows_the_links_that_were_there_before_it_led() -> None:
    lone = Successor(5)
    lone.unlink(3)
    lone.takes_over()
    leader = lone.replica.leader
    assert leader is not None
    assert [peer for peer, progress in leader.progress.items() if progress.linked] == [0, 2, 4]
    lone.unlink(2)
    assert not leader.progress[2].linked


def test_clients_are_told_who_leads_when_it_is_known_and_not_before() -> None:
    lone = Successor()
    lone.replica.roles.join(4, -1)
    lone.turn()
    assert CLIENT not in lone.replies
    lone.tell(2, accept(4, (1, 1)))
    assert lone.replies[CLIENT] == [Leader(1, 4, 2)]


def test_what_is_on_disk_moves_a_leader_s_commit_and_a_follower_s_ack() -> None:
    lone = Successor()
    lone.slow = True
    lone.logs(A, 1, "s")
    assert [section.match_index for _, section in lone.sync() if isinstance(section, AcceptAck)] == [2]
    lone = leading()
    lone.slow = True
    lone.holds(A, 1, "s")
    lone.acknowledged(2)
    node = lone.replica.node
    assert node.commit_index == node.log.last_index - 1
    lone.sync()
    assert node.commit_index == node.log.last_index


def test_who_steps_down_has_logged_what_it_speculated_on_in_that_turn() -> None:
    """Its replies leave; without the entry nobody would find what they tell in its log."""
    cluster = Cluster(3, election_seconds=0.5)
    (session,) = cluster.open("s")
    cluster.put(session, b"k", b"v", "before")
    cluster.settle()
    cluster.isolate(0)
    cluster.link("c", 0)
    cluster.settle("c", 0)
    cluster.put(session, b"k", b"w", "put")
    cluster.now += 1.5
    cluster.deliver("c", 0, len(cluster.queues["c", 0]))
    assert cluster.replicas[0].roles.name != "leader"
    assert [message.firsts for message in cluster.waiting(0, "c") if isinstance(message, SpecReply)] == [[2]]
    assert [number for _, number, _ in cluster.logged(0)] == [1, 2]
