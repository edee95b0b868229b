"""Nothing that a client can get past the codec upsets a replica, and all that replicas answer gets past it too."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.core.config import MODES, CoreConfig, Mode
from replica.core.effects import LinkDown, LinkUp, Received
from replica.core.replica import Replica
from replica.wire import WireLimits, decode, encode
from tests.fuzz.frames import BY_NAME, make_message

if TYPE_CHECKING:
    from replica.core.messages import Message

VOTERS = (0, 1, 2)
CLIENTS = (("link", 1), ("link", 2))
MESSAGES = 150
SEEDS = 6
REQUESTS = [layout for layout in BY_NAME.values() if 1 <= layout.tag <= 10]


class FewChoices:
    """Small numbers and few keys and tokens, so that messages meet in the same sessions; rarely the largest number there may be."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def number(self, least: int, most: int) -> int:
        if most > 1 << 16:
            if self._random.random() < 0.02:
                return most
            most = self._random.choice((3, 4, 6))
        return self._random.randint(least, most)

    def blob(self, least: int, most: int) -> bytes:  # noqa: ARG002 - one of these fits everywhere
        return self._random.choice((b"a", b"b", b"c"))


class Cluster:
    """Three cores joined by their codec; what they answer to clients is encoded, decoded and counted."""

    def __init__(self, mode: Mode) -> None:
        self.now, self.answers = 0.0, 0
        self.replicas = {voter: Replica(CoreConfig(id=voter, voters=VOTERS, mode=mode)) for voter in VOTERS}
        for voter, replica in self.replicas.items():
            for other in VOTERS:
                if other != voter:
                    replica.step(LinkUp(other, peer=True), self.now)
            for client in CLIENTS:
                replica.step(LinkUp(client, peer=False), self.now)
        self.turn()

    def turn(self) -> None:
        """Let every replica end its turn, a few times."""
        for _ in range(3):
            self.now += 0.001
            for voter, replica in self.replicas.items():
                if self.now >= replica.deadline():
                    replica.expire(self.now)
                replica.apply(100)
                effects = replica.take_effects(self.now)
                for peer, sections in effects.sends:
                    self.replicas[peer].step(Received(voter, through_the_codec(sections)), self.now)
                for _client, sections in effects.replies:
                    self.answers += len(through_the_codec(sections))


def through_the_codec(sections: list[Message]) -> list[Message]:
    return decode(encode(1, sections), limits=WireLimits())[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_replica_takes_whatever_a_client_may_say(mode: Mode, seed: int) -> None:
    random = Random(f"{mode}/{seed}")
    cluster, choices = Cluster(mode), FewChoices(random)
    for _ in range(MESSAGES):
        replica, client = cluster.replicas[random.choice(VOTERS)], random.choice(CLIENTS)
        messages = [make_message(random.choice(REQUESTS), choices) for _ in range(random.choice((1, 1, 3)))]
        replica.step(Received(client, through_the_codec(messages)), cluster.now)
        if random.random() < 0.02:
            replica.step(LinkDown(client), cluster.now)
            replica.step(LinkUp(client, peer=False), cluster.now)
        cluster.turn()
    status = [replica.status() for replica in cluster.replicas.values()]
    assert max(int(str(one["applied"])) for one in status) > 3
    assert cluster.answers > MESSAGES // 2
