from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from replica.core.config import MODES, CoreConfig, Mode
from replica.core.effects import LinkDown, LinkUp, Received
from replica.core.messages import (
    Accept,
    AcceptAck,
    AcceptNack,
    Anchor,
    Applied,
    CausalRead,
    CloseSession,
    Entry,
    Forward,
    Home,
    KeepAlive,
    Leader,
    Message,
    OpenSession,
    Ping,
    Pong,
    ReadIndex,
    Record,
    SpecReply,
    StrongRead,
)
from replica.core.replica import Replica
from statemachine.command import NOOP
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from tests.scenarios.cluster import Place

LINK = ("link", 1)


def replica_of(place: int = 1, voters: int = 3, mode: Mode = "ho", **config: Any) -> Replica:
    replica = Replica(CoreConfig(id=place, voters=tuple(range(voters)), mode=mode, **config))
    replica.take_effects(0.0)
    return replica


def say(replica: Replica, *messages: Message, source: object = LINK, now: float = 0.0) -> list[Message]:
    """Give a replica a frame; returns what its sender is answered in that turn."""
    replica.step(Received(source, list(messages)), now)
    while replica.apply(100):
        pass
    effects = replica.take_effects(now)
    return dict(effects.replies).get(source, [])


def drops(replica: Replica, message: Message, source: object = LINK) -> list[str]:
    replica.step(Received(source, [message]), 0.0)
    effects = replica.take_effects(0.0)
    assert effects.sends == [] or source == 0 or replica.leader is not None
    return [reason for _, reason in effects.drops]


# ----------------------------------------------------------------------------------------------------------- whom it listens to


def test_a_client_is_told_who_leads_when_it_comes() -> None:
    replica = replica_of()
    replica.step(LinkUp(LINK, peer=False), 0.0)
    assert dict(replica.take_effects(0.0).replies) == {LINK: [Leader(1, 1, 0)]}


@pytest.mark.parametrize(
    "message",
    [StrongRead([1], [1], [1], [0], [b"k"]), ReadIndex([1], [1], [1], [0], [b"k"]), OpenSession([b"t"], 30.0)],
    ids=lambda message: type(message).__name__,
)
def test_a_follower_says_who_leads_where_only_the_leader_can_answer(message: Message) -> None:
    assert say(replica_of(), message) == [Leader(1, 1, 0)]


@pytest.mark.parametrize("place", [0, 1])
def test_a_ping_is_answered_at_once_with_who_leads(place: int) -> None:
    replica = replica_of(place)
    if place:
        say(replica, Accept(1, 1, 0, 0, 0, 1, []), source=0)
    assert say(replica, Ping(7)) == [Leader(1, 1, 0), Pong(7)]


def test_a_replica_that_hears_no_leader_answers_no_ping_but_says_who_led() -> None:
    """What it would tell the sessions at home there is old: they are better off elsewhere."""
    replica = replica_of()
    assert say(replica, Ping(1)) == [Leader(1, 1, 0)]
    say(replica, Accept(1, 1, 0, 0, 0, 1, []), source=0)
    assert [say(replica, Ping(2), now=now) for now in (0.99, 1.0)] == [[Leader(1, 1, 0), Pong(2)], [Leader(1, 1, 0)]]


def test_a_replica_that_does_not_apply_what_the_leader_says_is_committed_answers_no_ping_until_it_does() -> None:
    """As one whose disk stalls, or that is far behind: it hears the leader, and the sessions at home there would wait all the same."""
    replica = replica_of()
    say(replica, Accept(1, 1, 0, 0, 1, 1, []), source=0)  # the leader's first entry is not here yet
    assert [say(replica, Ping(1), now=now) for now in (0.0, 0.99)] == [[Leader(1, 1, 0), Pong(1)]] * 2
    say(replica, Accept(1, 1, 0, 0, 2, 2, []), source=0, now=0.9)
    assert say(replica, Ping(2), now=1.0) == [Leader(1, 1, 0)]
    say(replica, Accept(1, 1, 0, 0, 2, 3, [Entry(1, 1, 0, [[NOOP]], [], [], [], [], b"", [], [])]), source=0, now=1.0)
    assert say(replica, Ping(3), now=1.0) == [Leader(1, 1, 0), Pong(3)]
    assert say(replica, Ping(3), now=1.9) == [Leader(1, 1, 0), Pong(3)], "it applied what it was told before, and has as long for the rest"


@pytest.mark.parametrize("message", [KeepAlive([1]), CloseSession([1], [0]), Home([1], home=False)], ids=lambda message: type(message).__name__)
def test_some_sections_need_no_answer(message: Message) -> None:
    for place in (0, 1):
        replica = replica_of(place)
        assert say(replica, message) == []


@pytest.mark.parametrize(
    "message", [Pong(1), Leader(1, 1, 0), Applied(1, 1, True, 1, [], [], []), AcceptAck(1, 1, 0, 0, [])], ids=lambda message: type(message).__name__
)
def test_what_no_client_says_is_dropped_by_name(message: Message) -> None:
    assert drops(replica_of(), message) == [f"unexpected_{type(message).__name__}"]


@pytest.mark.parametrize("message", [Ping(1), OpenSession([b"t"], 30.0), Pong(1)], ids=lambda message: type(message).__name__)
def test_what_no_peer_says_is_dropped_by_name(message: Message) -> None:
    assert drops(replica_of(), message, 0) == [f"unexpected_{type(message).__name__}"]


def test_nobody_is_its_own_peer() -> None:
    assert drops(replica_of(), AcceptAck(1, 1, 0, 0, []), 1) == ["not_a_peer"]


def test_only_the_leader_may_send_accepts() -> None:
    assert drops(replica_of(), Accept(1, 1, 0, 0, 0, 1, []), 2) == ["not_the_leader"]
    assert drops(replica_of(0), Accept(1, 1, 0, 0, 0, 1, []), 2) == ["not_the_leader"]


def test_the_leader_of_an_older_view_is_told_the_present_one() -> None:
    replica = replica_of()
    replica.step(Received(0, [Accept(1, 0, 0, 0, 0, 1, [])]), 0.0)
    assert replica.take_effects(0.0).sends == [(0, [AcceptNack(1, 1, 0, 0)])]


def test_an_older_views_acknowledgements_mean_nothing() -> None:
    leader = replica_of(0)
    leader.take_effects(0.0)
    assert drops(leader, AcceptAck(1, 0, 1, 0, []), 1) == []
    assert leader.node.commit_index == 0


def test_an_acknowledgement_of_what_nobody_sent_is_dropped_by_name() -> None:
    replica = replica_of(0)
    assert drops(replica, AcceptAck(1, 1, 99, 0, []), 1) == ["ack_beyond_log"]
    assert replica.node.commit_index == 0


def test_a_follower_makes_nothing_of_acknowledgements_and_forwards() -> None:
    record = Record([1], [1], [1], [0], [1], b"\0", [b"k"], [b"v"])
    for message in (AcceptAck(1, 1, 0, 0, []), AcceptNack(1, 1, 0, 0), Forward(record)):
        assert drops(replica_of(), message, 2) == []


def test_what_a_follower_forwards_does_not_wait_for_its_answer() -> None:
    """A peer is no client: it is sent no verdicts, whatever its forward holds."""
    replica = replica_of(0)
    record = Record([99], [1], [1], [0], [1], b"\0", [b"k"], [b"v"])
    replica.step(Received(1, [Forward(record)]), 0.0)
    assert replica.take_effects(0.0).replies == []


def test_a_drop_ends_nothing_else_of_its_frame() -> None:
    assert say(replica_of(0), Pong(1), Ping(2))[-1:] == [Pong(2)]


# ------------------------------------------------------------------------------------------------------------------------- the turn


def test_the_effects_of_a_turn_are_taken_once() -> None:
    replica = replica_of(0)
    replica.step(LinkUp(1, peer=True), 0.0)
    first, second = replica.take_effects(0.0), replica.take_effects(0.0)
    assert (len(first.sends), second.sends, second.replies, second.drops, second.applied) == (1, [], [], [], 0)


def test_a_replica_alone_applies_in_the_turn_all_that_the_turn_commits() -> None:
    """Nobody's acknowledgement would begin another turn."""
    cluster = Cluster(1)
    one, two = cluster.open("s", "t")
    leader = cluster.replicas[0]
    for session in (one, two):
        record = Record([session.id], [1], [5000], [0], [1], bytes(5000), [b"k"] * 5000, [b"v"] * 5000)
        leader.step(Received(cluster.links["c", 0], [record]), 0.0)
    assert leader.take_effects(0.0).applied == 10_000


def test_one_turn_sends_one_frame_to_each() -> None:
    cluster = Cluster(clients="cd")
    (one,), (other,) = cluster.open("s"), cluster.open("t", client="d")
    for session in (one, other, one):
        cluster.put(session, session.token, b"v")
    leader = cluster.replicas[0]
    for name in "cdc":
        leader.step(Received(cluster.links[name, 0], cluster.queues[name, 0].popleft()), cluster.now)
    effects = leader.take_effects(cluster.now)
    assert [peer for peer, _ in effects.sends] == [1, 2]
    assert len({link for link, _ in effects.replies}) == len(effects.replies) == 2
    assert [len(accept.entries) for _, (accept,) in effects.sends if isinstance(accept, Accept)] == [1, 1]
    assert effects.sends[0][1] is effects.sends[1][1], "encoded once"


def test_a_reply_to_speculation_leaves_before_anything_is_replicated() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.deliver("c", 0)
    (reply,) = (message for message in cluster.waiting(0, "c") if isinstance(message, SpecReply))
    assert not any(isinstance(message, Applied) for message in cluster.waiting(0, "c"))
    assert (reply.sessions, reply.firsts, reply.counts) == ([session.id], [1], [1])


@pytest.mark.parametrize("mode", MODES)
def test_no_deadline_stays_in_the_past(mode: Mode) -> None:
    """Whatever happens, once a turn is over the next one is due later, or never: anything else is a loop without a pause."""
    cluster = Cluster(mode=mode, clients="cd")
    (one,), (other,) = cluster.open("s"), cluster.open("t", client="d")

    def check() -> None:
        for place in cluster.places():
            cluster.turn(place)
        for replica in cluster.replicas.values():
            assert replica.deadline() > cluster.now
        for process in cluster.clients.values():
            assert process.core.deadline() > cluster.now

    for session in (one, other):
        cluster.put(session, b"x", b"1", causal=True)
        cluster.cas(session, b"x", b"1", b"2")
        cluster.causal_read(session, b"x")
        cluster.strong_read(session, b"x")
    faults: list[tuple[Place, Place]] = [("c", 1), (0, 1), (0, 2), ("c", 0), ("d", 0), ("d", 2), ("c", 2)]
    for one_end, other_end in faults:
        cluster.cut(one_end, other_end)
        for _ in range(30):
            cluster.now += 0.05
            check()
        cluster.settle()
        check()


def test_an_idle_follower_never_wakes() -> None:
    cluster = Cluster()
    cluster.open("s")
    cluster.run(0.2)
    assert cluster.replicas[1].deadline() == float("inf")


def test_a_busy_follower_looks_for_orphans_now_and_then() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.deliver("c", 1)
    due = [cluster.replicas[1].deadline()]
    for _ in range(3):
        cluster.now = due[-1]
        cluster.turn(1)
        due.append(cluster.replicas[1].deadline())
    assert all(later > sooner for sooner, later in pairwise(due))


# -------------------------------------------------------------------------------------------------------------------------- status


def test_status_counts_in_positions() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.put(session, b"y", b"1")
    cluster.settle("c", 0, 1, 2)
    status = [replica.status() for replica in cluster.replicas.values()]
    assert [one["role"] for one in status] == ["leader", "follower", "follower"]
    assert status[0] | {"log_bytes": 0} == status[0] | {
        "id": 0, "view": 1, "leader": 0, "commit": 5, "applied": 5, "config_id": 1, "mode": "ho", "sessions": 1, "held_commands": 0, "keys": 2,
        "log_bytes": 0,
    }  # fmt: skip
    assert sum(int(str(one["home_sessions"])) for one in status) == 1


def test_status_of_a_replica_whose_log_was_forgotten() -> None:
    cluster = Cluster(log_bytes_max=2_000)
    (session,) = cluster.open("s")
    for number in range(20):
        cluster.put(session, b"%d" % number, bytes(200))
        cluster.run(0.01)
    for replica in cluster.replicas.values():
        status = replica.status()
        assert status["commit"] == status["applied"] == 23


def test_a_commit_that_is_not_applied_yet_shows() -> None:
    cluster = Cluster()
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.deliver("c", 0)
    cluster.deliver(0, 1)
    leader = cluster.replicas[0]
    leader.step(Received(1, cluster.queues[1, 0].popleft()), cluster.now)
    status = leader.status()
    assert (status["commit"], status["applied"]) == (4, 3)


def test_links_of_peers_may_go_and_come_anywhere() -> None:
    replica = replica_of(1)
    replica.step(LinkUp(2, peer=True), 0.0)
    replica.step(LinkDown(2), 0.0)
    assert replica.take_effects(0.0).sends == []


def test_a_causal_read_and_an_anchor_are_anybodys() -> None:
    answers = say(replica_of(), Anchor([1], [0], [1]), CausalRead([1], [1], [1], [0], [b"k"]))
    assert [type(answer).__name__ for answer in answers] == ["AnchorAck", "CausalReadReply"]
