"""What every role of a replica shares: the log, the witness, the state machine, and the one way in which committed entries are applied.

Roles (``leader``, ``follower``) decide what enters the log; ``Node.apply`` is the only code that changes the state machine, in log order, on
every replica alike.  Nothing here sends: replies gather in ``outbox`` until the turn ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.log import Log, last_position
from replica.core.messages import Applied, Entry, Message, RecordAck
from replica.core.witness import Chain, Witness
from statemachine import command as c
from statemachine.sessions import Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.config import CoreConfig
    from replica.core.effects import Source

FRAME_VALUE_BYTES_MAX = 4 << 20
"""Values in one frame to a client."""
GAP, BUSY, EXPIRED, NOSESSION, INVALID = 1, 2, 3, 4, 5
REFUSALS = {GAP: "gap", BUSY: "busy", EXPIRED: "expired", NOSESSION: "nosession", INVALID: "invalid"}


@attrs.define(eq=False)
class Node:
    """State shared by the roles of one replica."""

    config: CoreConfig
    view: int = 0
    leader: int = -1
    """Who leads ``view``, -1 if unknown."""
    now: float = 0.0
    log: Log = attrs.Factory(Log)
    commit_index: int = 0
    applied_index: int = 0
    applied_position: int = 0
    store: Store = attrs.Factory(Store)
    sessions: Sessions = attrs.Factory(lambda self: Sessions(self.config.tombstone_sessions_max), takes_self=True)
    witness: Witness = attrs.field(init=False)
    outbox: dict[Source, list[Message]] = attrs.Factory(dict)
    # {link: sections that leave at the end of this turn}
    outbox_bytes: dict[Source, int] = attrs.Factory(dict)
    # {link: bytes of large answers among them}
    full_frames: list[tuple[Source, list[Message]]] = attrs.Factory(list)
    """Frames of this turn that large answers filled; they leave before the others."""
    notes: dict[Source, dict[int, int]] = attrs.Factory(dict)
    # {link: {session: applied up to}}
    results: dict[Source, list[list[int]]] = attrs.Factory(dict)
    # {link: [[session, number, succeeded], ...]}, leader only
    promoted: dict[int, Chain] = attrs.Factory(dict)
    # {session: chain whose verdict changed in this turn}
    drops: list[tuple[Source, str]] = attrs.Factory(list)
    applied_commands: int = 0
    draining: bool = False
    """The process is stopping: new commands are answered BUSY."""
    on_applied: Callable[[Entry], None] | None = None
    """The role's own step after each applied entry."""

    def __attrs_post_init__(self) -> None:
        self.witness = Witness(self.config.witness_commands_max, self.config.witness_bytes_max)

    @property
    def leads(self) -> bool:
        """Whether this replica leads its view."""
        return self.leader == self.config.id

    def reply(self, link: Source, message: Message) -> None:
        """Put a section into the frame that leaves to ``link`` at the end of the turn."""
        sections = self.outbox.get(link)
        if sections is None:
            self.outbox[link] = [message]
        else:
            sections.append(message)

    def reply_large(self, link: Source, message: Message, size_bytes: int) -> None:
        """Put an answer with large values into a frame that has room for it (frames have a limit, turns do not)."""
        held = self.outbox_bytes.get(link, 0)
        if held + size_bytes > FRAME_VALUE_BYTES_MAX and link in self.outbox:
            self.full_frames.append((link, self.outbox.pop(link)))
            held = 0
        self.outbox_bytes[link] = held + size_bytes
        self.reply(link, message)

    def take_replies(self) -> list[tuple[Source, list[Message]]]:
        """Hand over this turn's frames to clients, in order for each link."""
        replies = self.full_frames + list(self.outbox.items())
        self.outbox, self.outbox_bytes, self.full_frames = {}, {}, []
        return replies

    def apply(self, commands_max: int) -> bool:
        """Apply committed entries in order until about ``commands_max`` commands are done.

        Returns:
            Whether committed entries are left.
        """
        done = 0
        while self.applied_index < self.commit_index and done < commands_max:
            entry = self.log.get(self.applied_index + 1)
            self._apply_entry(entry)
            done += len(entry.keys) + len(entry.system) + 1
            if self.on_applied is not None:
                self.on_applied(entry)
        return self.applied_index < self.commit_index

    def _apply_entry(self, entry: Entry) -> None:
        assert entry.base == self.applied_position, "entries are applied in order, each once"
        position = entry.base
        for command in entry.system:
            position += 1
            self._apply_system(command, position)
        if entry.kinds:
            outcome = self.store.apply(entry.kinds, entry.keys, entry.values, position + 1)
            self._apply_runs(entry, outcome)
        self.applied_index = entry.index
        self.applied_position = last_position(entry)
        self.applied_commands += len(entry.kinds)

    def _apply_runs(self, entry: Entry, outcome: list[bool | None] | None) -> None:
        """Count the runs of an applied entry in the session table, free the witness, and note it for the clients."""
        chains, record, release, leads = self.witness.chains, self.sessions.record, self.witness.release, self.leads
        notes, promoted, now = self.notes, self.promoted, self.now
        start = 0
        for session, first, count, incomplete in zip(entry.sessions, entry.firsts, entry.counts, entry.incomplete, strict=True):
            upto = first + count - 1
            results = outcome[start : start + count] if outcome is not None else None
            record(session, first, count, results, incomplete)
            chain = chains[session]
            release(chain, upto, promoted)
            chain.held_since = now
            link = chain.link
            if link is not None and (leads or chain.home):
                noted = notes.get(link)
                if noted is None:
                    notes[link] = {session: upto}
                else:
                    noted[session] = upto
                if results is not None and leads:
                    told = self.results.setdefault(link, [])
                    told.extend([session, number, int(result)] for number, result in enumerate(results, first) if result is not None)
            start += count

    def _apply_system(self, command: list[object], position: int) -> None:
        match command:
            case [c.OPEN, bytes() as token, float() as lease_seconds]:
                session = self.sessions.open(position, token, lease_seconds)
                if session == position:
                    self.witness.open(session)
            case [c.CLOSE, int() as session]:
                self.sessions.close(session)
                self.witness.close(session, self.promoted)
            case [c.EXPIRE, int() as session]:
                self.sessions.expire(session)
                self.witness.close(session, self.promoted)
            case [c.HORIZON, int() as horizon]:
                self.store.drop_tombstones(horizon)
            case [c.NOOP | c.CONFIG, *_]:
                pass
            case _:
                raise AssertionError(f"a system command nobody wrote: {command!r}")

    def refusal(self, session: int) -> int:
        """Say why a session that has no chain here cannot be served: GAP while its opening may still be on the way."""
        if session > self.applied_position:
            return GAP
        return EXPIRED if session in self.sessions.expired else NOSESSION

    def flush_promotions(self) -> None:
        """Tell clients the verdicts that changed (an ack with the present view)."""
        by_link: dict[object, list[Chain]] = {}
        for chain in self.promoted.values():
            if chain.link is not None:
                by_link.setdefault(chain.link, []).append(chain)
        self.promoted.clear()
        for link, chains in by_link.items():
            self.reply(link, self.acks(chains))

    def acks(self, chains: list[Chain]) -> RecordAck:
        """Make the cumulative verdicts of some chains."""
        held, accepted = [chain.held for chain in chains], [chain.accepted for chain in chains]
        return RecordAck(self.config.config, self.view, [chain.session for chain in chains], held, accepted, [])

    def flush_notes(self, *, urgent: bool) -> bool:
        """Put what was applied into the frames that leave anyway, or, when ``urgent``, into frames of their own.

        Returns:
            Whether notes are left for later.
        """
        for link in list(self.notes) if urgent else [link for link in self.notes if link in self.outbox]:
            noted = self.notes.pop(link)
            told = self.results.pop(link, [])
            self.reply(link, Applied(self.config.config, self.view, self.leads, self.applied_position, list(noted), list(noted.values()), told))
        return bool(self.notes)

    def forget_link(self, link: Source) -> None:
        """A client's link is gone: stop speaking to it. Its sessions, chains and commands stay."""
        self.notes.pop(link, None)
        self.results.pop(link, None)
        self.outbox.pop(link, None)
        self.outbox_bytes.pop(link, None)
        for chain in self.witness.chains.values():
            if chain.link == link:
                chain.link, chain.home = None, False
