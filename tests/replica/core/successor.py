"""A follower that becomes the leader of view 2, and what the witnesses it asks tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core.messages import AcceptAck, Collect, Entry, Record, WitnessState
from statemachine.command import CAUSAL, OPEN
from tests.replica.core.lone import CLIENT, LONG, Lone, accept

if TYPE_CHECKING:
    from replica.core.config import Mode
    from replica.core.messages import Message

A, B = 1, 2


def kinds_of(letters: str) -> bytes:
    """Return kinds of puts: ``s`` strong, ``c`` causal."""
    return bytes(CAUSAL if letter == "c" else 0 for letter in letters)


def key(session: int, number: int) -> bytes:
    """Return the key that a session's command writes: no two write the same."""
    return b"%d-%d" % (session, number)


def columns(session: int, first: int, letters: str) -> tuple[bytes, list[bytes], list[Any]]:
    """Return kinds, keys and values of a session's consecutive commands."""
    numbers = range(first, first + len(letters))
    return kinds_of(letters), [key(session, number) for number in numbers], [b"%d" % number for number in numbers]


@attrs.define
class Told:
    """What one witness holds of one session: commands from ``first`` on, and how far they are anchored."""

    session: int
    letters: str
    anchored: int = 0
    first: int = 1


def state(*held: Told, round: int = 1, view: int = 2, part: int = 0, parts: int = 1) -> WitnessState:  # noqa: A002 - the field's name
    """Make a witness' answer."""
    rows = [columns(told.session, told.first, told.letters) for told in held]
    return WitnessState(
        1, view, round, part, parts, [told.session for told in held], [told.first for told in held], [len(told.letters) for told in held],
        [1] * len(held), b"".join(kinds for kinds, _, _ in rows), [one for _, keys, _ in rows for one in keys],
        [one for _, _, values in rows for one in values], [[told.session, told.first - 1, told.anchored, told.anchored] for told in held],
    )  # fmt: skip


class Successor(Lone):
    """Replica 1; sessions ``A`` and ``B`` are open at it, and replica 0 led view 1."""

    def __init__(self, voters: int = 3, mode: Mode = "ho", **config: Any) -> None:
        super().__init__(1, voters, mode, **config)
        self.link_client()
        self.position = 2
        self.tell(0, accept(1, (0, 0), Entry(1, 1, 0, [[OPEN, b"a", 30.0], [OPEN, b"b", 30.0]], [], [], [], [], b"", [], []), commit=1))
        self.rounds: dict[int, int] = {}

    def logs(self, session: int, first: int, letters: str, *, system: list[list[object]] | None = None) -> None:
        """Let view 1's leader bring commands (or system commands) that are not committed."""
        log = self.replica.node.log
        runs = ([session], [first], [len(letters)], [1]) if letters else ([], [], [], [])
        entry = Entry(log.last_index + 1, 1, log.last_position, system or [], *runs, *columns(session, first, letters))
        self.tell(0, accept(1, (log.last_view, log.last_index), entry, commit=1))

    def holds(self, session: int, first: int, letters: str, previous: int = -1) -> None:
        """Let its own witness get commands."""
        before = first - 1 if previous < 0 else previous
        self.tell(CLIENT, Record([session], [first], [len(letters)], [before], [1], *columns(session, first, letters)))

    def takes_over(self) -> list[tuple[int, Message]]:
        """Win view 2; returns what it sends then."""
        self.now += LONG
        peers = [peer for peer in self.config.voters if peer > 1]
        sent = self.win(*peers[: len(self.config.voters) // 2])
        self.remember(sent)
        return sent

    def remember(self, sent: list[tuple[int, Message]]) -> None:
        """Take note of the rounds in which witnesses were asked."""
        self.rounds |= {peer: section.round for peer, section in sent if isinstance(section, Collect)}

    def hears(self, peer: int, *held: Told) -> list[tuple[int, Message]]:
        """Let a witness answer; returns what the successor sends then."""
        return self.tell(peer, state(*held, round=self.rounds[peer]))

    def new_entries(self) -> list[Entry]:
        """Return the entries of view 2."""
        return [entry for entry in self.replica.node.log.entries if entry.view > 1]

    def recovered(self) -> list[tuple[int, int]]:
        """Return what entered the log in view 2, as (session, number) in order."""
        return [
            (session, number)
            for entry in self.new_entries()
            for session, first, count in zip(entry.sessions, entry.firsts, entry.counts, strict=True)
            for number in range(first, first + count)
        ]

    def acknowledged(self, *peers: int) -> list[tuple[int, Message]]:
        """Let followers acknowledge the whole log; returns what it sends then."""
        leader = self.replica.leader
        assert leader is not None
        sent: list[tuple[int, Message]] = []
        for peer in peers:
            sent = self.tell(peer, AcceptAck(1, self.replica.node.view, self.replica.node.log.last_index, leader.round, []))
        return sent
