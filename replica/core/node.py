"""What every role of a replica shares: the log, the witness, the state machine, and the one way in which committed entries are applied.

Roles (``leader``, ``follower``) decide what enters the log; ``Node.apply`` is the only code that changes the state machine, in log order, on
every replica alike.  Nothing here sends: replies gather in ``outbox`` until the turn ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core.configuration import Configuration, Configurations
from replica.core.journal import Journal
from replica.core.log import Log, last_position
from replica.core.messages import Applied, Entry, Members, Message, RecordAck
from replica.core.messages import Leader as LeaderNews
from replica.core.witness import Chain, Witness
from statemachine import command as c
from statemachine.sessions import Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.config import CoreConfig
    from replica.core.effects import Source
    from replica.core.journal import Applied as AppliedState

FRAME_VALUE_BYTES_MAX = 4 << 20
"""Values in one frame to a client."""
NOTED_RESULTS_MAX = 1 << 14
"""Results of cas in one section, so that frames can be cut between sections (``driver``)."""
GAP, BUSY, EXPIRED, NOSESSION, INVALID = 1, 2, 3, 4, 5
REFUSALS = {GAP: "gap", BUSY: "busy", EXPIRED: "expired", NOSESSION: "nosession", INVALID: "invalid"}


@attrs.define(eq=False)
class Node:
    """State shared by the roles of one replica."""

    config: CoreConfig
    view: int = 0
    leader: int = -1
    """Who leads ``view``, -1 if unknown."""
    voted_for: int = -1
    """Who got this replica's vote in ``view``."""
    forgotten_view: int = -1
    """What this replica acknowledged in views up to this one it may have forgotten; -1 when that does not matter any more (``muted``)."""
    now: float = 0.0
    journal: Journal = attrs.Factory(lambda self: Journal(self.config.durable), takes_self=True)
    log: Log = attrs.Factory(Log)
    commit_index: int = 0
    applied_index: int = 0
    applied_position: int = 0
    configurations: Configurations = attrs.field(init=False)
    configuration: Configuration = attrs.field(init=False)
    """The one that counts: the log's latest."""
    store: Store = attrs.Factory(Store)
    sessions: Sessions = attrs.Factory(lambda self: Sessions(self.config.tombstone_sessions_max), takes_self=True)
    witness: Witness = attrs.field(init=False)
    outbox: dict[Source, list[Message]] = attrs.Factory(dict)
    # {link: sections that leave at the end of this turn}
    outbox_bytes: dict[Source, int] = attrs.Factory(dict)
    # {link: bytes of large answers among them}
    held_replies: deque[tuple[int, Source, Message]] = attrs.Factory(deque)
    """(batch that must be on disk first, link, section), oldest first."""
    clients: dict[Source, None] = attrs.Factory(dict)
    # {linked client}
    full_frames: list[tuple[Source, list[Message]]] = attrs.Factory(list)
    """Frames of this turn that large answers filled; they leave before the others."""
    notes: dict[Source, dict[int, int]] = attrs.Factory(dict)
    # {link: {session: applied up to}}
    results: dict[Source, list[list[int]]] = attrs.Factory(dict)
    # {link: [[session, number, succeeded], ...]}, leader only
    promoted: dict[int, Chain] = attrs.Factory(dict)
    # {session: chain whose verdict changed in this turn}
    peer_sends: list[tuple[int, list[Message]]] = attrs.Factory(list)
    """To peers, as soon as the view they name is on disk."""
    drops: list[tuple[Source, str]] = attrs.Factory(list)
    applied_commands: int = 0
    draining: bool = False
    """The process is stopping: new commands are answered BUSY."""
    on_applied: Callable[[Entry], None] | None = None
    """The role's own step after each applied entry."""

    def __attrs_post_init__(self) -> None:
        self.witness = Witness(self.config.witness_commands_max, self.config.witness_bytes_max)
        self.configuration = Configuration(0, ()) if self.config.joins else Configuration(1, self.config.voters)
        self.configurations = Configurations([(0, self.configuration)])

    @property
    def leads(self) -> bool:
        """Whether this replica leads its view."""
        return self.leader == self.config.id

    @property
    def votes(self) -> bool:
        """Whether this replica is a voter, as far as it knows."""
        return self.config.id in self.configuration.voters

    @property
    def settled(self) -> bool:
        """Whether the configuration that counts is known to be committed; any other may be cut off again."""
        return self.configurations.told[-1][0] <= self.commit_index

    @property
    def may_lead(self) -> bool:
        """Whether this replica may stand for election: it votes, or did before a change that is not known to be committed.

        Such a change may be in no other log than its own: then nobody else can win with this replica's vote, and it wins without counting
        itself, commits the change and hands over (Raft dissertation, section 4.2.2).
        """
        told = self.configurations
        return self.votes or (told.index > self.commit_index and self.config.id in told.told[-2][1].voters)

    @property
    def muted(self) -> bool:
        """Whether this replica came back without what it had acknowledged, and what it acknowledged may still matter.

        Until an entry of a view above the forgotten ones is committed here it neither votes nor holds, accepts or anchors anything, and its
        witness counts for nothing: a new leader might take an empty witness for one that refused.  That entry commits with all that its leader had
        recovered without us, and then nothing depends on what was forgotten.  Its log counts in such views from the start.  (VR Revisited, section
        4.3, is not enough here: it knows nothing of witnesses.)
        """
        return self.forgotten_view >= 0

    def install(self, applied: AppliedState) -> None:
        """Replace the state machine by a leader's snapshot, and begin the log anew behind it; what the witness holds stays, as far as it is not
        committed by it."""
        assert applied.index > self.commit_index, (applied.index, self.commit_index)
        self.store, self.sessions = applied.store, applied.sessions
        self.applied_index = self.commit_index = applied.index
        self.applied_position = applied.position
        self.log = Log(first_index=applied.index + 1, before_view=applied.view, before_position=applied.position)
        self.journal.on_installed(applied.index, applied.view, applied.position)
        if applied.configuration is not None:
            self.configurations = Configurations([(applied.index, applied.configuration)])
            self._reconfigure()
        if self.muted and applied.view > self.forgotten_view:
            self.forgotten_view = -1
        for session in [session for session in self.witness.chains if session not in self.sessions.table]:
            self.witness.close(session, self.promoted)
        for session, record in self.sessions.table.items():
            chain = self.witness.chains.get(session) or self.witness.open(session)
            if record.applied > chain.committed:
                self.witness.release(chain, record.applied, self.promoted)
                if chain.link is not None and chain.home:
                    self.notes.setdefault(chain.link, {})[session] = record.applied

    def append_entry(self, entry: Entry) -> None:
        """Add the next entry to the log; a configuration in it counts from now on."""
        self.log.append(entry)
        self.journal.on_entry(entry)
        if entry.system and self.configurations.add(entry):
            self._reconfigure()

    def cut_log(self, index: int) -> None:
        """Drop the entries above ``index``: a newer view's leader has others there."""
        assert index >= self.commit_index, "a committed entry is never truncated"
        self.log.truncate_after(index)
        self.journal.on_cut(index)
        if self.configurations.cut(index):
            self._reconfigure()

    def _reconfigure(self) -> None:
        """Let the log's latest configuration count, and tell the clients."""
        self.configuration = self.configurations.latest
        for link in self.clients:
            self.tell_members(link)

    def tell_members(self, link: Source) -> None:
        """Tell a client who belongs to the cluster; it counts by a leader's word only, and finds new members by anybody's."""
        self.reply_durable(link, Members(self.view, self.leads, self.configuration.items()))

    def commit(self, index: int) -> None:
        """Every entry up to ``index`` is committed."""
        assert self.commit_index <= index <= self.log.last_index
        if index > self.commit_index:
            self.commit_index = index
            if self.muted and (self.log.view_at(index) or 0) > self.forgotten_view:
                self.forgotten_view = -1
            self.journal.on_committed(index)

    def reply(self, link: Source, message: Message) -> None:
        """Put a section into the frame that leaves to ``link`` at the end of the turn."""
        sections = self.outbox.get(link)
        if sections is None:
            self.outbox[link] = [message]
        else:
            sections.append(message)

    def reply_durable(self, link: Source, message: Message) -> None:
        """Answer with something that rests on what was recorded: it leaves when all of that, this turn's included, is on disk."""
        if self.journal.clear and not self.held_replies:
            self.reply(link, message)
        else:
            self.held_replies.append((self.journal.batch, link, message))

    def release_replies(self) -> None:
        """Let go what waited for the batches that are on disk by now; what leaves in this turn without a batch of its own goes with them."""
        held, journal = self.held_replies, self.journal
        upto = journal.batch if journal.clear else journal.persisted
        while held and held[0][0] <= upto:
            _, link, message = held.popleft()
            if link in self.clients:
                self.reply(link, message)

    def send(self, peer: int, message: Message) -> None:
        """Put a section for a peer into a frame of its own; it leaves when the view is on disk."""
        self.peer_sends.append((peer, [message]))

    def take_sends(self) -> list[tuple[int, list[Message]]]:
        """Hand over what may leave to peers."""
        if not self.journal.view_safe:
            return []
        sends, self.peer_sends = self.peer_sends, []
        return sends

    def withdraw_verdicts(self) -> None:
        """Say nothing of what was acknowledged in this turn, or waits for the disk: it is not held any more; clients send again."""
        self.held_replies = deque(item for item in self.held_replies if not isinstance(item[2], RecordAck))
        for link, sections in self.outbox.items():
            self.outbox[link] = [section for section in sections if not isinstance(section, RecordAck)]

    def join(self, view: int, leader: int, voted_for: int = -1) -> None:
        """Enter a higher view, or learn more of the present one: no ack of an older view leaves any more (docs/protocol.md, "Views")."""
        assert view >= self.view
        news = leader >= 0 and (view, leader) != (self.view, self.leader)
        if view > self.view or voted_for != self.voted_for:
            self.journal.on_voted(view, voted_for)
        if view > self.view:
            self.held_replies.clear()  # what names the old view is not said any more: clients send everything again
            self.full_frames.clear()
            self.peer_sends.clear()
            for link, sections in self.outbox.items():
                self.outbox[link] = [section for section in sections if not hasattr(section, "view")]
            self.results.clear()
        self.view, self.leader, self.voted_for = view, leader, voted_for
        if news:
            for link in self.clients:
                self.reply_durable(link, LeaderNews(self.configuration.number, view, leader))
                if self.leads and self.configuration.number > 1:
                    self.tell_members(link)

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
        replies = self.full_frames + [(link, sections) for link, sections in self.outbox.items() if sections]
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
                    chain = self.witness.chains.get(session) or self.witness.open(session)  # the disk may have told of its chain before
                    chain.heard_at = self.now
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
            self.journal.on_level(chain)
            if chain.link is not None:
                by_link.setdefault(chain.link, []).append(chain)
        self.promoted.clear()
        for link, chains in by_link.items():
            self.reply_durable(link, self.acks(chains))

    def acks(self, chains: list[Chain]) -> RecordAck:
        """Make the cumulative verdicts of some chains."""
        return RecordAck(
            self.configuration.number, self.view, [chain.session for chain in chains], self.held_levels(chains),
            [chain.accepted for chain in chains], [],
        )  # fmt: skip

    def held_levels(self, chains: list[Chain]) -> list[int]:
        """Tell up to where each chain is held.

        In mode ``ht`` only a leader tells: a follower's chains have holes, and were it to lead this very view later, what it said now would be
        taken for a leader's word that it has the causal writes.
        """
        if self.config.mode == "ht" and not self.leads:
            return [0] * len(chains)
        return [chain.held for chain in chains]

    def flush_notes(self, *, urgent: bool) -> bool:
        """Put what was applied into the frames that leave anyway, or, when ``urgent``, into frames of their own.

        Returns:
            Whether notes are left for later.
        """
        for link in list(self.notes) if urgent else [link for link in self.notes if link in self.outbox]:
            noted = self.notes.pop(link)
            told = self.results.pop(link, [])
            number, upto = self.configuration.number, list(noted.values())
            while len(told) > NOTED_RESULTS_MAX:  # who decides alone applies all that a turn brought
                self.reply(link, Applied(number, self.view, self.leads, self.applied_position, [], [], told[:NOTED_RESULTS_MAX]))
                told = told[NOTED_RESULTS_MAX:]
            self.reply(link, Applied(number, self.view, self.leads, self.applied_position, list(noted), upto, told))
        return bool(self.notes)

    def forget_link(self, link: Source) -> None:
        """A client's link is gone: stop speaking to it. Its sessions, chains and commands stay."""
        self.clients.pop(link, None)
        self.notes.pop(link, None)
        self.results.pop(link, None)
        self.outbox.pop(link, None)
        self.outbox_bytes.pop(link, None)
        for chain in self.witness.chains.values():
            if chain.link == link:
                chain.link, chain.home = None, False
