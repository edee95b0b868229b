"""The in-memory fabric: a network of named endpoints with faults by seed. No tasks, no sockets; time is Trio's, so an autojump clock works.

A *conduit* is one end of a connection, as a socket is: what one end puts in comes out of the other's inbox when it is due.  Faults strike when
a frame is put in (loss, duplication, delay, reordering; all drawn from one seeded generator) or when it is taken out (clogged pairs).
Partitioned endpoints hear nothing of each other, not even that a connection was closed: what is sent meanwhile is lost, and who dials waits.
Who believes a dead connection alive learns the truth after ``SILENCE_SECONDS``, as from its kernel.

Without faults a conduit keeps order.  With ``drop``, ``duplicate`` and ``reorder`` it breaks the link contract on purpose: what is above must
repair it.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import attrs
import trio

from transport.endpoints import Endpoints
from transport.errors import AddressInUse, DialFailed
from transport.fault_points import reach
from transport.sockets import SILENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

BACKLOG_MAX = 1024
"""Most connections waiting at a listener."""

REORDER_SECONDS = 0.001
"""How much later a reordered frame comes at most, if no delay is set."""


@attrs.define
class Faults:
    """What may happen to a frame on its way. Rates in [0, 1], seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_min: float = 0.0
    delay_max: float = 0.0


class _Parcel(NamedTuple):
    """Something on its way; ordered by when it is due, then by when it was sent (no two have the same ``sequence``)."""

    due: float
    sequence: int
    payload: bytes | None  # None: the other end has closed
    owed: int  # bytes the sender counts as queued until this is taken


class Conduit:
    """One end of an in-memory connection.

    Attributes:
        name: the endpoint this end belongs to.
        other: the endpoint at the other end.
        queued_bytes: bytes put in here and not yet taken out there.
        on_arrival: told that something has arrived or may come earlier than known.
        on_taken: told that the other end took something.
    """

    def __init__(self, fabric: Fabric, name: str, other: str) -> None:
        """Wait to be paired."""
        self._fabric = fabric
        self.name = name
        self.other = other
        self.queued_bytes = 0
        self.on_arrival: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] = lambda: None
        self._inbox: list[_Parcel] = []  # a heap
        self._last_due = 0.0  # of what this end put in, in order
        self._peer: Conduit | None = None  # None: nobody hears us (any more)
        self._spoke = False
        self._hello_due = 0.0
        self._open = True

    def pair(self, peer: Conduit) -> None:
        """Connect with the other end."""
        self._peer = peer
        peer._peer = self

    def put(self, payload: bytes) -> None:
        """Send one frame; it is lost where faults say so.

        The first one is a link's hello: no line brings it twice, or brings what follows it and not it before, so only a partition loses it.
        """
        self._fabric.note(self, payload)
        for due in self._fabric.fate(self, faults=self._spoke):
            if not self._spoke:
                self._hello_due = due
            self._put(payload, max(due, self._hello_due))
        self._spoke = True

    def close(self) -> None:
        """Close this end; the other end hears of it behind all that was sent."""
        if self._open:
            self._open = False
            self.lose_inbox()
            for due in self._fabric.fate(self, faults=False) or [trio.current_time() + SILENCE_SECONDS]:
                self._put(None, due)
            self._fabric.forget(self)

    def sever(self) -> None:
        """Let the other end lose the connection while this end believes it alive."""
        peer = self._peer
        if peer is not None:
            self.lose_inbox()
            peer.lose_inbox()
            self._peer = peer._peer = None  # noqa: SLF001 - two ends of one thing
            peer._end_at(trio.current_time())  # noqa: SLF001
            self._end_at(trio.current_time() + SILENCE_SECONDS)

    def lose_inbox(self) -> None:
        """Lose what is on its way to this end."""
        if self._peer is not None:
            self._peer.queued_bytes -= sum(parcel.owed for parcel in self._inbox)
            self._peer.on_taken()
        ends = any(parcel.payload is None for parcel in self._inbox)
        self._inbox.clear()
        if ends:
            self._end_at(trio.current_time() + SILENCE_SECONDS)

    def _end_at(self, due: float) -> None:
        """Let this end find the connection closed."""
        heappush(self._inbox, _Parcel(due, next(self._fabric.sequence), None, 0))
        self.on_arrival()

    def next_due(self) -> float:
        """When the next frame can be taken; ``math.inf`` if none is on its way or the pair is clogged."""
        if not self._inbox or self._fabric.clogged(self.other, self.name):
            return math.inf
        return self._inbox[0].due

    def take(self, now: float, frames_max: int) -> tuple[list[bytes], bool]:
        """Take what is due, in order, at most ``frames_max`` frames; and whether the other end has closed behind them."""
        frames: list[bytes] = []
        closed = False
        peer = self._peer
        inbox = [] if self._fabric.clogged(self.other, self.name) else self._inbox
        while inbox and inbox[0].due <= now and len(frames) < frames_max and not closed:
            parcel = heappop(inbox)
            if parcel.payload is None:
                closed = True
            else:
                frames.append(parcel.payload)
            if peer is not None:
                peer.queued_bytes -= parcel.owed
        if peer is not None and frames:
            peer.on_taken()
        return frames, closed

    def _put(self, payload: bytes | None, due: float) -> None:
        peer = self._peer
        if peer is None or not peer._open:  # noqa: SLF001
            return
        owed = len(payload) if payload else 0
        self.queued_bytes += owed
        heappush(peer._inbox, _Parcel(due, next(self._fabric.sequence), payload, owed))  # noqa: SLF001
        peer.on_arrival()

    def in_order(self, due: float) -> float:
        """Give the first moment from ``due`` on that does not overtake what was sent before."""
        self._last_due = max(self._last_due, due)
        return self._last_due


class MemoryListener:
    """Where others dial an endpoint."""

    def __init__(self, fabric: Fabric, name: str) -> None:
        """Wait for dialers."""
        self._fabric = fabric
        self.name = name
        self._waiting: deque[Conduit] = deque()
        self._arrived = trio.Event()

    def offer(self, conduit: Conduit) -> None:
        """Put a new connection into the backlog.

        Raises:
            DialFailed: the backlog is full.
        """
        if len(self._waiting) >= BACKLOG_MAX:
            raise DialFailed(detail=f"the backlog of memory:{self.name} is full")
        self._waiting.append(conduit)
        self._arrived.set()

    async def accept(self) -> tuple[Conduit, str]:
        """Wait for a connection; returns its conduit and the name of who dialed."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        reach("fabric.accept")
        conduit = self._waiting.popleft()
        return conduit, conduit.other

    def close(self) -> None:
        """Stop listening; who waits in the backlog is closed."""
        self._fabric.unlisten(self)
        while self._waiting:
            self._waiting.popleft().close()


class Fabric:
    """A network in memory.

    Args:
        seed: decides every fault; the same calls in the same order meet the same faults.
        guests: endpoints whose names begin so may come at any time, so that faults may be about them before they do.

    Attributes:
        endpoints: whom faults may be about: who listened or dialed once, and whoever was added here.
        frames: how many were sent, those that were lost included.
        digest: CRC-32 of all of them, with their times and ends: equal for equal runs.

    A pair of endpoints is named by ``between``; without it a fault holds for all pairs that have none of their own.  A fault that could not
    strike (a name that nobody has, a rate above 1) is a ``ValueError``: a test that went on without it would show nothing.
    """

    def __init__(self, seed: int = 0, guests: str = "") -> None:
        """Start without faults."""
        self.endpoints = Endpoints(guests)
        self.sequence = count()
        self.frames = 0
        self.digest = 0
        self._random = Random(seed)
        self._faults = Faults()
        self._pair_faults: dict[frozenset[str], Faults] = {}
        self._partitions: list[tuple[frozenset[str], frozenset[str]]] = []
        self._clogged: set[tuple[str, str]] = set()  # (from, to)
        self._listeners: dict[str, MemoryListener] = {}
        self._conduits: dict[Conduit, None] = {}
        self._changed = trio.Event()  # a partition healed or a listener came

    # ----------------------------------------------------------------------------------------------------------------------- faults

    def partition(self, left: Collection[str], right: Collection[str]) -> None:
        """Part two groups of endpoints: nothing passes between them until ``heal``; what is sent meanwhile, or is on its way, is lost."""
        groups = self.endpoints.group(left), self.endpoints.group(right)
        if groups[0] & groups[1]:
            raise ValueError(f"a partition cannot have {', '.join(sorted(groups[0] & groups[1]))} on both sides")
        self._partitions.append(groups)
        for conduit in self._conduits:
            if self.parted(conduit.name, conduit.other):
                conduit.lose_inbox()

    def heal(self) -> None:
        """End all partitions and unclog all pairs."""
        self._partitions.clear()
        self._clogged.clear()
        self._stir()

    def drop(self, rate: float, between: tuple[str, str] | None = None) -> None:
        """Lose this share of the frames."""
        self._of(between).drop = _share(rate)

    def duplicate(self, rate: float, between: tuple[str, str] | None = None) -> None:
        """Deliver this share of the frames twice."""
        self._of(between).duplicate = _share(rate)

    def reorder(self, rate: float, between: tuple[str, str] | None = None) -> None:
        """Let this share of the frames come late, overtaken by others."""
        self._of(between).reorder = _share(rate)

    def delay(self, seconds_min: float, seconds_max: float, between: tuple[str, str] | None = None) -> None:
        """Let each frame take this long, evenly drawn; without ``reorder`` order is kept."""
        if not 0 <= seconds_min <= seconds_max < math.inf:
            raise ValueError(f"a frame cannot take from {seconds_min} to {seconds_max} s")
        faults = self._of(between)
        faults.delay_min, faults.delay_max = seconds_min, seconds_max

    def clog(self, name: str, other: str) -> None:
        """Stop what ``name`` sends to ``other`` without losing it, until ``unclog`` or ``heal``; queues grow and push back."""
        self._clogged.add(self.endpoints.pair(name, other))

    def unclog(self, name: str, other: str) -> None:
        """Let it flow again."""
        self._clogged.discard(self.endpoints.pair(name, other))
        self._stir()

    def half_open(self, name: str, other: str) -> None:
        """Let ``other`` lose its connections with ``name`` while ``name`` believes them alive for a while: what it sends there vanishes."""
        ends = self.endpoints.pair(name, other)
        for conduit in list(self._conduits):
            if (conduit.name, conduit.other) == ends:
                conduit.sever()

    def _of(self, between: tuple[str, str] | None) -> Faults:
        if between is None:
            return self._faults
        return self._pair_faults.setdefault(frozenset(self.endpoints.pair(*between)), attrs.evolve(self._faults))

    def _stir(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        for conduit in self._conduits:
            conduit.on_arrival()

    # ------------------------------------------------------------------------------------------------------------------ connections

    def listen(self, name: str) -> MemoryListener:
        """Open an endpoint.

        Raises:
            AddressInUse: it is open already.
        """
        if name in self._listeners:
            raise AddressInUse(f"memory:{name}")
        self.endpoints.add(name)
        listener = self._listeners[name] = MemoryListener(self, name)
        return listener

    def unlisten(self, listener: MemoryListener) -> None:
        """Forget a listener; called by it."""
        if self._listeners.get(listener.name) is listener:
            del self._listeners[listener.name]

    async def dial(self, name: str, from_name: str) -> Conduit:
        """Connect to an endpoint; waits while the two are parted.

        Raises:
            DialFailed: nobody listens there.
        """
        await trio.lowlevel.checkpoint()
        self.endpoints.add(from_name)
        while self.parted(name, from_name):
            await self._changed.wait()
        reach("fabric.dial")
        listener = self._listeners.get(name)
        if listener is None:
            raise DialFailed(detail=f"nobody listens at memory:{name}")
        here, there = Conduit(self, from_name, name), Conduit(self, name, from_name)
        here.pair(there)
        listener.offer(there)
        self._conduits[here] = self._conduits[there] = None
        return here

    def note(self, conduit: Conduit, payload: bytes) -> None:
        """Take a frame into the digest; called by the conduit it is put in."""
        self.frames += 1
        self.digest = crc32(payload, crc32(f"{trio.current_time()!r} {conduit.name} {conduit.other}".encode(), self.digest))

    def forget(self, conduit: Conduit) -> None:
        """Forget a closed conduit; called by it."""
        self._conduits.pop(conduit, None)

    def parted(self, name: str, other: str) -> bool:
        """Whether a partition lies between two endpoints."""
        return bool(self._partitions) and any(
            (name in left and other in right) or (name in right and other in left) for left, right in self._partitions
        )

    def clogged(self, name: str, other: str) -> bool:
        """Whether what ``name`` sends to ``other`` is stopped."""
        return (name, other) in self._clogged

    def fate(self, conduit: Conduit, *, faults: bool = True) -> list[float]:
        """Draw when a frame sent now arrives: no moment (lost), one, or two (duplicated)."""
        if self.parted(conduit.name, conduit.other):
            return []
        chances = self._pair_faults.get(frozenset((conduit.name, conduit.other)), self._faults) if self._pair_faults else self._faults
        random, now = self._random, trio.current_time()
        if faults and chances.drop and random.random() < chances.drop:
            return []
        arrivals = []
        copies = 2 if faults and chances.duplicate and random.random() < chances.duplicate else 1
        for _ in range(copies):
            due = now + random.uniform(chances.delay_min, chances.delay_max) if chances.delay_max else now
            if faults and chances.reorder and random.random() < chances.reorder:
                arrivals.append(due + random.uniform(0, max(chances.delay_max, REORDER_SECONDS)))
            else:
                arrivals.append(conduit.in_order(due))
        return arrivals


def _share(rate: float) -> float:
    if not 0 <= rate <= 1:
        raise ValueError(f"{rate} is no share of the frames: from 0 to 1")
    return rate
