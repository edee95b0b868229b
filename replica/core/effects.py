"""What goes into the core (events) and what comes out of it (effects).

The core is told everything and does nothing: the driver hands it events and the time, and carries out its effects
(the shape of etcd raft's ``Ready`` and of h11's connection objects).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from replica.core.messages import Message

Source = Hashable
"""Who sent something: a peer's replica id (int) or any other hashable name of a client's link."""


@attrs.define
class Received:
    """One frame's sections came from ``source``."""

    source: Source
    messages: list[Message]


@attrs.define
class LinkUp:
    """A link to ``source`` is usable; ``peer`` tells a replica's from a client's."""

    source: Source
    peer: bool


@attrs.define
class LinkDown:
    """The link to ``source`` is gone; what was sent on it may be lost."""

    source: Source


@attrs.define
class Persisted:
    """Every batch of journal records up to number ``batch`` is on disk."""

    batch: int


Event = Received | LinkUp | LinkDown | Persisted


@attrs.define
class Effects:
    """What one turn asks of the driver, in the order in which it must be done."""

    sends: list[tuple[int, list[Message]]]
    """To peers: (replica id, sections of one frame). Equal objects may appear for several peers: encode them once."""
    replies: list[tuple[Source, list[Message]]]
    """To clients: (link, sections of one frame). A link that is gone is no error: drop them."""
    applied: int
    """Commands applied in this turn."""
    drops: list[tuple[Source, str]]
    """Frames or sections refused, with a short machine reason: count them, log them, end nothing."""
