"""One process of a floor: a replica or a client that exchanges the frames of a plan (``loadgen.floor_plan``) over real links.

``python -m loadgen.floor_process``, told what to do in JSON lines as client processes are (``loadgen.worker``). The links, the hub, the turns and
the batch policy are the store's own. On the wire floor frames are prepared before, and received ones are counted and answered, not decoded; on
the codec floor every received frame is decoded and every sent one encoded by the store's codec.
"""

from __future__ import annotations

import gc
import json
import time
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from loadgen.floor_plan import LIMITS, FloorPlan
from loadgen.lines import JsonLines
from replica.core.messages import Record
from replica.wire import assemble, decode, encode, encode_section
from transport.adaptive import policy_named
from transport.errors import HandshakeRefused
from transport.frame import encode as frame
from transport.handshake import Identity
from transport.hub import Hub
from transport.mesh import Mesh
from transport.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from replica.core.messages import Message
    from transport.link import Link

    Tell = Callable[[dict[str, object]], Awaitable[None]]

_STALL_SECONDS: Final = 0.05
"""A client that has heard nothing for this long sends a group: fractions that are owed may add up to less than a frame everywhere."""

_CONNECT_SECONDS: Final = 10.0


class Payloads:
    """Frames to send, in turn: prepared, or encoded each time.

    Args:
        payloads: at least one.
        codec: encode each time.
        sections: encode section by section, as what may be shared by several links is; else the payload in one go, as replies are.
        shared: whether another link's frame carries the same logged commands, so that their encoding is paid for there.
    """

    def __init__(self, payloads: Sequence[bytes], *, codec: bool, sections: bool = False, shared: bool = False) -> None:
        self._sections = sections
        self._prepared: Iterator[list[bytes]] = cycle([frame([payload]) for payload in payloads])
        self._decoded: Iterator[tuple[int, list[Any]]] | None = None
        if codec:
            decoded: list[tuple[int, list[Any]]] = [decode(payload, limits=LIMITS) for payload in payloads]
            if shared:
                decoded = [(incarnation, [_encoded_before(message) for message in messages]) for incarnation, messages in decoded]
            self._decoded = cycle(decoded)

    def next(self) -> list[bytes]:
        """Return the next frame."""
        if self._decoded is None:
            return next(self._prepared)
        incarnation, messages = next(self._decoded)
        if not self._sections:
            return frame([encode(incarnation, messages)])
        return frame(assemble(incarnation, [part if isinstance(part, bytes) else encode_section(part) for part in messages]))


def _encoded_before(message: Message) -> Message | bytes:
    return encode_section(message) if isinstance(message, Record) else message


@attrs.define(eq=False)
class Debt:
    """Frames owed to a link: whole ones leave at the end of the turn."""

    link: Link
    payloads: Payloads
    owed: float = 0.0


class FloorReplica:
    """A replica of a floor.

    Args:
        plan: what to exchange.
        number: its id.
        codec: which floor.
        policy: of the links, named: ``(batching, delay_seconds)``.
    """

    def __init__(self, plan: FloorPlan, number: int, *, codec: bool, policy: tuple[str, float]) -> None:
        self.plan = plan
        self.number = number
        self._codec = codec
        self.turns = Turns(self.end_turn)
        self.hub = Hub(self.turns)
        self.mesh = new_mesh(f"replica {number}", self.turns, self.hub, self._on_link_up, self._on_frames, policy)
        self._clients: dict[Link, Debt] = {}
        self._peers: dict[Link, Debt] = {}
        self._accepts_owed = 0.0
        self._accepts = Payloads(plan.accept_payloads, codec=codec, sections=True)

    def _on_link_up(self, identity: Identity, link: Link) -> None:
        if identity.exclusive:
            self._peers[link] = Debt(link, Payloads(self.plan.ack_payloads, codec=self._codec, sections=True))
        else:
            self._clients[link] = Debt(link, Payloads(self.plan.reply_payloads[self.number], codec=self._codec))

    def _on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:
        if self._codec:
            for payload in frames:
                decode(payload, limits=LIMITS)
        if identity.exclusive:
            self._peers[link].owed += len(frames) * self.plan.acks.get(self.number, 0.0)
            return
        self._clients[link].owed += len(frames) * self.plan.replies[self.number]
        if self.number == self.plan.leader:
            self._accepts_owed += len(frames) * self.plan.accepts

    def end_turn(self) -> None:
        """Send the whole frames that are owed."""
        accepts = int(self._accepts_owed)
        if accepts:
            self._accepts_owed -= accepts
            for _ in range(accepts):
                buffers = self._accepts.next()
                for link in self._peers:
                    link.send_encoded(buffers)
            for link in self._peers:
                link.flush()
        for debt in self._clients.values():
            pay(debt)
        if self.number != self.plan.leader:
            for debt in self._peers.values():
                pay(debt)

    async def run(self, orders: AsyncIterator[dict[str, Any]], tell: Tell, listen_at: Sequence[str]) -> None:
        """Listen, connect to the leader when told where it is, serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.turns.run)
            nursery.start_soon(self.hub.run)
            bound = [await nursery.start(self.mesh.listen, address) for address in listen_at]
            await tell({"event": "listening", "addresses": bound})
            order = await anext(orders)
            if self.number != self.plan.leader:
                nursery.start_soon(self.mesh.dial, Identity(f"replica {self.plan.leader}", exclusive=True), order["leader"])
            tune_collector()
            await trio.sleep_forever()


class FloorClient:
    """A client driver of a floor: keeps its commands in flight and counts.

    Args:
        plan: what to exchange.
        name: of the client, unique.
        shared: the process's turns and hub.
        codec: which floor.
    """

    def __init__(self, plan: FloorPlan, name: str, shared: tuple[Turns, Hub], *, codec: bool) -> None:
        self.plan = plan
        self.done = 0.0
        self.connected = trio.Event()
        self._codec = codec
        self._debts: dict[int, Debt] = {}  # {replica id: requests owed}
        self._groups_owed = plan.commands_in_flight / plan.commands_per_group
        self.mesh = new_mesh(name, *shared, self._on_link_up, self._on_frames)

    def _on_link_up(self, identity: Identity, link: Link) -> None:
        replica = int(str(identity.name).removeprefix("replica "))
        payloads = self.plan.request_payloads[replica]
        self._debts[replica] = Debt(link, Payloads(payloads, codec=self._codec, sections=True, shared=replica != self.plan.leader))
        if len(self._debts) == len(self.plan.replicas):
            self.connected.set()

    def _on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:  # noqa: ARG002 - replies of all replicas count alike
        if self._codec:
            for payload in frames:
                decode(payload, limits=LIMITS)
        commands = len(frames) * self.plan.commands_per_reply
        self.done += commands
        self._groups_owed += commands / self.plan.commands_per_group

    def end_turn(self) -> None:
        """Send the whole groups that are owed."""
        groups = int(self._groups_owed)
        if groups and self.connected.is_set():
            self._groups_owed -= groups
            for replica, debt in self._debts.items():
                debt.owed += groups * self.plan.request_share[replica]
                pay(debt)

    def nudge(self) -> None:
        """Send a group although none is owed."""
        self._groups_owed += 1.0


def pay(debt: Debt) -> None:
    """Send the whole frames of a debt, all with one flush."""
    count = int(debt.owed)
    if count:
        debt.owed -= count
        for _ in range(count):
            debt.link.send_encoded(debt.payloads.next())
        debt.link.flush()


def new_mesh(
    name: str, turns: Turns, hub: Hub, on_link_up: Callable[[Identity, Link], None], on_frames: Callable[[Identity, Link, list[bytes]], None],
    policy: tuple[str, float] = ("turn", 0.0),
) -> Mesh:  # fmt: skip
    """Return a mesh whose hello is the name: ``replica N`` or anything else for a client."""

    def judge(hello: bytes) -> Identity:
        theirs = hello.decode(errors="replace")
        if not theirs:
            raise HandshakeRefused("malformed_hello")
        return Identity(theirs, exclusive=theirs.startswith("replica "))

    def on_link_down(identity: Identity, link: Link, reason: str) -> None:
        pass  # a floor ends with its processes; a link that breaks before shows as a rate of nothing

    return Mesh(
        turns, name.encode(), judge, on_link_up=on_link_up, on_link_down=on_link_down, on_frames=on_frames, hub=hub, policy=policy_named(*policy)
    )


def tune_collector() -> None:
    """Keep the cyclic collector off, as the store's processes do."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def run_client(plan: FloorPlan, told: dict[str, Any], orders: AsyncIterator[dict[str, Any]], tell: Tell) -> None:
    """Connect, keep commands in flight, tell how many were done in the window."""
    clients: list[FloorClient] = []

    def end_turn() -> None:
        for client in clients:
            client.end_turn()

    turns = Turns(end_turn)
    hub = Hub(turns)
    name = f"client {told['number']}"
    clients += [FloorClient(plan, f"{name}.{place}", (turns, hub), codec=told["codec"]) for place in range(told["drivers"])]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        nursery.start_soon(hub.run)
        for client in clients:
            for replica, address in told["addresses"].items():
                nursery.start_soon(client.mesh.dial, Identity(f"replica {replica}", exclusive=True), address)
        with trio.fail_after(_CONNECT_SECONDS):
            for client in clients:
                await client.connected.wait()
        tune_collector()
        await tell({"event": "ready"})
        order = await anext(orders)
        nursery.start_soon(_keep_going, clients, turns)
        await trio.sleep(max(0.0, order["start"] - monotonic()))  # this process may be late
        done, cpu, start = sum(client.done for client in clients), time.process_time(), monotonic()
        await trio.sleep(max(0.0, order["end"] - monotonic()))
        seconds = monotonic() - start
        done = sum(client.done for client in clients) - done
        await tell({"event": "result", "per_second": done / seconds, "cpu_seconds": time.process_time() - cpu})
        await anext(orders, None)
        nursery.cancel_scope.cancel()


async def _keep_going(clients: Sequence[FloorClient], turns: Turns) -> None:
    """Begin, and begin again where the exchange has come to rest."""
    turns.wake()
    before = [client.done for client in clients]
    while True:
        await trio.sleep(_STALL_SECONDS)
        for client, done in zip(clients, before, strict=True):
            if client.done == done:
                client.nudge()
                turns.wake()
        before = [client.done for client in clients]


async def _main() -> None:
    lines = JsonLines(trio.lowlevel.FdStream(0))
    output = trio.lowlevel.FdStream(1)
    told = await anext(lines)
    plan = FloorPlan.from_json(told["plan"])

    async def tell(answer: dict[str, object]) -> None:
        await output.send_all(json.dumps(answer).encode() + b"\n")

    async with trio.open_nursery() as nursery:
        sender, orders = trio.open_memory_channel[dict[str, Any]](4)

        async def listen() -> None:
            """Hand orders on; the end of standard input ends the process."""
            async for order in lines:
                await sender.send(order)
            nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        if told["role"] == "client":
            await run_client(plan, told, orders, tell)
        else:
            replica = FloorReplica(plan, told["number"], codec=told["codec"], policy=told["policy"])
            await replica.run(orders, tell, told["listen"])
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main)
