"""The mesh: dials, accepts, shakes hands, backs off, reconnects; one live link for each peer, many for clients.

Each connection has one task in a child nursery.  It does almost nothing: native links are served by the hub; the task waits for the handshake
within its limit and then for the end, and tells who must know.  One connection's failure (an error of its own, named) ends neither its siblings
nor the listener; a bug (anything that callbacks raise) ends the nursery.

Two live links to one exclusive identity cannot be told apart above, so the newer wins and the older closes (``superseded``): after a restart
or a broken path the new link is the one known to work.  A dial waits while a live link to its identity exists, so two sides that dial each
other do not supersede each other for ever.  Who is dialed without a name shows who it is only by its hello: if another dial of ours has a live
link to it (two of a client's addresses lead to one replica), the new one yields (``second_address``), and dials again when that one has ended.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

from transport.address import Address, parse
from transport.backoff import Backoff
from transport.batch import BatchPolicy, TurnPolicy
from transport.carriers import Carriers, Wire
from transport.errors import DialFailed, HandshakeRefused, LocalMisuse
from transport.handshake import Connection, Identity, Judge
from transport.limits import Limits
from transport.link import Link
from transport.statistics import MeshStatistics

if TYPE_CHECKING:
    import socket

    from transport.fabric import Fabric
    from transport.hub import Hub
    from transport.turns import Turns

logger = logging.getLogger("triskele.transport")

OnLinkUp = Callable[[Identity, Link], None]
OnLinkDown = Callable[[Identity, Link, str], None]
OnMeshFrames = Callable[[Identity, Link, list[bytes]], None]

REASONS_MAX = 100
"""Most distinct reasons counted; further ones count as ``other``, since a part of a reason may be the other side's word."""

MISBEHAVIOUR = ("bad_", "frame_too_large", "handshake_", "out_queue_full", "text_message", "too_many_connections", "truncated", "websocket_")
"""How reasons begin that are worth a WARNING; the others are part of a normal day."""


class Mesh:
    """The links of one process (or of one replica, in tests).

    Args:
        turns: woken after link events that happen outside the hub.
        hello: our first frame on every link.
        judge: reads the other side's.
        on_link_up: a handshake is done; runs inside a turn.
        on_link_down: a link that was up is closed, and why, for people; runs between turns, the turn is woken after it.
        on_frames: what a link that is up received; runs inside a turn.
        hub: serves native links; None if there are none.
        fabric: carries in-memory links; None if there are none.
        fabric_name: our name in the fabric when we dial.
        limits: of links and of the mesh.
        policy: when a flush sends, for all links.
        refusal: makes the last frame of a link that our judge refused, from its reason and explanation; None: closed without a word.
        jitter: gives numbers in [0, 1) for the back-off; default: no spread.

    The callbacks must not await. What they raise ends the nursery: it is a bug.
    """

    def __init__(
        self,
        turns: Turns,
        hello: bytes,
        judge: Judge,
        *,
        on_link_up: OnLinkUp,
        on_link_down: OnLinkDown,
        on_frames: OnMeshFrames,
        hub: Hub | None = None,
        fabric: Fabric | None = None,
        fabric_name: str = "",
        limits: Limits | None = None,
        policy: BatchPolicy | None = None,
        refusal: Callable[[str, str], bytes] | None = None,
        jitter: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """Know everything, do nothing yet."""
        self.hello = hello
        self.limits = limits or Limits()
        self._carriers = Carriers(turns, hub, fabric, fabric_name, policy or TurnPolicy(), self.limits)
        self._turns = turns
        self._judge = judge
        self._on_link_up = on_link_up
        self._on_link_down = on_link_down
        self._on_frames = on_frames
        self._refusal = refusal
        self._jitter = jitter
        self._links: dict[Link, Identity] = {}  # links that are up
        self._exclusive: dict[Hashable, Connection] = {}  # {name: the live connection of an exclusive identity}
        self._connections: dict[Connection, None] = {}  # all, those in the handshake included
        self._ended = trio.Event()  # a connection has
        self._accepting: set[trio.CancelScope] = set()
        self._closing = False
        self._accepted_now: Counter[Address] = Counter()  # {where we listen: connections that are there}
        self._accepted = self._dial_attempts = self._dials_succeeded = 0
        self._reasons: dict[str, int] = {}  # {reason: connections that ended with it}

    @property
    def links(self) -> Mapping[Link, Identity]:
        """The links that are up, with who is at the other end; a live view."""
        return MappingProxyType(self._links)

    def link_to(self, name: Hashable) -> Link | None:
        """Give the live link to an exclusive identity, if there is one."""
        connection = self._exclusive.get(name)
        return None if connection is None else connection.link

    # ---------------------------------------------------------------------------------------------------------------------- listening

    async def listen(
        self, address: str, *, listening: socket.socket | None = None, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept links until cancelled, or until ``stop_accepting``; then wait until the accepted links have ended.

        Args:
            address: where; port 0 for a free one.
            listening: a socket that listens there already, taken over.
            task_status: told the bound address, as others may dial it.

        Raises:
            AddressInUse: somebody else listens there.
            BadAddress: not an address.
        """
        listener, bound = await self._carriers.listen(parse(address), listening)
        accepting = trio.CancelScope()
        self._accepting.add(accepting)
        try:
            async with trio.open_nursery() as nursery:
                with accepting:
                    task_status.started(str(bound))
                    while True:
                        wire, other = await listener.accept()
                        if self._accepted_now[bound] >= self.limits.connections_max or self._closing:
                            wire.close()
                            self._count("shutdown" if self._closing else "too_many_connections", f"connection from {other}")
                            continue
                        nursery.start_soon(self._serve_accepted, bound, self._accept(wire, bound, other))
                listener.close()  # and wait for the accepted links
        finally:
            self._accepting.discard(accepting)
            listener.close()

    def stop_accepting(self) -> None:
        """Close all listeners; accepted links live on."""
        for scope in self._accepting:
            scope.cancel()

    def _accept(self, wire: Wire, bound: Address, other: str) -> Connection:
        self._accepted += 1
        self._accepted_now[bound] += 1
        connection = Connection(self.hello, self._judge, self._refusal, self._up, dialed=False)
        link = self._carriers.link(wire, bound.kind, other, connection.on_frames, connection.on_closed, dialed=False)
        # Strangers may say hello and no more; whom we dialed may send frames right behind its hello.
        link.set_frame_bytes_max(min(self.limits.hello_bytes_max, self.limits.frame_bytes_max))
        self._begin(connection, link)
        return connection

    async def _serve_accepted(self, bound: Address, connection: Connection) -> None:
        try:
            await self._serve(connection)
        finally:
            self._accepted_now[bound] -= 1

    # ------------------------------------------------------------------------------------------------------------------------ dialing

    async def dial(self, identity: Identity | None, address: str, on_refused: Callable[[HandshakeRefused], None] = lambda _: None) -> None:
        """Keep one link to the address alive: dial, and after its end dial again, with exponential back-off.

        Returns only when cancelled, or when our judge's refusal of who answers is final.  An address that is none, or none that this process can
        dial, is one where nobody answers: others may have told it, and one that stands in everybody's log must not end everybody.

        Args:
            identity: who must answer; None: anybody the judge accepts.
            address: where.
            on_refused: told between turns when a handshake ends in a refusal, ours or theirs; what it raises comes out here.
        """
        backoff = Backoff(self.limits.backoff_seconds_min, self.limits.backoff_seconds_max, self._jitter)
        complaint = ""  # the last failure logged
        while True:
            if self._closing:
                await trio.sleep_forever()
            if identity is not None and (live := self.link_to(identity.name)) is not None:
                await live.wait_closed()
                await trio.lowlevel.checkpoint()  # its own connection tells its end first
                continue
            self._dial_attempts += 1
            try:
                with trio.fail_after(self.limits.handshake_seconds):
                    target, wire = await self._connect(address)
            except (DialFailed, trio.TooSlowError) as error:
                self._add_reason("dial_failed")
                if str(error) != complaint:
                    complaint = str(error)
                    logger.info("dialing %s: %s", address, complaint or "too slow")
            else:
                connection = Connection(self.hello, self._judge, self._refusal, self._up, dialed=True, expected=identity)
                other, begun = target.location, trio.current_time()
                self._begin(connection, self._carriers.link(wire, target.kind, other, connection.on_frames, connection.on_closed, dialed=True))
                await self._serve(connection)
                if connection.yields_to is not None:
                    await connection.yields_to.wait_closed()
                if connection.refused is not None:
                    on_refused(connection.refused)
                    if connection.refused.final:
                        return
                if connection.identity is not None:
                    self._dials_succeeded += 1
                    backoff.succeeded(trio.current_time() - begun)
                    complaint = ""
            await trio.sleep(backoff.wait_seconds())

    async def _connect(self, address: str) -> tuple[Address, Wire]:
        """Connect; raises ``DialFailed`` whatever is wrong with the address."""
        try:
            target = parse(address)
            wire = await self._carriers.connect(target)
        except LocalMisuse as error:
            raise DialFailed(detail=str(error)) from None
        if self._closing:
            wire.close()
            raise DialFailed(detail="closing meanwhile")
        return target, wire

    # -------------------------------------------------------------------------------------------------------------------- connections

    def _begin(self, connection: Connection, link: Link) -> None:
        self._connections[connection] = None
        try:
            connection.begin(link)
        except BaseException:  # nobody will see it through its life, and who closes all waits for it
            link.abort("cancelled")
            del self._connections[connection]
            self._ended.set()
            raise

    async def _serve(self, connection: Connection) -> None:
        """See one connection through its life."""
        link = connection.link
        assert link is not None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                with trio.move_on_after(self.limits.handshake_seconds):
                    await connection.settled.wait()
                if not connection.settled.is_set():
                    link.close("handshake_timeout")
        finally:
            link.abort("cancelled")
            del self._connections[connection]
            self._ended.set()
            expected = connection.refused is not None and connection.refused.expected
            usual = logging.DEBUG if connection.identity is not None and not connection.identity.exclusive else logging.INFO
            self._count(str(link.close_reason), f"link {link.name}", told=link.ending, quiet=expected, usual=usual)
            self._forget(connection)
        self._down(connection)

    def _up(self, connection: Connection) -> None:
        """Make a link whose handshake is done known; called inside a turn."""
        link, identity = connection.link, connection.identity
        assert link is not None
        assert identity is not None
        link.set_frame_bytes_max(self.limits.frame_bytes_max)
        if identity.exclusive:
            older = self._exclusive.get(identity.name)
            if older is not None:
                assert older.link is not None
                if connection.nameless and older.dialed and older.link.close_reason is None:
                    connection.yields_to = older.link
                    link.close("second_address")
                    return
                older.link.close("superseded")
                self._forget(older)
                self._down(older)
            self._exclusive[identity.name] = connection
        else:
            link.pause_above_bytes = self.limits.pause_above_bytes
        self._links[link] = identity
        link.on_frames = partial(self._on_frames, identity)
        self._on_link_up(identity, link)

    def _forget(self, connection: Connection) -> None:
        if connection.identity is not None and connection.link is not None:
            self._links.pop(connection.link, None)
            if self._exclusive.get(connection.identity.name) is connection:
                del self._exclusive[connection.identity.name]

    def _down(self, connection: Connection) -> None:
        """Tell the end of a link that was up, once."""
        if connection.identity is not None and connection.link is not None and not connection.told_down and connection.yields_to is None:
            connection.told_down = True
            self._on_link_down(connection.identity, connection.link, connection.link.ending)
            self._turns.wake()

    def close_all(self, reason: str) -> None:
        """Close every link after a last attempt to send; nothing is accepted or dialed any more."""
        self._closing = True
        self.stop_accepting()
        for connection in list(self._connections):
            if connection.link is not None:
                connection.link.close(reason)

    async def wait_closed(self) -> None:
        """Wait until all connections have ended, what they had to send included."""
        while self._connections:
            self._ended = trio.Event()
            await self._ended.wait()

    # ------------------------------------------------------------------------------------------------------------------------ numbers

    def _count(self, reason: str, what: str, *, told: str = "", quiet: bool = False, usual: int = logging.INFO) -> None:
        self._add_reason(reason)
        logger.log(logging.WARNING if reason.startswith(MISBEHAVIOUR) and not quiet else usual, "%s closed: %s", what, told or reason)

    def _add_reason(self, reason: str) -> None:
        if reason not in self._reasons and len(self._reasons) >= REASONS_MAX:
            reason = "other"
        self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def statistics(self) -> MeshStatistics:
        """Snapshot the counters."""
        return MeshStatistics(
            links_up=len(self._links),
            connections=len(self._connections),
            accepted=self._accepted,
            dial_attempts=self._dial_attempts,
            dials_succeeded=self._dials_succeeded,
            reasons=dict(self._reasons),
        )
