"""Slots and policies: each round has each policy once, the same everywhere, and a link finds again what its policy had learned."""

from __future__ import annotations

from tests.transport.link_pairs import connected_sockets
from tools.batching_replica import POLICIES, SwitchingHub, policy_at
from transport.batch import TurnPolicy
from transport.limits import Limits
from transport.tcp import TcpLink
from transport.turns import Turns


def test_each_round_has_each_policy_once_in_an_order_of_its_own() -> None:
    rounds = [[policy_at(number * len(POLICIES) + place) for place in range(len(POLICIES))] for number in range(20)]
    assert all(sorted(names) == sorted(POLICIES) for names in rounds)
    assert len({tuple(names) for names in rounds}) > 10


def slot_of(policy: str) -> int:
    return next(slot for slot in range(len(POLICIES)) if policy_at(slot) == policy)


async def test_links_change_their_policy_with_the_slot_and_keep_what_it_learned() -> None:
    hub = SwitchingHub(Turns(lambda: None))
    near, far = connected_sockets()
    links = [TcpLink(sock, "a link", hub, lambda *_: None, lambda *_: None, TurnPolicy(), Limits()) for sock in (near, far)]

    def now(link: TcpLink) -> tuple[bool, float]:
        return link.holds_only_while_busy, link.batch_delay_seconds

    hub.begin(slot_of("fixed 75"))
    assert [now(link) for link in links] == [(False, 75e-6)] * 2
    hub.begin(slot_of("adaptive"))
    assert [now(link) for link in links] == [(True, 0.0)] * 2
    policies = [link._batcher.policy for link in links]
    assert policies[0] is not policies[1]
    hub.begin(slot_of("turn"))
    assert [now(link) for link in links] == [(False, 0.0)] * 2
    assert not any(link._watched for link in links)
    hub.begin(slot_of("adaptive"))
    assert [link._batcher.policy for link in links] == policies
    assert all(link._watched for link in links)
    hub.close()
