"""Bytes on a connection to the admin listener, spoken to the real server over streams in memory, in virtual time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import trio
import trio.testing

from replica.admin import AdminServer, Page, Stream, text_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.fuzz.judging import Tell

STATUSES = frozenset({200, 400, 403, 404, 405, 408, 431, 501})
REASONS = frozenset({"malformed", "header_too_large", "body", "timeout"})
HEADER_BYTES_MAX = 2048
ANSWER_BYTES_MAX = 1 << 20


def requests() -> Sequence[bytes]:
    """Return what clients send."""
    return [
        b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /page?x=1&y=%20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST /act?to=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /act HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n",
        b"POST /act HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HEAD /stream HTTP/1.0\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nExpect: 100-continue\r\n\r\n",
        b"GET /page HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    ]


def _page(query: Mapping[str, str]) -> Page:
    return text_page(f"{len(query)}\n")


def _stream(_query: Mapping[str, str]) -> Stream:
    return Stream("text/plain", (piece for piece in (b"one", b"two")))


def hold_conversation(data: bytes) -> str:
    """Send bytes and end: nothing fails inside, and what closes the connection has one of the reasons that are told."""
    verdicts: list[str | Exception] = []
    hold_conversations([data], lambda _data, verdict, _seconds: verdicts.append(verdict))
    (verdict,) = verdicts
    if isinstance(verdict, Exception):
        raise verdict
    return verdict


def hold_conversations(inputs: Iterable[bytes], tell: Tell) -> None:
    """Hold one conversation after the other in one run of Trio: beginning and ending a run takes as long as a conversation."""
    log = logging.getLogger("replica.admin")
    log.disabled, before = True, log.disabled  # it tells of every connection that it closes
    try:
        trio.run(_hold_all, inputs, tell, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        log.disabled = before


async def _hold_all(inputs: Iterable[bytes], tell: Tell) -> None:
    for data in inputs:
        begun = time.process_time()
        verdict: str | Exception
        try:
            verdict = await _hold(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            verdict = error
        tell(data, verdict, time.process_time() - begun)


async def _hold(data: bytes) -> str:
    server = AdminServer({"/page": _page, "/stream": _stream}, {"/act": _page}, header_bytes_max=HEADER_BYTES_MAX)
    near, far = trio.testing.memory_stream_pair()
    answered = bytearray()

    async def take() -> None:
        async for chunk in near:
            answered.extend(chunk)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(server._connection, far)
        await near.send_all(data)
        await near.send_eof()
    told = server.statistics()
    assert told.reasons.keys() <= REASONS, told.reasons
    assert told.statuses.keys() <= STATUSES, told.statuses
    assert told.connections == 0
    assert len(answered) < ANSWER_BYTES_MAX
    assert answered.startswith(b"HTTP/1.1 ") if told.statuses else not answered
    return next(iter(told.reasons), "taken" if 200 in told.statuses else "refused" if told.statuses else "silent")
