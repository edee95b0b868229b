from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import h11
import pytest
import trio
import trio.testing

from replica.admin import AdminServer, Later, Page, Stream, text_page
from replica.admin_http import SEND_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

GET = b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"


class Source:
    """What a stream is made of, and how far it came."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self.pieces = pieces
        self.fails = fails
        self.made = 0
        self.closed = trio.Event()

    def generate(self) -> Generator[bytes, None, None]:
        try:
            for piece in self.pieces:
                self.made += 1
                yield piece
            if self.fails:
                raise RuntimeError("planted")
        finally:
            self.closed.set()


@asynccontextmanager
async def serving(source: Source) -> AsyncIterator[tuple[AdminServer, trio.abc.ReceiveStream]]:
    """A request for the stream on a connection that takes what it is sent when it is read: one send at a time."""
    server = AdminServer({"/stream": lambda _query: Stream("text/plain", source.generate())}, request_seconds=5.0)
    sender, receiver = trio.testing.lockstep_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server._connection, receiver)
            await sender.send_all(GET)
            yield server, sender.receive_stream
            await sender.aclose()


async def read(stream: trio.abc.ReceiveStream, pause: float = 0.0) -> bytes:
    """Read the body of an answer to its end, slowly."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/stream", headers=[("Host", "h")]))
    http.send(h11.EndOfMessage())
    body = b""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            await trio.sleep(pause)
            http.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Data):
            body += event.data
    return body


async def test_a_stream_comes_whole_and_is_closed() -> None:
    source = Source(b"", b"one", b"two" * SEND_BYTES, b"end")
    async with serving(source) as (server, stream):
        assert await read(stream) == b"one" + b"two" * SEND_BYTES + b"end"
        await source.closed.wait()
    assert (server.statistics().statuses, server.statistics().reasons) == ({200: 1}, {})


async def test_a_head_of_a_stream_has_no_body_and_the_connection_goes_on() -> None:
    source = Source(b"one", b"two")
    server = AdminServer({"/stream": lambda _query: Stream("text/plain", source.generate())})
    sender, receiver = trio.testing.memory_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server._connection, receiver)
            await sender.send_all(GET.replace(b"GET", b"HEAD") + GET)
            await trio.testing.wait_all_tasks_blocked()
            answers = bytes(await sender.receive_some())
            await sender.aclose()
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert source.made == 2  # none for the head


async def test_a_piece_is_made_when_the_one_before_was_taken() -> None:
    source = Source(*[b"piece"] * 100)
    async with serving(source) as (_, stream):
        await stream.receive_some()  # the head
        await trio.testing.wait_all_tasks_blocked()
        assert source.made == 1


async def test_a_healthy_download_may_take_longer_than_a_request(autojump_clock: object) -> None:  # noqa: ARG001 - in-memory time
    source = Source(*[b"piece"] * 10)
    async with serving(source) as (_, stream):
        begin = trio.current_time()
        assert await read(stream, pause=4.0) == b"piece" * 10
        assert trio.current_time() - begin > 40


async def test_a_download_that_stands_still_is_ended(autojump_clock: object) -> None:  # noqa: ARG001 - in-memory time
    source = Source(*[b"piece"] * 20)
    async with serving(source) as (server, stream):
        await stream.receive_some()
        begin = trio.current_time()
        await source.closed.wait()
        assert trio.current_time() - begin == pytest.approx(5.0)
    assert server.statistics().reasons == {"timeout": 1}


async def test_a_reader_that_goes_away_ends_it() -> None:
    source = Source(*[b"piece"] * 20)
    async with serving(source) as (server, stream):
        await stream.receive_some()
        await stream.aclose()
        await source.closed.wait()
    assert server.statistics().reasons == {}


async def test_a_stream_that_fails_has_no_end() -> None:
    source = Source(b"piece", fails=True)
    async with serving(source) as (server, stream):
        with pytest.raises(h11.RemoteProtocolError):
            await read(stream)
    assert server.statistics().reasons == {"internal": 1}


class Slow:
    """A page that is made when somebody says so."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.finish = trio.Event()
        self.given_up = trio.Event()

    async def make(self) -> Page:
        self.asked.set()
        try:
            await self.finish.wait()
        except trio.Cancelled:
            self.given_up.set()
            raise
        return text_page("made\n")


@asynccontextmanager
async def waiting(slow: Slow) -> AsyncIterator[tuple[AdminServer, trio.abc.HalfCloseableStream]]:
    """A request for a slow page; a request may take a moment only."""
    server = AdminServer({"/stream": lambda _query: Later(slow.make), "/quick": lambda _query: text_page("quick\n")}, request_seconds=0.5)
    ours, theirs = trio.testing.memory_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server._connection, theirs)
            await ours.send_all(GET)
            await slow.asked.wait()
            yield server, ours
            await ours.aclose()


async def test_an_answer_that_takes_its_time_may_take_longer_than_a_request(autojump_clock: object) -> None:  # noqa: ARG001 - in-memory time
    slow = Slow()
    async with waiting(slow) as (server, stream):
        await trio.sleep(50)
        slow.finish.set()
        assert (await stream.receive_some()).endswith(b"\r\n\r\nmade\n")
    assert (server.statistics().statuses, server.statistics().reasons) == ({200: 1}, {})


@pytest.mark.parametrize("more", [b"", GET])
@pytest.mark.parametrize("how", ["send_eof", "aclose"])
async def test_who_hangs_up_ends_what_is_made_for_it(how: str, more: bytes) -> None:
    slow = Slow()
    async with waiting(slow) as (server, stream):
        for place in range(0, len(more), 10):
            await stream.send_all(more[place : place + 10])
            await trio.testing.wait_all_tasks_blocked()
        await getattr(stream, how)()
        await slow.given_up.wait()
    assert (server.statistics().statuses, server.statistics().reasons) == ({}, {})


async def test_who_does_not_stop_sending_is_not_waited_for() -> None:
    slow = Slow()
    async with waiting(slow) as (server, stream):
        with suppress(trio.BrokenResourceError):
            for _ in range(2 * server.header_bytes_max // len(GET)):
                await stream.send_all(GET)
        await slow.given_up.wait()


async def test_a_request_behind_a_slow_one_waits_for_its_turn() -> None:
    slow = Slow()
    async with waiting(slow) as (_, stream):
        await stream.send_all(GET.replace(b"/stream", b"/quick"))
        await trio.testing.wait_all_tasks_blocked()
        assert not slow.given_up.is_set()
        slow.finish.set()
        answers = b""
        while not answers.endswith(b"quick\n"):
            answers += await stream.receive_some()
        assert answers.index(b"made\n") < answers.index(b"quick\n")


async def test_a_slow_page_that_fails_is_answered_and_the_connection_lives(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> Page:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("planted")

    server = AdminServer({"/stream": lambda _query: Later(fail)})
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server._connection, theirs)
        for _ in range(2):
            await ours.send_all(GET)
            assert b" 500 " in await ours.receive_some()
        await ours.aclose()
    assert "planted" in caplog.text
