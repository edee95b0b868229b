"""The WebSocket link beside its contract: one send for a turn's messages, other programs' clients, pings, orderly ends."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

from tests.transport.link_pairs import End, connected_sockets, open_pair
from transport import websocket
from transport.batch import TurnPolicy
from transport.batched_stream import BatchedStream
from transport.limits import Limits
from transport.websocket import WebSocketLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from socket import socket


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def accepted(sock: socket, end: End, limits: Limits | None = None) -> WebSocketLink:
    link = WebSocketLink(sock, "server", end.turns, end.on_frames, end.on_closed, TurnPolicy(), limits or Limits(), dialed=None)
    end.link = link
    return link


@asynccontextmanager
async def foreign_client(
    limits: Limits | None = None, *, small: bool = False
) -> AsyncIterator[tuple[End, trio_websocket.WebSocketConnection, BatchedStream]]:
    """Connect a link of ours as server and the bare library as client."""
    near, far = connected_sockets(small=small)
    end = End()
    stream = BatchedStream(far, 10_000_000, lambda: None, lambda: None)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end.turns.run)
            accepted(near, end, limits)
            nursery.start_soon(end.run_link)
            client = await trio_websocket.wrap_client_stream(nursery, stream, "server", "/", max_message_size=20_000_000)  # type: ignore[arg-type]
            yield end, client, stream
            nursery.cancel_scope.cancel()
    finally:
        stream.close()
        end.hub.close()


@asynccontextmanager
async def deaf_client(limits: Limits | None = None) -> AsyncIterator[tuple[End, socket]]:
    """Connect a link of ours as server and a bare socket that has asked for the upgrade and never reads."""
    near, far = connected_sockets(small=True)
    end = End()
    try:
        async with trio.open_nursery() as nursery:
            link = accepted(near, end, limits)
            nursery.start_soon(end.run_link)
            far.send(UPGRADE)
            while not link._opened.is_set():
                await trio.lowlevel.checkpoint()
            yield end, far
            nursery.cancel_scope.cancel()
    finally:
        far.close()
        end.hub.close()


async def flood(end: End, far: socket, data: bytes) -> None:
    """Send until all is out or the link has had enough."""
    left = memoryview(data)
    far.setblocking(False)
    with trio.fail_after(10):
        while left and not end.closed:
            with suppress(BlockingIOError):
                left = left[far.send(left) :]
            await trio.sleep(0.001)


async def test_a_foreign_client_is_heard_and_answered() -> None:
    async with foreign_client() as (end, client, _):
        await client.send_message(b"hello")
        assert await end.until_frames(1) == [b"hello"]
        assert end.turns.ended == 1
        end.link.send([b"wel", b"come"])
        end.link.flush()
        assert await client.get_message() == b"welcome"


async def test_the_messages_of_a_turn_leave_in_one_send() -> None:
    async with open_pair("websocket") as pair:
        pair.left.link.send([b"up"])
        pair.left.link.flush()
        await pair.right.until_frames(1)
        before = pair.left.link.statistics()
        for _ in range(50):
            pair.left.link.send([bytes(100)])
        pair.left.link.flush()
        await pair.right.until_frames(51)
        assert (pair.left.link.statistics() - before).syscalls.send == 1


async def test_what_is_queued_before_the_upgrade_goes_out_after_it() -> None:
    near, far = connected_sockets()
    end = End()
    async with trio.open_nursery() as nursery:
        link = accepted(near, end)
        link.send([b"early"])
        link.flush()
        nursery.start_soon(link.run)
        stream = BatchedStream(far, 1000, lambda: None, lambda: None)
        client = await trio_websocket.wrap_client_stream(nursery, stream, "server", "/")  # type: ignore[arg-type]
        assert await client.get_message() == b"early"
        nursery.cancel_scope.cancel()
    stream.close()
    end.hub.close()


async def test_pings_are_answered_also_while_a_large_message_waits() -> None:
    async with foreign_client() as (end, client, _):
        end.link.send([bytes(10_000_000)])
        end.link.flush()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.get_message)
                await client.ping(b"there?")


async def test_a_client_that_pings_without_reading_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.websocket.UNSENT_BYTES_MAX", 10_000)
    async with deaf_client(Limits(frame_bytes_max=1000, hello_bytes_max=1000)) as (end, far):
        await flood(end, far, (b"\x89\xfd" + bytes(4) + bytes(125)) * 10_000)  # masked with zeros
        assert await end.until_closed() == "out_queue_full"


async def test_a_message_of_endless_empty_fragments_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library keeps every fragment, and counts only what is in it."""
    monkeypatch.setattr(websocket, "RECEIVE_BYTES", 1000)
    async with deaf_client(Limits(frame_bytes_max=1000, hello_bytes_max=1000)) as (end, far):
        await flood(end, far, b"\x02\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * 50_000)
        assert await end.until_closed() == "frame_too_large"
        assert end.frames == []


async def test_messages_within_their_limit_may_come_for_ever() -> None:
    async with foreign_client(Limits(frame_bytes_max=1000, hello_bytes_max=1000)) as (end, client, stream):
        for _ in range(3000):
            await client.send_message(bytes(1000))
        await stream.drain()
        await end.until_frames(3000)
        assert end.closed == []


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "closed_by_peer"), (1001, "closed_by_peer"), (1009, "frame_too_large"), (3001, "websocket_3001")]
)
async def test_close_codes_are_named(code: int, reason: str) -> None:
    async with foreign_client() as (end, client, _):
        await client.send_message(b"last words")
        await client.aclose(code)
        assert await end.until_closed() == reason
        assert end.frames == [b"last words"]


async def test_a_client_that_just_goes_is_noticed() -> None:
    async with foreign_client() as (end, _, stream):
        stream.close()
        assert await end.until_closed() == "closed_by_peer"


async def test_an_orderly_close_sends_what_is_queued_and_says_why() -> None:
    async with foreign_client() as (end, client, _):
        end.link.send([b"last words"])
        end.link.close("shutdown")
        assert await client.get_message() == b"last words"
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await client.get_message()
        assert closed.value.reason is not None
        assert (closed.value.reason.code, closed.value.reason.reason) == (1000, "shutdown")


async def test_an_orderly_close_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.websocket.CLOSING_SECONDS", 0.1)
    async with deaf_client() as (end, _):
        end.link.send([bytes(5_000_000)])
        end.link.close("shutdown")
        with trio.fail_after(5):
            await end.left_run.wait()


async def test_closing_before_the_upgrade_closes_at_once() -> None:
    near, far = connected_sockets()
    end = End()
    link = accepted(near, end)
    link.close("not today")
    await link.run()
    with far:
        assert far.recv(10) == b""
    assert end.closed == ["not today"]
    end.hub.close()


async def test_a_server_that_refuses_the_upgrade_is_named() -> None:
    near, far = connected_sockets()
    end = End()
    link = WebSocketLink(near, "client", end.turns, end.on_frames, end.on_closed, TurnPolicy(), Limits(), dialed=("x", "/"))
    far.setblocking(True)
    with far:
        far.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
        with trio.fail_after(5):
            await link.run()
    assert end.closed == ["bad_websocket_handshake"]
    end.hub.close()


@pytest.mark.parametrize("origin", [b"Origin: http://example.com", b"origin: null", b"ORIGIN: http://x"], ids=["a page", "a file", "the same host"])
async def test_a_web_page_is_refused_and_told_so(origin: bytes) -> None:
    """A browser sends an Origin, and lets any page it shows reach loopback addresses: the third could be a name that was made to point there."""
    near, far = connected_sockets()
    end = End()
    async with trio.SocketStream(trio.socket.from_stdlib_socket(far)) as browser, trio.open_nursery() as nursery:
        accepted(near, end)
        nursery.start_soon(end.run_link)
        await browser.send_all(UPGRADE.replace(b"Host: x", b"Host: x\r\n" + origin))
        answer = b""
        with trio.fail_after(5):
            async for more in browser:
                answer += more
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"not for web pages\n")
    assert (end.closed, end.frames) == (["web_page"], [])
    end.hub.close()
