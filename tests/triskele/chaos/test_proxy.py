from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from triskele.chaos.network import Effect, Network, ways_between
from triskele.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from triskele.chaos.network import Way

NEAR, FAR = 1, 2
OUT, BACK = (NEAR, FAR), (FAR, NEAR)
BOTH = ways_between([NEAR], [FAR])


@attrs.define
class Line:
    """A server behind a proxy: it sends back what it hears, and tells of each connection's bytes when they end."""

    network: Network
    port: int = 0
    heard: list[bytearray] = attrs.Factory(list)
    ended: trio.Event = attrs.Factory(trio.Event)
    dialed: list[trio.SocketStream] = attrs.Factory(list)

    async def echo(self, stream: trio.SocketStream) -> None:
        self.heard.append(mine := bytearray())
        try:
            async for data in stream:
                mine.extend(data)
                await stream.send_all(data)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass
        self.ended.set()

    async def dial(self) -> trio.SocketStream:
        self.dialed.append(await trio.open_tcp_stream("127.0.0.1", self.port))
        return self.dialed[-1]

    def put(self, effect: Effect, ways: set[Way] = BOTH) -> None:
        effects: Mapping[Way, Effect] = dict.fromkeys(ways, effect)
        self.network.put(1, effects)


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    made = Line(Network())
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, made.echo, 0)
            port = listeners[0].socket.getsockname()[1]
            made.port = await nursery.start(Proxy(NEAR, FAR, "127.0.0.1", port, made.network).serve)
            try:
                yield made
            finally:
                for stream in made.dialed:
                    await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()


async def test_delays_each_way_and_keeps_the_order_and_the_end() -> None:
    async with line() as there:
        there.put(Effect(delay_seconds=0.05))
        stream = await there.dial()
        begun = trio.current_time()
        await stream.send_all(bytes(range(256)))
        await stream.send_all(b"end")
        await stream.send_eof()
        received = b"".join([data async for data in stream])
        assert received == bytes(range(256)) + b"end"
        assert trio.current_time() - begun >= 0.1


async def test_who_cannot_be_connected_is_closed() -> None:
    async with trio.open_nursery() as nursery:
        near = await nursery.start(Proxy(NEAR, FAR, "127.0.0.1", 1, Network()).serve)
        with trio.fail_after(10):
            async with await trio.open_tcp_stream("127.0.0.1", near) as stream:
                assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()


async def test_stalled_bytes_and_connections_arrive_when_the_fault_is_lifted() -> None:
    async with line() as there:
        stream = await there.dial()
        await stream.send_all(b"one")
        assert await stream.receive_some() == b"one"
        there.put(Effect(stalled=True))
        await stream.send_all(b"two")
        late = await there.dial()
        await late.send_all(b"three")
        with trio.move_on_after(0.05):
            await stream.receive_some()
            pytest.fail("it passed")
        assert len(there.heard) == 1
        there.network.lift(1)
        assert await stream.receive_some() == b"two"
        assert await late.receive_some() == b"three"


async def test_swallowed_bytes_never_arrive_and_the_connection_ends_with_the_fault() -> None:
    async with line() as there:
        stream = await there.dial()
        await stream.send_all(b"one")
        assert await stream.receive_some() == b"one"
        there.put(Effect(swallowed=True), {BACK})
        await stream.send_all(b"two")
        with trio.move_on_after(0.05):
            await stream.receive_some()
            pytest.fail("it was answered")
        assert there.heard == [b"onetwo"]  # the other direction works
        there.network.lift(1)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


async def test_a_cut_connection_is_reset_at_both_ends() -> None:
    async with line() as there:
        stream = await there.dial()
        await stream.send_all(b"one")
        assert await stream.receive_some() == b"one"
        there.network.cut(1, [BACK])
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await there.ended.wait()
        assert there.network.connections == set()


async def test_what_a_stranded_end_had_sent_arrives_behind_what_its_next_connection_sends() -> None:
    async with line() as there:
        stream = await there.dial()
        await stream.send_all(b"first")
        assert await stream.receive_some() == b"first"
        there.put(Effect(delay_seconds=0.2), {OUT})
        await stream.send_all(b"late")
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert there.network.touched[1]  # the proxy has it
        there.network.lift(1)
        there.network.strand(2, [OUT], lambda: True)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        again = await there.dial()
        await again.send_all(b"second")
        assert await again.receive_some() == b"second"
        assert there.heard[0] == b"first"
        await there.ended.wait()
        assert there.heard == [b"firstlate", b"second"]
