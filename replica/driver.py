"""Joins the protocol core to links: decode, step, end the turn, encode, send.

Readers call ``on_frames`` inside a turn; ``end_turn`` carries out what the turn decided, in order, once for all frames that came together.  A
section that goes to several links is encoded once.  Whatever the core raises is a bug of ours: the driver marks itself broken first, so that no
further effect leaves, and the process ends.
"""

from __future__ import annotations

import logging
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs

from replica.alarm import Alarm
from replica.core.effects import Event, LinkDown, LinkUp, Persisted, Received, Source
from replica.core.messages import Applied, CausalRead, Message, ReadIndex, Record, SpecReply, StrongRead
from replica.hello import refusal_in
from replica.wire import WireError, WireLimits, assemble, decode, encode, encode_section
from transport.fault_points import reach
from transport.frame import FRAME_BYTES_MAX
from transport.frame import encode as frame
from transport.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from replica.core.configuration import Configuration
    from replica.core.replica import Replica
    from replica.persistence import Persistence
    from transport.handshake import Identity
    from transport.link import Link

logger = logging.getLogger("triskele.replica")

CLIENT_FRAME_BYTES_MAX = 8 << 20
"""Largest frame taken from a client: what it carries must fit an entry, and that a frame to the followers."""
CLIENT_QUEUE_BYTES_MAX = 16 << 20
"""Answers waiting on one client's link; more are dropped before they are encoded."""
REPLY_BYTES_MAX = 8 << 20
"""Answers in one frame; the core keeps most frames below half of it, more go in several."""
REPLY_SECTIONS_MAX = 1 << 12
"""Sections in one frame of answers; more go in several."""
REPLY_RESULTS_MAX = 1 << 15
"""Results of cas in one frame, each an array of its own, which clients count as a dozen items; more go in several frames."""
CLIENT_LIMITS = WireLimits()
PEER_LIMITS = WireLimits(commands_per_frame_max=1 << 18, sections_per_frame_max=1 << 14, items_per_frame_max=1 << 22)
"""An entry holds what was drafted and one client's frame: it must pass the followers whatever the client put into its frame."""
APPLY_COMMANDS_PER_TURN = 2048
"""Committed commands applied in one turn; the rest follows in the next, so that no turn grows long."""


@attrs.define
class DriverStatistics:
    """What the driver counted."""

    frames_in: int = 0
    commands_in: int = 0
    applied: int = 0
    turns: int = 0
    drops: dict[str, int] = attrs.Factory(dict)
    # {reason: sections or frames refused}


class ReplicaDriver:
    """Carries events to one core and its effects to links.

    Args:
        core: the replica.
        incarnation: told with every frame.
        persistence: takes what must be on disk; None for a core that never records anything.
        frame_bytes_max: largest payload that links take.
        clock: gives the time the core is told, seconds.

    Attributes:
        turns: end in ``end_turn``; the hub and the mesh are made with it.
        on_configured: told, at the end of a turn, that the configuration is another one, that it is committed, or that another replica leads.
        on_refused: told the word and the explanation with which another replica refuses us.
        broken: the core or the turn raised: nothing is handled or sent any more.
    """

    def __init__(
        self,
        core: Replica,
        incarnation: int,
        *,
        persistence: Persistence | None = None,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.core = core
        self.incarnation = incarnation
        self.statistics = DriverStatistics()
        self.turns = Turns(self.end_turn)
        self.broken = False
        self.persistence = persistence
        if persistence is not None:
            persistence.on_persisted = self._on_persisted
        self._frame_bytes_max = frame_bytes_max
        self._clock = clock
        self._alarm = Alarm(self.turns.end_now, clock)
        self._sources: dict[Link, Source] = {}  # {link: its name in the core}
        self._links: dict[Source, Link] = {}  # {name in the core: live link}
        self._clients = 0
        self._configured: tuple[Configuration, bool, int] = core.node.configuration, core.node.settled, core.node.leader
        self.on_configured: Callable[[], None] = lambda: None
        self.on_refused: Callable[[str, str], None] = lambda _reason, _detail: None

    # -------------------------------------------------------------------------------------------------------- called by the mesh

    def on_link_up(self, identity: Identity, link: Link) -> None:
        """Tell the core that a link is usable."""
        peer = identity.exclusive
        if peer:
            source: Source = identity.name
        else:
            self._clients += 1
            source = ("link", self._clients)
        self._sources[link] = source
        self._links[source] = link
        reach("link.up")
        self._step(LinkUp(source, peer=peer), self._clock())
        self.turns.wake()

    def on_link_down(self, identity: Identity, link: Link, reason: str) -> None:
        """Tell the core that a link is gone."""
        logger.log(logging.INFO if identity.exclusive else logging.DEBUG, "link to %s is down: %s", identity.name, reason)
        source = self._sources.pop(link)
        if self._links.get(source) is link:
            del self._links[source]
            reach("link.down")
            self._step(LinkDown(source), self._clock())

    def on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:  # noqa: ARG002 - the link tells more
        """Handle what one burst brought; garbage closes the link it came on, by name."""
        source = self._sources.get(link)
        if source is None or self.broken:
            return
        reach("frames.received")
        now, statistics = self._clock(), self.statistics
        statistics.frames_in += len(frames)
        limits, frame_bytes_max = (PEER_LIMITS, self._frame_bytes_max) if isinstance(source, int) else (CLIENT_LIMITS, CLIENT_FRAME_BYTES_MAX)
        for payload in frames:
            if len(payload) > frame_bytes_max:
                self._refuse_link(source, link, "frame_too_large", f"{len(payload)} bytes; a client's frame has {frame_bytes_max} at most")
                return
            try:
                _incarnation, messages = decode(payload, limits=limits)
            except WireError as error:
                refusal = refusal_in(payload)
                if refusal is None:
                    self._refuse_link(source, link, error.reason, error.detail)
                else:
                    logger.info("link %s: the other side refuses us: %s", link.name, refusal)
                    link.close("refused")
                    if isinstance(source, int):
                        self.on_refused(refusal.reason, refusal.detail)
                return
            statistics.commands_in += sum(map(count_commands, messages))
            self._step(Received(source, messages), now)

    def _refuse_link(self, source: Source, link: Link, reason: str, detail: str) -> None:
        """Close a link whose other side does not speak our language: there is no telling where it would go on."""
        self._drop(source, reason)
        logger.warning("closing link %s: %s: %s", link.name, reason, detail)
        link.close(reason)

    def _step(self, event: Event, now: float) -> None:
        if self.broken:
            return
        try:
            self.core.step(event, now)
        except BaseException:
            self.broken = True
            raise

    # ------------------------------------------------------------------------------------------------------------------ the turn

    def end_turn(self) -> None:
        """Apply, take the effects, send: one flush for each link."""
        if self.broken:
            return
        try:
            self._end_turn()
        except BaseException:
            self.broken = True
            raise

    def _end_turn(self) -> None:
        reach("turn.begin")
        core, now = self.core, self._clock()
        if self._alarm.is_due(now):
            core.expire(now)
        more = core.apply(APPLY_COMMANDS_PER_TURN)
        if self.persistence is not None:
            more = self._persist(self.persistence, now) or more
        effects = core.take_effects(now)
        reach("turn.before_send")
        statistics = self.statistics
        statistics.turns += 1
        statistics.applied += effects.applied
        for source, sections in effects.replies:
            link = self._links.get(source)
            if link is not None:
                self._reply(source, link, sections)
        reach("turn.after_replies")
        if effects.sends:
            self._send(effects.sends)
        for source, reason in effects.drops:
            self._drop(source, reason)
        if more:
            self.turns.wake()
        self._alarm.set(core.deadline())
        node, told = core.node, self._configured
        if node.configuration is not told[0] or node.settled is not told[1] or node.leader != told[2]:
            self._configured = node.configuration, node.settled, node.leader
            self.on_configured()
        reach("turn.end")

    def _persist(self, persistence: Persistence, now: float) -> bool:
        """Write what must be on disk before this turn's replies leave; returns whether another turn is wanted at once."""
        core = self.core
        batch, records = core.take_persist(now)
        if records:
            reach("turn.before_write")
        if records and persistence.write(batch, records):
            reach("turn.after_write")
            core.step(Persisted(batch), now)
            more = core.apply(APPLY_COMMANDS_PER_TURN)  # at once: the leader's own sync may have been the last that a commit waited for
            return more or core.node.journal.urgent
        return False

    def _on_persisted(self, batch: int) -> None:
        """A batch became safe while turns went on."""
        reach("batch.persisted")
        self._step(Persisted(batch), self._clock())
        self.turns.wake()

    def _reply(self, source: Source, link: Link, sections: list[Message]) -> None:
        """Send one frame to a client, or several if it grew too large; one that reads too slowly asks again when it does read."""
        if link.queued_bytes > CLIENT_QUEUE_BYTES_MAX:
            self._drop(source, "client_reads_too_slowly")
            return
        payload = encode(self.incarnation, sections) if len(sections) <= REPLY_SECTIONS_MAX else b""
        if not payload or (len(payload) > REPLY_RESULTS_MAX and len(sections) > 1 and _too_much(payload, sections)):
            middle = len(sections) // 2
            self._reply(source, link, sections[:middle])
            self._reply(source, link, sections[middle:])
        elif len(payload) > self._frame_bytes_max:
            self._drop(source, "reply_too_large")
        else:
            link.send([payload], len(sections))
            link.flush()

    def _send(self, sends: list[tuple[int, list[Message]]]) -> None:
        """Send to peers; sections that several get are one object and are encoded once."""
        encoded: dict[int, list[bytes]] = {}
        for peer, sections in sends:
            link = self._links.get(peer)
            if link is None:
                continue
            buffers = encoded.get(id(sections))
            if buffers is None:
                parts = assemble(self.incarnation, [encode_section(section) for section in sections])
                buffers = encoded[id(sections)] = frame(parts)
            link.send_encoded(buffers, len(sections))
            link.flush()

    def _drop(self, source: Source, reason: str) -> None:
        drops = self.statistics.drops
        if reason not in drops:
            logger.warning("refusing %s from %s (counted from now on)", reason, source)
        drops[reason] = drops.get(reason, 0) + 1

    async def run_timers(self) -> None:
        """End turns when the core's deadline has come; runs until cancelled."""
        await self._alarm.run()


def _too_much(payload: bytes, sections: list[Message]) -> bool:
    """Whether a client's frame is too large, or has more results in it than the client takes (each is longer than a byte)."""
    return (
        len(payload) > REPLY_BYTES_MAX
        or sum(len(section.results) for section in sections if isinstance(section, SpecReply | Applied)) > REPLY_RESULTS_MAX
    )


_COMMANDS: dict[type, Callable[[Any], Sized]] = {
    Record: attrgetter("keys"), StrongRead: attrgetter("queries"), CausalRead: attrgetter("queries"), ReadIndex: attrgetter("queries"),
}  # fmt: skip
"""The column that has a place for each command, of the sections that bring some; a table, because it is asked for each section."""


def count_commands(message: Message) -> int:
    """Count the commands a section brings from a client."""
    column = _COMMANDS.get(type(message))
    return 0 if column is None else len(column(message))
