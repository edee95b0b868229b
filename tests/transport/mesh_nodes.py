"""A process as the mesh sees it: hub, turns, mesh, and a record of what it was told."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import trio

from transport.errors import HandshakeRefused
from transport.handshake import Identity
from transport.hub import Hub
from transport.limits import Limits
from transport.mesh import Mesh
from transport.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from transport.fabric import Fabric
    from transport.link import Link

ADDRESSES = ["127.0.0.1:0", "ws://127.0.0.1:0/", "memory:server"]
QUICK = Limits(backoff_seconds_min=0.01, backoff_seconds_max=0.05, handshake_seconds=5.0)


def judge(hello: bytes) -> Identity:
    """Accept ``peer <name>`` (one link each) and ``client <name>`` (many); pass on the other side's refusal."""
    kind, _, name = hello.decode(errors="replace").partition(" ")
    match kind:
        case "peer":
            return Identity(name, exclusive=True)
        case "client":
            return Identity(name, exclusive=False)
        case "never":
            raise HandshakeRefused("never", final=True)
        case "refused":
            raise HandshakeRefused(f"they_say_{name}")
        case _:
            raise HandshakeRefused("bad_hello")


class Node:
    def __init__(self, hello: str, fabric: Fabric | None = None, limits: Limits = QUICK, *, jitter: Callable[[], float] | None = None) -> None:
        self.ups: list[Identity] = []
        self.downs: list[tuple[object, str]] = []
        self.frames: list[tuple[object, bytes]] = []
        self.echo = False
        self.on_up: Callable[[Link], None] = lambda _: None
        self.turns_ended = 0
        self._touched: dict[Link, None] = {}
        self._news = trio.Event()
        self.turns = Turns(self._end_turn)
        self.hub = Hub(self.turns)
        self.mesh = Mesh(
            self.turns,
            hello.encode(),
            judge,
            on_link_up=self._link_up,
            on_link_down=self._link_down,
            on_frames=self._on_frames,
            hub=self.hub,
            fabric=fabric,
            fabric_name=hello.partition(" ")[2],
            limits=limits,
            refusal=lambda why, _detail: b"refused " + why.encode(),
            jitter=jitter or Random(hello).random,
        )

    def start(self, nursery: trio.Nursery) -> Node:
        nursery.start_soon(self.hub.run)
        nursery.start_soon(self.turns.run)
        return self

    def post(self, link: Link, payload: bytes) -> None:
        link.send([payload])
        self._touched[link] = None
        self.turns.wake()

    def _end_turn(self) -> None:
        self.turns_ended += 1
        for link in self._touched:
            link.flush()
        self._touched.clear()

    def _link_up(self, identity: Identity, link: Link) -> None:
        self.ups.append(identity)
        self.on_up(link)
        self._tell()

    def _link_down(self, identity: Identity, _: Link, reason: str) -> None:
        self.downs.append((identity.name, reason))
        self._tell()

    def _on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:
        self.frames += [(identity.name, frame) for frame in frames]
        if self.echo:
            for frame in frames:
                self.post(link, frame)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    @property
    def reasons(self) -> dict[str, int]:
        return self.mesh.statistics().reasons

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something this node is told makes the condition true."""
        with trio.fail_after(20):
            while not condition():
                with trio.move_on_after(0.02):  # counters have no event of their own
                    await self._news.wait()

    async def until_reason(self, reason: str, count: int = 1) -> None:
        await self.until(lambda: self.reasons.get(reason, 0) >= count)
