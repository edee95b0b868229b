"""Virtual links: each joins two places, delays, loses, doubles and reorders their frames, breaks, and comes up again.

One real connection delivers first in, first out until it breaks; a link does that while its faults are off, and worse while they are on.
Who is at an end learns that a link broke at its own time, so that one end may speak for a while into a link the other has given up.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Place = str
"""Who is at the end of a link: ``r0``, ``r1``, ... replicas, ``c0``, ... clients."""


class Clock(Protocol):
    """What the network needs of the world."""

    now: float

    def at(self, when: float, do: Callable[[], None], priority: int = 0) -> None:
        """Do something at a time."""


class End(Protocol):
    """What stands at the end of a link."""

    name: Place

    def on_link_up(self, other: Place) -> None:
        """A link to ``other`` is usable."""

    def on_link_down(self, other: Place) -> None:
        """The link to ``other`` is gone."""

    def on_frame(self, other: Place, payload: bytes) -> None:
        """A frame came from ``other``."""


@attrs.define(eq=False)
class Direction:
    """One way of a link."""

    delays: tuple[float, float]
    """Range of a frame's delay, seconds."""
    rng: random.Random
    """Its own chance."""
    blocked: bool = False
    """Everything is lost (a partition that nobody notices)."""
    slower: float = 1.0
    free_at: float = 0.0
    """The last frame in order arrives then."""


@attrs.define(eq=False)
class Link:
    """Two places joined."""

    a: End
    b: End
    ways: dict[Place, Direction]
    # {who sends: that way}
    up: bool = False
    life: int = 0
    """Counts connections: a frame of an earlier one never arrives."""
    unaware: list[End] = attrs.Factory(list)
    """Ends that have not noticed yet that it broke."""

    def other(self, name: Place) -> End:
        """Return who is at the other end."""
        return self.b if name == self.a.name else self.a


@attrs.define(eq=False)
class Network:
    """All links; ``loss``, ``duplication`` and ``reordering`` are shares of frames and may be changed at any time."""

    clock: Clock
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    links: dict[tuple[Place, Place], Link] = attrs.Factory(dict)
    # {(who, other): the one link of both}
    counts: dict[str, int] = attrs.Factory(dict)
    # {what happened: how often}
    frames: int = 0
    digest: int = 0
    """Of all frames: equal for equal runs."""

    def join(self, a: End, b: End, ways: dict[Place, Direction]) -> Link:
        """Make a link that is not up yet; ``ways``: of each sender."""
        link = Link(a, b, ways)
        self.links[a.name, b.name] = self.links[b.name, a.name] = link
        return link

    def count(self, what: str) -> None:
        """Count something that happened."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def connect(self, link: Link) -> None:
        """Bring a link up and tell both ends."""
        assert not link.up
        for end in list(link.unaware):
            self._notice(link, end)
        link.up = True
        link.life += 1
        for way in link.ways.values():
            way.free_at = self.clock.now
        link.a.on_link_up(link.b.name)
        link.b.on_link_up(link.a.name)

    def cut(self, link: Link, notice_seconds: float) -> None:
        """Break a link: frames on the way are lost, and each end notices within ``notice_seconds``."""
        assert link.up
        link.up = False
        link.life += 1
        self.count("links broken")
        for end in (link.a, link.b):
            link.unaware.append(end)
            noticed = self.clock.now + link.ways[end.name].rng.uniform(0.0, notice_seconds)
            self.clock.at(noticed, lambda end=end: self._notice(link, end))  # type: ignore[misc]

    def _notice(self, link: Link, end: End) -> None:
        if end in link.unaware:
            link.unaware.remove(end)
            end.on_link_down(link.other(end.name).name)

    def send(self, sender: Place, receiver: Place, payload: bytes) -> None:
        """Send a frame: it arrives once, late, twice, or never."""
        link = self.links[sender, receiver]
        way = link.ways[sender]
        self.frames += 1
        self.digest = zlib.crc32(payload, self.digest)
        rng = way.rng
        if not link.up:
            self.count("frames into broken links")
        elif way.blocked:
            self.count("frames partitioned")
        elif self.loss and rng.random() < self.loss:
            self.count("frames lost")
        else:
            self._deliver(link, way, sender, payload)
            if self.duplication and rng.random() < self.duplication:
                self.count("frames doubled")
                self._deliver(link, way, sender, payload)

    def _deliver(self, link: Link, way: Direction, sender: Place, payload: bytes) -> None:
        rng = way.rng
        low, high = way.delays
        arrives = self.clock.now + (rng.uniform(low, high) if high > low else low) * way.slower
        if self.reordering and rng.random() < self.reordering:
            self.count("frames out of order")
            arrives += rng.uniform(0.0, 4 * high)
        else:
            arrives = way.free_at = max(arrives, way.free_at)
        life, receiver = link.life, link.other(sender)

        def arrive() -> None:
            if link.life == life and not way.blocked:
                receiver.on_frame(sender, payload)

        self.clock.at(arrives, arrive)
