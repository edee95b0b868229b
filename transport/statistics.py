"""Counters of links, the hub and the mesh, and what is told of them: frozen snapshots that can be added and subtracted.

Counters only ever grow, so that a window is the difference of two snapshots.  System calls are counted where they are made; those that Trio
makes on our behalf (an ``epoll_ctl``/``epoll_wait`` pair for each wait, one ``epoll_wait`` for each checkpoint) are counted with them, because
a caller pays for them all the same.
"""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

HISTOGRAM_BUCKETS = 16
"""Buckets of a log2 histogram: bucket 0 counts zeros, bucket i values in [2**(i-1), 2**i), the last everything above."""

T = TypeVar("T")


def new_histogram() -> list[int]:
    """Make an empty log2 histogram; add with ``histogram[min(value.bit_length(), HISTOGRAM_BUCKETS - 1)] += 1``."""
    return [0] * HISTOGRAM_BUCKETS


def _combine(left: T, right: T, sign: int) -> T:
    """Add or subtract two snapshots field by field: numbers, tuples of equal length, tables of counts, nested snapshots."""
    kind: Any = type(left)
    changes: dict[str, Any] = {}
    for field in attrs.fields(kind):
        mine, other = getattr(left, field.name), getattr(right, field.name)
        if attrs.has(type(mine)):
            changes[field.name] = _combine(mine, other, sign)
        elif isinstance(mine, tuple):
            changes[field.name] = tuple(a + sign * b for a, b in zip(mine, other, strict=True))
        elif isinstance(mine, dict):
            changes[field.name] = {key: mine.get(key, 0) + sign * other.get(key, 0) for key in sorted({*mine, *other})}
        else:
            changes[field.name] = mine + sign * other
    result: T = kind(**changes)
    return result


@attrs.frozen
class SystemCalls:
    """System calls by kind, failed ones (EAGAIN) included."""

    send: int = 0
    receive: int = 0
    poll: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.send + self.receive + self.poll + self.other


@attrs.frozen
class LinkStatistics:
    """What one link has done since it was made, or several links added up."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    commands_in: int = 0
    commands_out: int = 0
    dropped: int = 0
    """Frames refused because the queue was full or the link closed."""
    blocked: int = 0
    """Sends that did not take everything (EAGAIN or partial)."""
    empty_receives: int = 0
    """Receives that found nothing (EAGAIN)."""
    syscalls: SystemCalls = SystemCalls()
    frames_per_send: tuple[int, ...] = (0,) * HISTOGRAM_BUCKETS
    """Log2 histogram: sends by the number of frames that left with them (bucket 0: the rest of an earlier send)."""

    def __add__(self, other: LinkStatistics) -> LinkStatistics:
        """Add field by field."""
        return _combine(self, other, 1)

    def __sub__(self, other: LinkStatistics) -> LinkStatistics:
        """Give what happened since the earlier snapshot ``other``."""
        return _combine(self, other, -1)


@attrs.frozen
class HubStatistics:
    """What a hub and all its links, closed ones included, have done."""

    turns: int = 0
    """Turns ended by the hub (there are more: timers end turns too)."""
    waits: int = 0
    """Times the hub went to sleep until something was readable."""
    links_open: int = 0
    links_closed: int = 0
    syscalls: SystemCalls = SystemCalls()
    """The hub's own and its links' system calls."""
    links: LinkStatistics = LinkStatistics()
    """All links added up."""

    def __sub__(self, other: HubStatistics) -> HubStatistics:
        """Give what happened since the earlier snapshot ``other``."""
        return _combine(self, other, -1)


@attrs.frozen
class MeshStatistics:
    """What a mesh has done."""

    links_up: int = 0
    """Links that are up now (handshake done)."""
    connections: int = 0
    """Connections open now, those in the handshake included."""
    accepted: int = 0
    dial_attempts: int = 0
    dials_succeeded: int = 0
    reasons: dict[str, int] = attrs.Factory(dict)
    """{reason: connections that ended with it}."""
