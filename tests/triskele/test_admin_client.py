from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from replica.address import AddressError
from replica.admin import serve_admin
from replica.listening import bound_address, open_socket
from triskele.admin_client import AdminUnreachable, download, get, get_status, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def admin() -> AsyncIterator[str]:
    opened = open_socket("127.0.0.1:0")
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[object]) -> None:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(opened))
            await serve_admin([listener], status=lambda: {"id": 7}, ready=lambda: ["no"], metrics=lambda: "m" * 300_000, task_status=task_status)

        await nursery.start(serve)
        yield f"http://{bound_address(opened)}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """A server that says one thing and ends; one that has nothing to say waits, and with None it ends at once."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if answer == b"":
                await trio.sleep(math.inf)
            await stream.send_all(answer or b"")

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_pages_come_with_their_status_large_ones_too() -> None:
    async with admin() as url:
        assert await get_status(url) == {"id": 7}
        answer = await get(f"{url}/", "/readyz")
        assert (answer.status, answer.body) == (503, b"no\n")
        assert len((await get(url, "/metrics")).body) == 300_000


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no answer within 0.3 s"),
        (b"220 mail ready\r\n", "this is no admin server: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "the connection ended before the answer did"),
        (None, "the connection ended before the answer did"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "this is no replica's status (HTTP 200)"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", "this is no replica's status (HTTP 404)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "this is no replica's status (HTTP 200)"),
    ],
)
async def test_what_is_no_admin_is_named(answer: bytes | None, why: str) -> None:
    async with answering(answer) as url:
        with pytest.raises(AdminUnreachable) as caught:
            await get_status(url, timeout=0.3)
    assert str(caught.value).startswith(f"{url}/status: {why}")


async def test_nobody_there_is_named() -> None:
    with open_socket("127.0.0.1:0") as opened:
        address = bound_address(opened)
    with pytest.raises(AdminUnreachable, match="Connection refused"):
        await get_status(f"http://{address}")


async def test_a_name_that_no_resolver_takes_is_one_where_nobody_is() -> None:
    with pytest.raises(AdminUnreachable, match="not allowed"):
        await get_status("http://\u2603.example:1")


async def test_what_is_no_address_is_our_own_error() -> None:
    with pytest.raises(AddressError):
        await get("http://nowhere", "/status")


async def test_an_action_is_posted() -> None:
    async with admin() as url:
        assert ((await post(url, "/status")).status, (await post(url, "/nothing")).status) == (405, 404)


async def test_a_download_comes_piece_by_piece_and_a_refusal_as_an_answer() -> None:
    async with admin() as url:
        pieces: list[bytes] = []
        answer = await download(url, "/metrics", pieces.append)
        assert (answer.status, answer.body, b"".join(pieces)) == (200, b"", b"m" * 300_000)
        assert len(pieces) > 1
        refused: list[bytes] = []
        answer = await download(url, "/readyz", refused.append)
        assert (answer.status, answer.body, refused) == (503, b"no\n", [])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "nothing came for 0.2 s"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "the connection ended before the answer did"),
    ],
)
async def test_a_download_that_does_not_come_to_its_end_is_none(answer: bytes, why: str) -> None:
    async with answering(answer) as url:
        with pytest.raises(AdminUnreachable, match=why):
            await download(url, "/snapshot", bytes, timeout=0.2)
