"""What the lines between replicas, and between clients and replicas, do at the moment.

A *way* is ``(from, to)``: the bytes that one place sends to another.  A fault puts effects on ways and lifts them again; several may be on a way at
once.  TCP neither loses nor reorders bytes inside a connection, and so nothing here does: what a lossy line does to TCP is that bytes come late
(``stalled``: they wait until the fault is lifted, and new connections with them), that the connection ends (``cut``), or that one side talks to
nobody (``swallowed``: bytes vanish, and the connection that lost some is cut when the fault is lifted, as by a peer that has forgotten it).
Order is lost between two connections only (``strand``: one end is gone and dials again, while what it had sent is still on its way).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CLIENTS = -1
"""The place of all clients; replicas' places are their ids."""

Way = tuple[int, int]


@attrs.frozen(kw_only=True)
class Effect:
    """What a fault does to a way.

    Attributes:
        delay_seconds: Every byte takes so much longer.
        spread_seconds: And up to so much more, for each connection another part of it.
        stalled: Bytes and new connections wait until it is lifted.
        swallowed: Bytes vanish.
    """

    delay_seconds: float = 0.0
    spread_seconds: float = 0.0
    stalled: bool = False
    swallowed: bool = False


class Connection(Protocol):
    """What the network may do to a connection that a proxy carries."""

    near: int
    far: int
    holed: bool

    def cut(self) -> None:
        """End it at once, both ends with a reset."""

    def strand(self, *, near: bool) -> None:
        """End one end at once; what it had sent still arrives at the other."""


class Network:
    """The effects on all ways, by fault.

    Attributes:
        connections: Those that are carried now.
        touched: ``{fault: bytes' pieces held up, delayed or swallowed, connections held up or ended}``; a fault that touched nothing proved nothing.
    """

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.touched: Counter[int] = Counter()
        self._effects: dict[int, Mapping[Way, Effect]] = {}  # {fault: what it does}
        self._news = trio.Event()

    def put(self, fault: int, effects: Mapping[Way, Effect]) -> None:
        """Let a fault begin."""
        self._effects[fault] = effects
        self._tell()

    def lift(self, fault: int) -> None:
        """Let it end; nothing if it has not begun."""
        self._effects.pop(fault, None)
        for connection in self._matching(lambda connection: connection.holed and not self._swallows(connection)):
            connection.cut()
        self._tell()

    def cut(self, fault: int, ways: Iterable[Way]) -> None:
        """End all connections between places that a way joins, in either direction."""
        for connection in self._between(ways):
            self.touched[fault] += 1
            connection.cut()

    def strand(self, fault: int, ways: Iterable[Way], near: Callable[[], bool]) -> None:
        """As ``cut``, but at one end alone: what that end had sent still arrives. ``near`` draws which end."""
        for connection in self._between(ways):
            self.touched[fault] += 1
            connection.strand(near=near())

    # ------------------------------------------------------------------------------------------------------------------ asked by proxies

    def delay(self, way: Way, share: float) -> float:
        """Return how much longer bytes take, in seconds, for a connection with this share of the spread."""
        total = 0.0
        for effect in self._on(way, lambda effect: effect.delay_seconds + effect.spread_seconds > 0):
            total += effect.delay_seconds + effect.spread_seconds * share
        return total

    def swallows(self, way: Way) -> bool:
        """Whether bytes vanish."""
        return bool(self._on(way, lambda effect: effect.swallowed))

    async def passable(self, *ways: Way, also_swallowed: bool = False) -> None:
        """Wait until none of these is stalled (nor swallowed: a connection cannot be opened then)."""
        while any(self._on(way, lambda effect: effect.stalled or (also_swallowed and effect.swallowed)) for way in ways):
            await self._news.wait()

    # ------------------------------------------------------------------------------------------------------------------

    def _on(self, way: Way, concerns: Callable[[Effect], bool]) -> list[Effect]:
        """Return the effects on a way that concern somebody, and count them as felt."""
        found = []
        for fault, effects in self._effects.items():
            effect = effects.get(way)
            if effect is not None and concerns(effect):
                self.touched[fault] += 1
                found.append(effect)
        return found

    def _swallows(self, connection: Connection) -> bool:
        ways = ((connection.near, connection.far), (connection.far, connection.near))
        return any(way in effects and effects[way].swallowed for effects in self._effects.values() for way in ways)

    def _between(self, ways: Iterable[Way]) -> list[Connection]:
        pairs = {frozenset(way) for way in ways}
        return self._matching(lambda connection: frozenset((connection.near, connection.far)) in pairs)

    def _matching(self, wanted: Callable[[Connection], bool]) -> list[Connection]:
        return [connection for connection in self.connections if wanted(connection)]

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()


def ways_between(some: Iterable[int], others: Iterable[int]) -> set[Way]:
    """Return the ways from each of some places to each of the others, and back."""
    pairs = [(one, other) for one in some for other in others if one != other]
    return {*pairs, *((other, one) for one, other in pairs)}
