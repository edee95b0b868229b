"""Asks a replica's admin HTTP: one GET per connection, bounded in time and size.

For the supervisor, ``triskele status`` and the load generator; any HTTP client does as well.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import attrs
import h11
import trio

from replica.address import join_address, split_address

ANSWER_BYTES_MAX = 64 << 20
_RECEIVE_BYTES = 64 * 1024


class AdminUnreachable(Exception):
    """No usable answer came from an admin address: nobody is there, or it is somebody else.

    Attributes:
        url: What was asked.
        why: In words.
    """

    exit_status = 1

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url}: {why}")
        self.url = url
        self.why = why


@attrs.frozen
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes


async def get(admin: str, path: str, *, timeout: float = 2.0) -> Answer:
    """Get one page.

    Args:
        admin: ``http://HOST:PORT``.
        path: ``/status`` or another page, with its query.
        timeout: Seconds for all of it.

    Raises:
        AddressError: ``admin`` is no address.
        AdminUnreachable: No answer within the time, or none that is HTTP.
    """
    host, port = split_address(admin)
    url = f"{admin.removesuffix('/')}{path}"
    answer: Answer | None = None
    try:
        with trio.move_on_after(timeout):
            async with await trio.open_tcp_stream(host, port, happy_eyeballs_delay=math.inf) as stream:
                answer = await _exchange(stream, join_address(host, port), path)
    except (OSError, trio.BrokenResourceError) as error:
        raise AdminUnreachable(url, _reason(error)) from None
    except h11.RemoteProtocolError as error:
        raise AdminUnreachable(url, f"this is no admin server: {error}") from None
    if answer is None:
        raise AdminUnreachable(url, f"no answer within {timeout:g} s")
    return answer


def _reason(error: Exception) -> str:
    """Return the words of the system call that failed; Trio puts the address in front of them, which the URL tells."""
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup) or first.__cause__ is not None:
        first = first.exceptions[0] if isinstance(first, BaseExceptionGroup) else first.__cause__ or first
    return os.strerror(first.errno) if isinstance(first, OSError) and first.errno else str(first)


async def _exchange(stream: trio.SocketStream, host: str, path: str) -> Answer:
    http = h11.Connection(h11.CLIENT)
    request = http.send(h11.Request(method="GET", target=path, headers=[("Host", host), ("Connection", "close")])) or b""
    await stream.send_all(request + (http.send(h11.EndOfMessage()) or b""))
    status = 0
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(_RECEIVE_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > ANSWER_BYTES_MAX:
                message = f"more than {ANSWER_BYTES_MAX} bytes"
                raise h11.RemoteProtocolError(message)
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(body))


async def get_status(admin: str, *, timeout: float = 2.0) -> dict[str, Any]:
    """Get ``/status`` of one replica.

    Raises:
        AdminUnreachable: No answer, or none that is a status.
    """
    answer = await get(admin, "/status", timeout=timeout)
    try:
        status = json.loads(answer.body)
    except ValueError:
        status = None
    if answer.status != 200 or not isinstance(status, dict):  # noqa: PLR2004 - HTTP
        raise AdminUnreachable(f"{admin}/status", f"this is no replica's status (HTTP {answer.status})")
    return status
