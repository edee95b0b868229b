"""Asks a replica's admin HTTP: one request per connection, bounded in time and size; a download is bounded in the time nothing comes.

For the supervisor, the commands and the load generator; any HTTP client does as well.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import attrs
import h11
import trio

from replica.address import join_address, split_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    return await _ask(admin, "GET", path, timeout)


async def post(admin: str, path: str, *, timeout: float = 2.0) -> Answer:
    """Ask for an action; as ``get``. Without an answer it may have been begun all the same."""
    return await _ask(admin, "POST", path, timeout)


async def _ask(admin: str, method: str, path: str, timeout: float) -> Answer:
    url = f"{admin.removesuffix('/')}{path}"
    body = bytearray()
    with _told_of(url), trio.move_on_after(timeout):
        async with await _connect(admin) as exchange:
            status = await exchange.ask(method, path)
            while piece := await exchange.receive():
                body += piece
                if len(body) > ANSWER_BYTES_MAX:
                    raise AdminUnreachable(url, f"more than {ANSWER_BYTES_MAX} bytes")
            return Answer(status, bytes(body))
    raise AdminUnreachable(url, f"no answer within {timeout:g} s")


async def download(admin: str, path: str, take: Callable[[bytes], object], *, timeout: float = 10.0) -> Answer:
    """Get a page of any size, piece by piece.

    Args:
        admin: ``http://HOST:PORT``.
        path: The page.
        take: Called with each piece of a body of status 200.
        timeout: Seconds for the connection, and for each piece to come.

    Returns:
        The answer, with its body if the status is not 200.

    Raises:
        AddressError: ``admin`` is no address.
        AdminUnreachable: Nothing came for so long, or what came is not HTTP, or ended before its end.
    """
    url = f"{admin.removesuffix('/')}{path}"
    body = bytearray()
    with _told_of(url):
        try:
            with trio.fail_after(timeout):
                exchange = await _connect(admin)
            async with exchange:
                with trio.fail_after(timeout):
                    status = await exchange.ask("GET", path)
                while True:
                    with trio.fail_after(timeout):
                        piece = await exchange.receive()
                    if not piece:
                        return Answer(status, bytes(body))
                    if status == 200:  # noqa: PLR2004 - HTTP
                        take(piece)
                    elif len(body) < ANSWER_BYTES_MAX:
                        body += piece
        except trio.TooSlowError:
            raise AdminUnreachable(url, f"nothing came for {timeout:g} s") from None


@contextmanager
def _told_of(url: str) -> Iterator[None]:
    """Turn what goes wrong with a connection into an error that names the page."""
    try:
        yield
    except (OSError, trio.BrokenResourceError) as error:
        raise AdminUnreachable(url, _reason(error)) from None
    except h11.RemoteProtocolError as error:
        raise AdminUnreachable(url, f"this is no admin server: {error}") from None


def _reason(error: Exception) -> str:
    """Return the words of the system call that failed; Trio puts the address in front of them, which the URL tells."""
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup) or first.__cause__ is not None:
        first = first.exceptions[0] if isinstance(first, BaseExceptionGroup) else first.__cause__ or first
    return os.strerror(first.errno) if isinstance(first, OSError) and first.errno else str(first)


async def _connect(admin: str) -> _Exchange:
    host, port = split_address(admin)
    try:
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=math.inf)
    except ValueError as error:  # the resolver takes no such name
        raise OSError(str(error)) from None
    return _Exchange(stream, join_address(host, port))


class _Exchange:
    """One request and its answer on a connection of their own; a context that closes it."""

    def __init__(self, stream: trio.SocketStream, host: str) -> None:
        self._stream = stream
        self._host = host
        self._http = h11.Connection(h11.CLIENT)
        self._ended = False  # the other side has
        self._is_http = True  # for all that has come

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stream.aclose()

    async def ask(self, method: str, path: str) -> int:
        """Send the request; return the answer's status."""
        request = self._http.send(h11.Request(method=method, target=path, headers=[("Host", self._host), ("Connection", "close")])) or b""
        await self._stream.send_all(request + (self._http.send(h11.EndOfMessage()) or b""))
        while not isinstance(event := await self._event(), h11.Response):
            pass
        return event.status_code

    async def receive(self) -> bytes:
        """Return the next piece of the answer's body; nothing at its end."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Data) and event.data:
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                return b""

    async def _event(self) -> object:
        while (event := self._parsed()) is h11.NEED_DATA:
            data = bytes(await self._stream.receive_some(_RECEIVE_BYTES))
            self._ended = not data
            self._is_http &= not data
            self._http.receive_data(data)
        self._is_http = True
        return event

    def _parsed(self) -> object:
        """Return the next event, if it has come."""
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError:
            if self._ended and self._is_http:
                raise trio.BrokenResourceError("the connection ended before the answer did") from None
            raise


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
