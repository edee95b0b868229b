"""One replica whose peers are played by hand, with a disk that takes what it is given at once, or when it is told to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from replica.core.config import CoreConfig, Mode
from replica.core.effects import LinkDown, LinkUp, Persisted, Received
from replica.core.journal import Durable
from replica.core.messages import Accept, Entry, Vote, VoteReply
from replica.core.replica import Replica
from statemachine.command import NOOP

if TYPE_CHECKING:
    from replica.core.effects import Event
    from replica.core.journal import JournalRecord
    from replica.core.messages import Message

ELECTION_SECONDS = 0.5
LONG = 2 * ELECTION_SECONDS + 0.01
CLIENT = ("link", 1)


class Lone:
    """Replica ``place`` of some voters.

    Attributes:
        disk: the records that a restart finds.
        slow: the disk takes nothing until ``sync``.
        replies: ``{link: sections}`` of the last turn.
    """

    def __init__(self, place: int = 1, voters: int = 3, mode: Mode = "ho", *, jitter: float = 0.0, durable: bool = True, **config: Any) -> None:
        config.setdefault("election_seconds", ELECTION_SECONDS)
        self.config = CoreConfig(id=place, voters=tuple(range(voters)), mode=mode, durable=durable, **config)
        self.jitter = jitter
        self.now = 0.0
        self.disk: list[JournalRecord] = []
        self.slow = False
        self.unsynced: list[tuple[int, list[JournalRecord]]] = []
        self.replies: dict[object, list[Message]] = {}
        self.replica = Replica(self.config, None, lambda: self.jitter)
        self.link(*(peer for peer in self.config.voters if peer != place))

    def link(self, *peers: int) -> None:
        for peer in peers:
            self.replica.step(LinkUp(peer, peer=True), self.now)

    def link_client(self, link: object = CLIENT) -> None:
        self.replica.step(LinkUp(link, peer=False), self.now)

    def unlink(self, peer: int) -> list[tuple[int, Message]]:
        return self.step(LinkDown(peer))

    def tell(self, source: object, *messages: Message) -> list[tuple[int, Message]]:
        """Give it a frame; returns what it sends to peers in that turn."""
        return self.step(Received(source, list(messages)))

    def step(self, event: Event) -> list[tuple[int, Message]]:
        self.replica.step(event, self.now)
        return self.turn()

    def turn(self) -> list[tuple[int, Message]]:
        core = self.replica
        if core.deadline() <= self.now:
            core.expire(self.now)
        while True:
            while core.apply(1 << 30):
                pass
            batch, records = core.take_persist(self.now)
            if not records:
                break
            self.unsynced.append((batch, records))
            if self.slow:
                break
            self._take()
        effects = core.take_effects(self.now)
        core.check_invariants()
        core.node.witness.check_invariants()
        assert effects.drops == [], effects.drops
        self.replies = dict(effects.replies)
        return [(peer, section) for peer, sections in effects.sends for section in sections]

    def _take(self) -> None:
        batch, records = self.unsynced.pop(0)
        self.disk += records
        self.replica.step(Persisted(batch), self.now)

    def sync(self) -> list[tuple[int, Message]]:
        """The disk takes everything it was given."""
        while self.unsynced:
            self._take()
        return self.turn()

    def restart(self) -> None:
        """Die and come back with what the disk holds."""
        durable = Durable()
        durable.replay(self.disk)
        self.unsynced.clear()
        self.replica = Replica(self.config, durable, lambda: self.jitter)
        self.replica.node.now = self.now
        self.replica.election.heard_leader()
        self.link(*(peer for peer in self.config.voters if peer != self.config.id))

    def wait(self, seconds: float) -> list[tuple[int, Message]]:
        """Time passes; what is due then is done."""
        self.now += seconds
        return self.turn()

    def win(self, *supporters: int) -> list[tuple[int, Message]]:
        """Stand for election and be voted for; returns what the winner sends."""
        view, config = self.replica.node.view, 1
        self.replica.election.at = self.now
        sent = self.turn()
        for trial in (True, False):
            for peer in supporters:
                sent = self.tell(peer, VoteReply(config, view, view + 1, trial, granted=True))
        return sent

    @property
    def role(self) -> str:
        return self.replica.roles.name

    def state(self) -> tuple[int, int, int]:
        node = self.replica.node
        return node.view, node.leader, node.voted_for


def vote(view: int, last: tuple[int, int] = (0, 0), *, trial: bool = False, forced: bool = False) -> Vote:
    """Ask for a vote; ``last``: (view, index) of the candidate's last entry."""
    return Vote(1, view, last[1], last[0], trial, forced)


def votes(sent: list[tuple[int, Message]]) -> list[tuple[int, int, bool, bool]]:
    """Return the answers to candidates among what was sent: (to whom, view asked, trial, granted)."""
    return [(peer, section.asked, section.trial, section.granted) for peer, section in sent if isinstance(section, VoteReply)]


def asked(sent: list[tuple[int, Message]]) -> list[tuple[int, int, bool, bool]]:
    """Return the requests for votes among what was sent: (of whom, view, trial, forced)."""
    return [(peer, section.view, section.trial, section.forced) for peer, section in sent if isinstance(section, Vote)]


def accept(view: int, previous: tuple[int, int] = (0, 0), *entries: Entry, commit: int = 0) -> Accept:
    """Make a leader's accept; ``previous``: (view, index) of the entry before."""
    return Accept(1, view, previous[1], previous[0], commit, 1, list(entries))


def noop(index: int, view: int) -> Entry:
    """Make an entry that takes one position; all entries before it must be like it."""
    return Entry(index, view, index - 1, [[NOOP]], [], [], [], [], b"", [], [])


def silent(place: int = 1, voters: int = 3, **config: Any) -> Lone:
    """Make a replica that has not heard of a leader for long, and does not stand for election by itself."""
    lone = Lone(place, voters, **config)
    lone.now = LONG
    lone.replica.election.at = math.inf
    return lone


def granted(sent: list[tuple[int, Message]]) -> bool:
    """Tell whether the one candidate that was answered got what it asked for."""
    ((_, _, _, grant),) = votes(sent)
    return grant
