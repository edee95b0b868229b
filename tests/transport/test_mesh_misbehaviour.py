"""Bad input closes its own connection with a named reason; links that behave notice nothing, and memory stays bounded."""

from __future__ import annotations

import logging
import socket
import struct
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

from tests.transport.mesh_nodes import QUICK, Node
from transport.fabric import Fabric
from transport.frame import PREAMBLE, encode
from transport.handshake import Identity
from transport.limits import Limits
from transport.mesh import REASONS_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVER = Identity("server", exclusive=True)
HASTY = Limits(handshake_seconds=0.2, backoff_seconds_min=0.01, hello_bytes_max=1000)


def framed(payload: bytes) -> bytes:
    return b"".join(encode([payload]))


HELLO = PREAMBLE + framed(b"client stranger")

NATIVE_GARBAGE = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_preamble"),
    "tls": (b"\x16\x03\x01\x02\x00\x01", "bad_preamble"),
    "zeros": (bytes(100), "bad_preamble"),
    "wrong checksum": (PREAMBLE + struct.pack("<II", 3, 1) + b"abc", "bad_checksum"),
    "wrong checksum behind the hello": (HELLO + struct.pack("<II", 3, 1) + b"abc", "bad_checksum"),
    "absurd length": (PREAMBLE + struct.pack("<II", 0xFFFFFFFF, 0), "frame_too_large"),
    "large hello": (PREAMBLE + framed(bytes(1001)), "frame_too_large"),
    "absurd length behind the hello": (HELLO + struct.pack("<II", 0xFFFFFFFF, 0), "frame_too_large"),
    "hello nobody knows": (PREAMBLE + framed(b"\xff\xfe"), "handshake_refused:bad_hello"),
    "nothing": (b"", "handshake_timeout"),
    "half a preamble": (b"TS", "handshake_timeout"),
    "half a hello": (HELLO[:-1], "handshake_timeout"),
}
TRUNCATED = {"a preamble": HELLO[:2], "a header": HELLO[:7], "a payload": HELLO[:-1], "a frame behind the hello": HELLO + b"1234567"}


@asynccontextmanager
async def busy_server(address: str, limits: Limits = HASTY) -> AsyncIterator[tuple[Node, Node, str]]:
    """Run a server and a client that behaves, and check at the end that the client's link carried on."""
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric, limits).start(nursery), Node("client good", fabric, QUICK).start(nursery)
        server.echo = True
        bound = await nursery.start(server.mesh.listen, address)
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        await client.until(lambda: bool(client.ups))
        yield server, client, bound
        link = client.mesh.link_to("server")
        assert link is not None
        client.post(link, b"unharmed")
        await client.until(lambda: ("server", b"unharmed") in client.frames)
        assert client.downs == []
        nursery.cancel_scope.cancel()


async def connect(bound: str) -> trio.SocketStream:
    host, _, port = bound.removeprefix("ws://").rstrip("/").rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


@asynccontextmanager
async def websocket_to(bound: str) -> AsyncIterator[tuple[trio_websocket.WebSocketConnection, trio.SocketStream]]:
    """Connect as a WebSocket client that is not ours. (The library's own opener leaves its socket open if the server closes first.)"""
    async with await connect(bound) as stream, trio.open_nursery() as nursery:
        yield await trio_websocket.wrap_client_stream(nursery, stream, "server", "/"), stream
        nursery.cancel_scope.cancel()


async def read_to_end(stream: trio.SocketStream) -> bytes:
    received = b""
    with trio.fail_after(5):
        try:
            async for chunk in stream:
                received += chunk
        except trio.BrokenResourceError:
            pass  # closed with our bytes unread
    return received


@pytest.mark.parametrize("case", NATIVE_GARBAGE)
async def test_garbage_on_the_native_port_closes_only_its_link(case: str, caplog: pytest.LogCaptureFixture) -> None:
    data, reason = NATIVE_GARBAGE[case]
    caplog.set_level(logging.INFO, "triskele.transport")
    async with busy_server("127.0.0.1:0") as (server, _, bound):
        async with await connect(bound) as stream:
            await stream.send_all(data)
            await read_to_end(stream)
        await server.until_reason(reason)
        assert server.reasons == {reason: 1}
        assert next(record.message for record in caplog.records if reason in record.message).startswith("link tcp:127.0.0.1:")
        assert len(server.mesh.links) == 1


@pytest.mark.parametrize("case", TRUNCATED)
async def test_a_stream_that_ends_inside_a_frame_is_truncated(case: str) -> None:
    async with busy_server("127.0.0.1:0") as (server, _, bound):
        async with await connect(bound) as stream:
            await stream.send_all(TRUNCATED[case])
            await stream.send_eof()
            await server.until_reason("truncated")
        assert server.reasons == {"truncated": 1}


async def test_a_connection_without_a_word_is_no_misbehaviour() -> None:
    async with busy_server("127.0.0.1:0") as (server, _, bound):
        await (await connect(bound)).aclose()
        await server.until_reason("closed_by_peer")


async def test_a_reset_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "triskele.transport")  # the end of a client is no news
    async with busy_server("127.0.0.1:0") as (server, _, bound):
        stream = await connect(bound)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.send_all(HELLO)
        await server.until(lambda: len(server.mesh.links) == 2)
        await stream.aclose()
        await server.until_reason("reset")
        await server.until(lambda: len(server.downs) == 1)
    assert [reason for _, reason in server.downs][:1] == ["reset: Connection reset by peer"]
    assert "closed: reset: Connection reset by peer" in caplog.text


@pytest.mark.parametrize("address", ["127.0.0.1:0", "ws://127.0.0.1:0/", "memory:server"])
async def test_a_refused_side_is_told_why(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, stranger = Node("peer server", fabric).start(nursery), Node("nonsense", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        nursery.start_soon(stranger.mesh.dial, None, bound)
        await stranger.until_reason("handshake_refused:they_say_bad_hello")
        await server.until_reason("handshake_refused:bad_hello")
        assert (server.ups, stranger.ups) == ([], [])
        nursery.cancel_scope.cancel()


async def test_the_wrong_peer_at_an_address_is_refused() -> None:
    async with trio.open_nursery() as nursery:
        server, client = Node("peer impostor").start(nursery), Node("peer c").start(nursery)
        bound = await nursery.start(server.mesh.listen, "127.0.0.1:0")
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        await client.until_reason("handshake_refused:unexpected_identity", 3)
        assert client.ups == []
        nursery.cancel_scope.cancel()


async def test_connections_over_the_limit_are_closed_at_once() -> None:
    async with busy_server("127.0.0.1:0", Limits(connections_max=3)) as (server, _, bound):
        async with await connect(bound) as one, await connect(bound) as two:
            await one.send_all(PREAMBLE)
            await two.send_all(PREAMBLE)
            await server.until(lambda: server.mesh.statistics().connections == 3)
            async with await connect(bound) as three:
                assert await read_to_end(three) == b""
            assert server.reasons == {"too_many_connections": 1}
        await server.until(lambda: server.mesh.statistics().connections == 1)
        async with await connect(bound) as again:
            await again.send_all(HELLO)
            await server.until(lambda: len(server.mesh.links) == 2)


async def test_a_listener_that_is_full_closes_no_other() -> None:
    """A crowd at the port for WebSockets keeps nobody from the native one, where the peers come in."""
    async with busy_server("127.0.0.1:0", Limits(connections_max=2)) as (server, _, bound), trio.open_nursery() as nursery:
        crowded = await nursery.start(server.mesh.listen, "ws://127.0.0.1:0/")
        crowd = [await connect(crowded) for _ in range(3)]
        await server.until_reason("too_many_connections")
        async with await connect(bound) as stream:
            await stream.send_all(HELLO)
            await server.until(lambda: len(server.mesh.links) == 2)
        for stream in crowd:
            await stream.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_websocket_handshake"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Up\xfdgrade\r\n\r\n", "bad_websocket_handshake"),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "bad_websocket_handshake"),
        (PREAMBLE + framed(b"client c"), "handshake_timeout"),
        (bytes(50_000), "frame_too_large"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 60_000, "frame_too_large"),
        (b"", "handshake_timeout"),
        (b"GET / HT", "handshake_timeout"),
    ],
)
async def test_garbage_on_the_websocket_port_closes_only_its_link(data: bytes, reason: str) -> None:
    async with busy_server("ws://127.0.0.1:0/") as (server, _, bound):
        async with await connect(bound) as stream:
            await stream.send_all(data)
            await read_to_end(stream)
        await server.until(lambda: bool(server.reasons))
        assert server.reasons == {reason: 1}


@pytest.mark.parametrize(
    ("message", "reason", "code"),
    [
        ("a text", "text_message", 1003),
        (bytes(1001), "frame_too_large", 1009),
        (b"\xff", "handshake_refused:bad_hello", 1000),
    ],
)
async def test_a_websocket_client_is_told_what_it_did_wrong(message: str | bytes, reason: str, code: int) -> None:
    async with busy_server("ws://127.0.0.1:0/") as (server, _, bound):
        async with websocket_to(bound) as (stranger, _stream):
            await stranger.send_message(message)
            with pytest.raises(trio_websocket.ConnectionClosed) as closed:
                while True:
                    await stranger.get_message()
            assert closed.value.reason is not None
            assert (closed.value.reason.code, closed.value.reason.reason) == (code, reason)
        await server.until_reason(reason)
        assert server.reasons == {reason: 1}


async def test_broken_websocket_frames_close_only_their_link() -> None:
    async with busy_server("ws://127.0.0.1:0/") as (server, _, bound):
        for count, garbage in enumerate([b"\xff" * 40, b"\x82\x05hello", b"\x8f\x80abcd", b"\x81\x82\x00\x00\x00\x00\xff\xff"], 1):
            async with websocket_to(bound) as (stranger, stream):
                await stream.send_all(garbage)
                with pytest.raises(trio_websocket.ConnectionClosed):
                    await stranger.get_message()
            await server.until_reason("bad_websocket_frame", count)
        assert set(server.reasons) == {"bad_websocket_frame"}


async def test_reasons_do_not_grow_without_bound() -> None:
    node = Node("peer x")
    for n in range(2 * REASONS_MAX):
        node.mesh._add_reason(f"handshake_refused:{n}")
    assert len(node.reasons) == REASONS_MAX + 1
    assert node.reasons["other"] == REASONS_MAX


async def test_a_hello_is_checked_before_it_is_believed() -> None:
    """The checksum of a hello counts as any other's."""
    payload = b"client c"
    data = PREAMBLE + struct.pack("<II", len(payload), zlib.crc32(payload) ^ 1) + payload
    async with busy_server("127.0.0.1:0") as (server, _, bound), await connect(bound) as stream:
        await stream.send_all(data)
        await server.until_reason("bad_checksum")
        assert len(server.ups) == 1
