"""Joins the protocol core to links: decode, step, end the turn, encode, send.

Readers call ``on_frames`` inside a turn; ``end_turn`` carries out what the turn decided, in order, once for all frames that came together.  A
section that goes to several links is encoded once.  Whatever the core raises is a bug of ours: the driver marks itself broken first, so that no
further effect leaves, and the process ends.
"""

from __future__ import annotations

import logging
import math
from time import monotonic
from typing import TYPE_CHECKING

import attrs
import trio

from replica.core.effects import LinkDown, LinkUp, Received, Source
from replica.core.messages import Accept, Message
from replica.wire import WireError, WireLimits, assemble, decode, encode, encode_section
from transport.frame import encode as frame

if TYPE_CHECKING:
    from replica.core.replica import Replica
    from transport.handshake import Identity
    from transport.link import Link
    from transport.mesh import Mesh
    from transport.turns import Turns

logger = logging.getLogger("triskele.replica")

CLIENT_FRAME_BYTES_MAX = 8 << 20
"""Largest frame taken from a client: what it carries must fit an entry, and that a frame to the followers."""
CLIENT_QUEUE_BYTES_MAX = 16 << 20
"""Answers waiting on one client's link; more are dropped before they are encoded."""
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
        limits: of received frames.
    """

    def __init__(self, core: Replica, incarnation: int, limits: WireLimits) -> None:
        self.core = core
        self.incarnation = incarnation
        self.limits = limits
        self.statistics = DriverStatistics()
        self.mesh: Mesh | None = None
        self.turns: Turns | None = None
        self.broken = False
        self._sources: dict[Link, Source] = {}  # {link: its name in the core}
        self._links: dict[Source, Link] = {}  # {name in the core: live link}
        self._clients = 0
        self._alarm = trio.CancelScope()
        self._deadline = math.inf

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
        self.core.step(LinkUp(source, peer=peer), monotonic())
        self._wake()

    def on_link_down(self, identity: Identity, link: Link, reason: str) -> None:
        """Tell the core that a link is gone."""
        logger.info("link to %s is down: %s", identity.name, reason)
        source = self._sources.pop(link)
        if self._links.get(source) is link:
            del self._links[source]
            self.core.step(LinkDown(source), monotonic())

    def on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:  # noqa: ARG002 - the link tells more
        """Handle what one burst brought; garbage closes the link it came on, by name."""
        source = self._sources.get(link)
        if source is None or self.broken:
            return
        now, step, limits, statistics = monotonic(), self.core.step, self.limits, self.statistics
        statistics.frames_in += len(frames)
        try:
            for payload in frames:
                try:
                    if len(payload) > CLIENT_FRAME_BYTES_MAX and not isinstance(source, int):
                        raise WireError("frame_too_large", f"{len(payload)} bytes; a client's frame has {CLIENT_FRAME_BYTES_MAX} at most")
                    _incarnation, messages = decode(payload, limits=limits)
                except WireError as error:
                    self._drop(source, error.reason)
                    logger.warning("closing link %s: %s", link.name, error)
                    link.close(error.reason)
                    return
                for message in messages:
                    statistics.commands_in += _commands(message)
                step(Received(source, messages), now)
        except BaseException:
            self.broken = True
            raise

    # ------------------------------------------------------------------------------------------------------------------ the turn

    def end_turn(self) -> None:
        """Apply, take the effects, send: one flush for each link."""
        if self.broken:
            return
        core, now = self.core, monotonic()
        try:
            if now >= self._deadline:
                core.expire(now)
            more = core.apply(APPLY_COMMANDS_PER_TURN)
            effects = core.take_effects(now)
        except BaseException:
            self.broken = True
            raise
        statistics = self.statistics
        statistics.turns += 1
        statistics.applied += effects.applied
        links, incarnation = self._links, self.incarnation
        for source, sections in effects.replies:
            link = links.get(source)
            if link is None:
                continue
            if link.queued_bytes > CLIENT_QUEUE_BYTES_MAX:
                self._drop(source, "client_reads_too_slowly")  # it asks again when it does
                continue
            link.send([encode(incarnation, sections)], len(sections))
            link.flush()
        if effects.sends:
            self._send(effects.sends)
        for source, reason in effects.drops:
            self._drop(source, reason)
        if more:
            self._wake()
        self._set_alarm(core.deadline())

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

    def _wake(self) -> None:
        if self.turns is not None:
            self.turns.wake()

    # ----------------------------------------------------------------------------------------------------------------- the clock

    def _set_alarm(self, deadline: float) -> None:
        """Make sure that a turn happens at ``deadline``; a later one is noticed when the earlier has come."""
        self._deadline = deadline
        at = trio.current_time() + max(deadline - monotonic(), 0.0) if deadline < math.inf else math.inf
        if at < self._alarm.deadline:
            self._alarm.deadline = at

    async def run_timers(self) -> None:
        """Wake the turn whenever the core's deadline has come; runs until cancelled."""
        while True:
            left = self._deadline - monotonic()
            self._alarm = trio.CancelScope(deadline=trio.current_time() + max(left, 0.0) if left < math.inf else math.inf)
            with self._alarm:
                await trio.sleep_forever()
            if self._deadline <= monotonic():
                self._wake()
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()


def _commands(message: Message) -> int:
    """Count the commands a section brings from a client."""
    keys = getattr(message, "keys", None)
    if keys is None:
        keys = getattr(message, "queries", ())
    return len(keys) if not isinstance(message, Accept) else 0
