"""Joins a client's protocol core to links: one link to each replica for all sessions of a process.

The voters of the cluster are learned from the first replica's hello, so that a list of addresses is enough to know how many make a quorum.
Completions are handed to one callback inside the turn; what it submits leaves with the same turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from replica.alarm import Alarm
from replica.core.client import Client, ClientConfig
from replica.core.config import MODES
from replica.core.flights import Completion
from replica.core.members import FIRST
from replica.hello import Hello, HelloError, decode_hello, encode_hello, encode_refusal, judge
from replica.packing import FrameRoom, Packer
from replica.surroundings import PROCESS, Surroundings
from replica.wire import WireError, WireLimits, assemble, decode
from transport.batch import BatchPolicy, TurnPolicy
from transport.errors import EndedEarly, HandshakeRefused
from transport.fault_points import reach
from transport.frame import encode as frame
from transport.handshake import Identity
from transport.hub import Hub
from transport.limits import Limits
from transport.mesh import MISBEHAVIOUR, Mesh
from transport.turns import Turns

if TYPE_CHECKING:
    from transport.link import Link

OnCompletions = Callable[[list[Completion], float], None]

LEAVING_SECONDS = 2.0
"""A last resort: links end by themselves sooner, when what was queued is out and the other side has said goodbye."""


class Unreachable(Exception):
    """No replica could be reached in time, or all refused us; the message is one line for a user."""


@attrs.frozen
class ClientSettings:
    """What a client process may choose. Times in seconds."""

    cluster_id: str = ""
    """Empty: any."""
    mode: str = ""
    """Empty: the cluster's."""
    connect_seconds: float = 5.0
    resend_seconds: float = 0.25
    lease_seconds: float = 30.0
    policy: BatchPolicy = attrs.Factory(TurnPolicy)
    limits: Limits = attrs.Factory(Limits)


class ClientDriver:
    """Carries one core ``Client`` over links; made by ``open_client``.

    Args:
        settings: what may be chosen.
        on_completions: called inside the turn with what completed and the time.
        shared: the turns and the hub of a process with several drivers.
        surroundings: time, chance, and a network in memory for ``memory:`` addresses.

    Attributes:
        client: the core, once the first replica has answered.
    """

    def __init__(
        self,
        settings: ClientSettings,
        on_completions: OnCompletions,
        shared: tuple[Turns, Hub] | None = None,
        *,
        surroundings: Surroundings = PROCESS,
    ) -> None:
        self.settings = settings
        self.on_completions = on_completions
        self.connected = trio.Event()
        self.refused: dict[str, str] = {}
        # {address dialed: why it was refused}
        self._client: Client | None = None
        self._hello: Hello | None = None
        self._found: dict[int, str] = {}  # {voter: where it listens, as replicas told}, not dialed yet
        self._news = trio.Event()
        self._links: dict[int, Link] = {}  # {replica id: live link}
        self._wire_limits = WireLimits(commands_per_frame_max=1 << 17, sections_per_frame_max=1 << 14, items_per_frame_max=1 << 20)
        self._room = FrameRoom()
        self.surroundings = surroundings
        self._clock = surroundings.clock
        self.turns = shared[0] if shared else Turns(self.end_turn)
        self.hub = shared[1] if shared else Hub(self.turns)
        self._alarm = Alarm(self.turns.end_now, surroundings.clock)
        mine = Hello(cluster_id=settings.cluster_id, mode=settings.mode, role="client", id=0, incarnation=0, config=0, voters=())
        self._mine = mine
        self.mesh = Mesh(
            self.turns, encode_hello(mine), self._judge, on_link_up=self._on_link_up, on_link_down=self._on_link_down,
            on_frames=self._on_frames, hub=self.hub, fabric=surroundings.fabric, fabric_name=surroundings.fabric_name, limits=settings.limits,
            policy=settings.policy, refusal=encode_refusal, jitter=surroundings.draw,
        )  # fmt: skip

    @property
    def client(self) -> Client:
        """The protocol core; only after ``connected``."""
        assert self._client is not None, "use the client after the driver is connected"
        return self._client

    def now(self) -> float:
        """Return the time the core is told, in seconds."""
        return self._clock()

    def wake(self) -> None:
        """Send what was submitted outside the callback."""
        self.turns.wake()

    # -------------------------------------------------------------------------------------------------------- called by the mesh

    def _judge(self, payload: bytes) -> Identity:
        try:
            theirs = decode_hello(payload)
            judge(self._mine, theirs)
            self._judge_cluster(theirs)
        except HelloError as error:
            self.refused[error.reason] = error.detail
            # A removed replica never serves again; one that is no voter may be one later, or learn that it was removed.
            removed, no_voter = error.reason == "removed", error.reason == "unknown_replica"
            raise HandshakeRefused(error.reason, error.detail, expected=no_voter, final=removed) from None
        if self._client is not None:
            if theirs.config == FIRST:
                self._client.members.learn_first(theirs.voters)
        else:
            self._hello, settings = theirs, self.settings
            mode = next(known for known in MODES if known == theirs.mode)
            config = ClientConfig(theirs.voters, theirs.config, mode, lease_seconds=settings.lease_seconds, resend_seconds=settings.resend_seconds)
            self._client = Client(config)
            self._client.now = self._clock()
        return Identity(theirs.id, exclusive=True)

    def _judge_cluster(self, theirs: Hello) -> None:
        """Require a voter of the cluster that the first hello told; who votes may change, but for the first configuration."""
        first = self._hello or theirs
        voters_differ = theirs.config == first.config == FIRST and theirs.voters != first.voters
        if (theirs.cluster_id, theirs.mode) != (first.cluster_id, first.mode) or voters_differ:
            raise HelloError("wrong_cluster", "the replicas of this list are of different clusters")
        if theirs.mode not in MODES:
            raise HelloError("wrong_mode", f"mode {theirs.mode!r}; known here are {', '.join(MODES)}")
        if theirs.id not in theirs.voters:
            raise HelloError("unknown_replica", f"replica {theirs.id} is no voter")

    def _on_link_up(self, identity: Identity, link: Link) -> None:
        replica = identity.name
        assert isinstance(replica, int)
        self._links[replica] = link
        reach("client.link_up")
        self.client.link_up(replica, self._clock())
        self.connected.set()
        self.turns.wake()

    def _on_link_down(self, identity: Identity, link: Link, reason: str) -> None:  # noqa: ARG002 - the mesh logs it
        replica = identity.name
        assert isinstance(replica, int)
        if self._links.get(replica) is link:
            del self._links[replica]
            reach("client.link_down")
            self.client.link_down(replica, self._clock())

    def _on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:
        replica = identity.name
        assert isinstance(replica, int)
        if self._links.get(replica) is not link:
            return
        reach("client.frames_received")
        now, step, limits = self._clock(), self.client.step, self._wire_limits
        for payload in frames:
            try:
                _incarnation, messages = decode(payload, limits=limits)
            except WireError as error:
                link.close(error.reason)
                return
            step(replica, messages, now)

    # ------------------------------------------------------------------------------------------------------------------ the turn

    @trio.lowlevel.enable_ki_protection
    def end_turn(self) -> None:
        """Complete, let the callback submit, send: one flush for each link."""
        client = self._client
        if client is None:
            return
        reach("client.turn_begin")
        now = self._clock()
        if self._alarm.is_due(now):
            client.expire(now, {replica: link.queued_bytes for replica, link in self._links.items()})
        completions = client.take_completions(now)
        if completions:
            reach("client.before_complete")
            self.on_completions(completions, now)
        sends = client.take_sends()
        reach("client.before_send")
        if sends:
            packer, links = Packer(self._room), self._links
            for replica, sections in sends:
                link = links.get(replica)
                if link is None:
                    continue
                for parts in packer.frames(sections):
                    link.send_encoded(frame(assemble(0, parts)), 0)
                link.flush()
        if client.members.addresses:
            self._found.update(client.members.take_addresses())
            self._news.set()
        self._alarm.set(client.deadline())
        reach("client.turn_end")

    async def run_timers(self) -> None:
        """End turns when the core's deadline has come; runs until cancelled."""
        await self._alarm.run()

    async def run_discovery(self) -> None:
        """Dial voters that came after we connected, at the addresses that replicas tell; runs until cancelled."""
        dialing: dict[int, str] = {}
        async with trio.open_nursery() as nursery:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                found, self._found = self._found, {}
                for replica, address in found.items():
                    if replica not in dialing:
                        dialing[replica] = address
                        nursery.start_soon(self.mesh.dial, Identity(replica, exclusive=True), address)

    async def run(self, addresses: Sequence[str], shelter: trio.CancelScope, block: trio.CancelScope) -> None:
        """Do all that takes tasks, until the shelter is cancelled.

        Args:
            addresses: to dial.
            shelter: shields the tasks from whoever cancels the block that uses us: its cleanup may have something to send.
            block: cancelled when the tasks have ended, should that be by a cancellation of their own.
        """
        with shelter:
            async with trio.open_nursery() as nursery:
                for function in (self.turns.run, self.hub.run, self.run_timers, self.run_discovery):
                    nursery.start_soon(function)
                for address in addresses:
                    nursery.start_soon(self.mesh.dial, None, address)
        block.cancel()

    async def leave(self) -> None:
        """Send what is queued, close all links, and wait until they have ended, whoever cancels us meanwhile."""
        self.mesh.close_all("shutdown")
        with trio.move_on_after(LEAVING_SECONDS, shield=True):
            await self.mesh.wait_closed()

    def unreachable(self, addresses: Sequence[str], more: str = "") -> Unreachable:
        """Say in one line for a user why nobody could be reached.

        Args:
            addresses: that were dialed, within ``connect_seconds``.
            more: what the caller knows.
        """
        why = "; ".join(f"{reason}: {detail}" for reason, detail in self.refused.items())
        if not why:
            strange = [reason for reason in self.mesh.statistics().reasons if reason.startswith(MISBEHAVIOUR)]
            why = f"what answers is no replica ({', '.join(strange)})" if strange else "nobody answers"
        return Unreachable(f"cannot reach the cluster at {','.join(addresses)} within {self.settings.connect_seconds:g} s: {why}{more}")


@asynccontextmanager
async def open_client(
    addresses: Sequence[str],
    *,
    settings: ClientSettings | None = None,
    on_completions: OnCompletions,
    surroundings: Surroundings = PROCESS,
) -> AsyncIterator[ClientDriver]:
    """Connect to a cluster.

    What the block raises leaves as itself, not in a group.  Who cancels the block does not cancel our tasks: until it has ended, also a part of it
    that is shielded, commands go out and answers come.

    Args:
        addresses: of all replicas, ``host:port`` or ``ws://host:port/``.
        settings: what may be chosen.
        on_completions: called inside the turn with what completed and the time.
        surroundings: as for ``ClientDriver``.

    Raises:
        Unreachable: nobody answered within ``connect_seconds``, or everybody refused us.
        EndedEarly: our tasks were cancelled while the block ran.
    """
    settings = settings or ClientSettings()
    driver = ClientDriver(settings, on_completions, surroundings=surroundings)
    failure: BaseException | None = None
    finished = False
    shelter = trio.CancelScope(shield=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run, addresses, shelter, nursery.cancel_scope)
        try:
            with trio.move_on_after(settings.connect_seconds):
                await driver.connected.wait()
            if not driver.connected.is_set():
                raise driver.unreachable(addresses)  # noqa: TRY301 - it leaves the nursery as what the block raises does
            yield driver
            finished = True
        except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:  # noqa: BLE001 - raised again below: a nursery wraps it
            failure = error
        finally:
            try:
                await driver.leave()
            finally:
                shelter.cancel()
    if failure is not None:
        raise failure
    if not finished:  # only the nursery's own cancellation comes here: the block would seem to have done its work
        raise EndedEarly("all tasks of the client were cancelled")
