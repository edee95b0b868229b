from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.messages import (
    Anchor,
    AnchorAck,
    CausalRead,
    CausalReadReply,
    CloseSession,
    KeepAlive,
    Leader,
    Members,
    OpenSession,
    Ping,
    Pong,
    ReadIndex,
    Record,
    RecordAck,
    SessionOpened,
    StrongRead,
    StrongReadReply,
)
from replica.core.node import NOSESSION
from tests.replica.core.lone import CLIENT, LONG
from tests.replica.core.successor import A, B, Successor, columns

if TYPE_CHECKING:
    from replica.core.messages import Message

OTHER = ("link", 2)
OPENING = OpenSession([b"new"], 30.0)


def recovering(postponed_max: int = 100) -> Successor:
    lone = Successor(postponed_max=postponed_max)
    lone.takes_over()
    assert lone.role == "recovering"
    return lone


def serve(lone: Successor) -> list[Message]:
    """Let the recovery end and its entry be committed; returns what the client is told on the way."""
    told: list[Message] = []
    lone.hears(2)
    told += lone.replies.get(CLIENT, [])
    told += committed(lone)
    assert lone.role == "leader"
    return told


def committed(lone: Successor) -> list[Message]:
    """Let followers acknowledge all there is, until there is no more; returns what the client is told then."""
    told: list[Message] = []
    for peer in (0, 2, 0, 2):
        lone.acknowledged(peer)
        told += lone.replies.get(CLIENT, [])
    return told


def said(lone: Successor, *messages: Message, link: object = CLIENT) -> list[Message]:
    lone.tell(link, *messages)
    return lone.replies.get(link, [])


# --------------------------------------------------------------------------------------------------------------------------- links


def test_a_client_that_comes_is_told_who_leads_or_that_nobody_is_known_to() -> None:
    lone = Successor()
    lone.link_client(OTHER)
    lone.turn()
    assert lone.replies == {OTHER: [Leader(1, 1, 0)]}
    lone.replica.roles.join(5, -1)
    lone.turn()
    lone.link_client(("link", 3))
    lone.turn()
    assert lone.replies == {("link", 3): [Leader(1, 5, -1)]}


def test_who_leads_is_told_when_the_view_is_on_disk() -> None:
    lone = Successor()
    lone.slow = True
    lone.replica.roles.join(5, 2)
    lone.link_client(OTHER)
    lone.turn()
    assert lone.replies == {}
    lone.sync()
    assert lone.replies[OTHER] == [Leader(1, 5, 2)] * len(lone.replies[OTHER])


def test_a_link_that_goes_takes_its_reads_and_bindings_along() -> None:
    lone = Successor()
    lone.tell(CLIENT, CausalRead([A], [1], [1], [99], [b"k"]))
    assert len(lone.replica.voter.waiting) == 1
    lone.replica.clients.link_down(CLIENT)
    assert (len(lone.replica.voter.waiting), lone.replica.node.clients) == (0, {})


def test_a_leader_s_waiting_reads_go_with_their_link() -> None:
    lone = recovering()
    serve(lone)
    lone.tell(CLIENT, StrongRead([A], [1], [1], [0], [b"k"]))
    lone.replica.clients.link_down(CLIENT)
    lone.acknowledged(0, 2)
    assert CLIENT not in lone.replies


# ------------------------------------------------------------------------------------------------------------------------ postponed


@pytest.mark.parametrize("message", [OPENING, StrongRead([A], [1], [1], [0], [b"k"]), ReadIndex([A], [1], [1], [0], [b"k"]), CloseSession([A], [0])],
                         ids=lambda message: type(message).__name__)  # fmt: skip
def test_what_a_new_leader_cannot_answer_yet_waits_until_it_serves(message: Message) -> None:
    lone = recovering()
    assert said(lone, message) == []
    assert lone.replica.clients.postponed == [(CLIENT, message)]
    told = serve(lone)
    assert lone.replica.clients.postponed == []
    if isinstance(message, CloseSession):
        assert A not in lone.replica.node.witness.chains
    else:
        assert told != []


def test_an_opening_that_waited_is_answered() -> None:
    lone = recovering()
    said(lone, OPENING)
    (opened,) = [message for message in serve(lone) if isinstance(message, SessionOpened)]
    assert opened.tokens == [b"new"]


def test_what_waited_is_redirected_when_another_leads() -> None:
    lone = recovering()
    said(lone, OPENING)
    lone.replica.roles.join(5, 2)
    lone.turn()
    assert Leader(1, 5, 2) in lone.replies[CLIENT]
    assert (lone.replica.clients.postponed, lone.new_entries()) == ([], [])


def test_what_waited_is_given_up_with_its_link() -> None:
    lone = recovering()
    said(lone, OPENING)
    lone.replica.clients.link_down(CLIENT)
    serve(lone)
    assert b"new" not in lone.replica.node.sessions.tokens


def test_a_bounded_number_waits() -> None:
    lone = recovering(postponed_max=2)
    for number in range(4):
        said(lone, OpenSession([b"%d" % number], 30.0))
    assert [message.tokens for _, message in lone.replica.clients.postponed if isinstance(message, OpenSession)] == [[b"0"], [b"1"]]


def test_commands_pings_and_causal_reads_do_not_wait() -> None:
    lone = recovering()
    lone.holds(A, 1, "s")
    assert lone.replica.node.witness.chains[A].held == 1
    assert Pong(3) in said(lone, Ping(3))
    assert [type(message) for message in said(lone, CausalRead([A], [1], [1], [0], [b"k"]))] == [CausalReadReply]


# -------------------------------------------------------------------------------------------------------------------- what is answered


@pytest.mark.parametrize("message", [OPENING, StrongRead([A], [1], [1], [0], [b"k"]), ReadIndex([A], [1], [1], [0], [b"k"])],
                         ids=lambda message: type(message).__name__)  # fmt: skip
def test_who_does_not_lead_says_who_does(message: Message) -> None:
    assert said(Successor(), message) == [Leader(1, 1, 0)]


def test_a_ping_tells_who_leads_to_who_missed_the_news() -> None:
    assert said(Successor(), Ping(9)) == [Leader(1, 1, 0), Pong(9)]


def test_anchors_are_anybody_s() -> None:
    lone = Successor()
    lone.holds(A, 1, "c")
    assert said(lone, Anchor([A], [1], [1])) == [AnchorAck(1, 1, [A], [1], [1])]


def test_a_follower_remembers_who_lives_for_its_next_ack() -> None:
    lone = Successor()
    said(lone, KeepAlive([A, 99]))
    assert list(lone.replica.follower.heard) == [A]


def test_who_speaks_for_a_session_that_ended_is_told() -> None:
    """Nothing else may be sent for it for long; one whose opening is yet to come here may live."""
    lone = Successor()
    for _ in range(2):
        assert said(lone, KeepAlive([A, 99])) == []
    lone = recovering()
    serve(lone)
    said(lone, CloseSession([A], [0]))
    lone.acknowledged(0, 2)
    assert said(lone, KeepAlive([A, B, 99])) == [RecordAck(1, lone.replica.node.view, [], [], [], [[A, NOSESSION]])]


def test_a_leader_counts_the_lease_itself() -> None:
    lone = recovering()
    serve(lone)
    lone.now += 0.3
    said(lone, KeepAlive([B]))
    chains = lone.replica.node.witness.chains
    assert (chains[B].heard_at, chains[A].heard_at) == (LONG + 0.3, 0.0)


def test_a_follower_closes_nothing_and_a_leader_does() -> None:
    lone = Successor()
    said(lone, CloseSession([A], [0]))
    assert lone.replica.node.log.last_index == 1
    lone = recovering()
    serve(lone)
    said(lone, CloseSession([A], [0]))
    lone.acknowledged(0, 2)
    assert sorted(lone.replica.node.witness.chains) == [B]


def test_a_read_that_waits_for_a_command_goes_on_when_it_comes() -> None:
    lone = recovering()
    serve(lone)
    assert said(lone, StrongRead([A], [1], [1], [1], [b"k"])) == []
    told = said(lone, Record([A], [1], [1], [0], [1], *columns(A, 1, "s")))
    assert [message.firsts for message in told if isinstance(message, StrongReadReply)] == [[1]]


@pytest.mark.parametrize("message", [Pong(1), Leader(1, 1, 0)])
def test_what_no_client_says_is_dropped_by_name(message: Message) -> None:
    lone = Successor()
    lone.replica.clients.on_message(CLIENT, message)
    assert lone.replica.node.drops == [(CLIENT, f"unexpected_{type(message).__name__}")]
    lone.replica.node.drops.clear()


# -------------------------------------------------------------------------------------------------------------------------- members


def test_who_comes_or_asks_is_told_who_votes_when_that_is_not_the_first_configuration() -> None:
    lone = Successor()
    told = lone.replica.node.configuration.with_learner(3, "host:7003")
    lone.logs(0, 1, "", system=[told.command("ho")])
    assert said(lone, Ping(7)) == [Leader(2, 1, 0), Members(1, False, told.items()), Pong(7)]
    lone.link_client(OTHER)
    lone.turn()
    assert lone.replies[OTHER] == [Leader(2, 1, 0), Members(1, False, told.items())]
