"""HTTP/1.1 on one connection of the admin listener: requests without bodies come in, pages and streams go out.

What comes in is not trusted: a request has limits in bytes and in time, and one that breaks them is answered, if that is still possible, and its
connection closed for a named reason.  An answer has as long as its reader keeps taking it: a page as a whole, a stream piece by piece, since a
healthy download may take hours and one that stands still must not hold what it was made of.

What must not live here: which pages there are (``admin``).
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import attrs
import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from replica.admin import AdminServer

SEND_BYTES = 64 * 1024
"""A stream's reader has to take so much within ``request_seconds``."""
_LINGER_SECONDS = 0.5
_LINGER_BYTES_MAX = 1 << 20
_RECEIVE_BYTES = 4 * 1024


@attrs.frozen
class Page:
    """One answer: its HTTP status, content type, body, and headers beyond the usual ones."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Stream:
    """One answer (status 200) whose body is made while it is sent.

    Attributes:
        content_type: Of the body.
        pieces: Each is made when the one before was taken, between turns, and so must be quick; closed in any case.
    """

    content_type: str
    pieces: Generator[bytes, None, None]


@attrs.frozen
class Later:
    """An answer that takes its time.

    Attributes:
        make: Makes the answer, for as long as it needs; cancelled when the client hangs up.
    """

    make: Callable[[], Awaitable[Page | Stream]]


class Misbehaviour(Exception):
    """The client broke a rule of ours; its connection is closed for ``reason``."""

    def __init__(self, reason: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status


class Conversation:
    """Requests and answers on one connection."""

    def __init__(self, server: AdminServer, stream: trio.abc.HalfCloseableStream) -> None:
        self._server = server
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=server.header_bytes_max)
        self._head = False  # the answer to a HEAD has no body

    async def run(self) -> None:
        """Answer requests until the client or a limit ends it.

        Raises:
            Misbehaviour: The client broke a rule; it has been told.
        """
        try:
            while True:
                self._head = False  # whatever the last one was: a refusal of what comes next has a body
                request = await self._request()
                if request is None:
                    return
                answer: Page | Stream | None
                made = self._server.answer(request)
                answer = await self._wait(made) if isinstance(made, Later) else made
                if answer is None:
                    return
                if isinstance(answer, Stream):
                    await self._answer_stream(answer)
                else:
                    await self._answer_page(answer)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except Misbehaviour as error:
            if error.status and self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await self._answer_page(Page(error.status, "text/plain; charset=utf-8", f"{error}\n".encode()))
                await self._linger()
            raise

    async def _request(self) -> h11.Request | None:
        """Receive one request without a body; None when the client has ended.

        Raises:
            Misbehaviour: It is malformed, too large, too slow, or has a body.
        """
        request: h11.Request | None = None
        with trio.move_on_after(self._server.request_seconds):
            while True:
                event = self._next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(bytes(await self._stream.receive_some(_RECEIVE_BYTES)))
                elif isinstance(event, h11.Request):
                    request = event
                    self._head = event.method == b"HEAD"  # known before its end: what is wrong with the rest is answered without a body too
                elif isinstance(event, h11.EndOfMessage):
                    return request
                elif isinstance(event, h11.Data):
                    raise Misbehaviour("body", 400, "a request has no body here")
                else:  # the connection is over, or in a state that no request without a body reaches
                    return None
        if self._http.trailing_data[0] or request is not None:
            raise Misbehaviour("timeout", 408, f"no complete request within {self._server.request_seconds} s")
        return None  # idle

    def _next_event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            reason = "header_too_large" if error.error_status_hint == 431 else "malformed"  # noqa: PLR2004 - RFC 6585
            raise Misbehaviour(reason, error.error_status_hint, str(error)) from None

    async def _wait(self, later: Later) -> Page | Stream | None:
        """Wait for an answer; None if the client has hung up meanwhile, by ending its side too: nobody asks and does not want to hear.

        None too for one that does not stop sending: what it sends has to be kept, and may hide that it has gone.
        """
        answer: Page | Stream | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            answer = await self._server.answer_later(later)
            nursery.cancel_scope.cancel()
        return answer

    async def _watch(self, waiting: trio.CancelScope) -> None:
        """Cancel when the client hangs up, or sends more than a request; what it sends meanwhile is its next request."""
        taken = 0
        with suppress(trio.BrokenResourceError):
            while taken <= self._server.header_bytes_max and (data := bytes(await self._stream.receive_some(_RECEIVE_BYTES))):
                taken += len(data)
                self._http.receive_data(data)
        waiting.cancel()

    async def _answer_page(self, page: Page) -> None:
        headers = [("Content-Type", page.content_type), ("Content-Length", str(len(page.body))), ("Cache-Control", "no-store"), *page.headers.items()]
        if page.status in (400, 408, 431) or self._http.their_state is h11.ERROR:
            headers.append(("Connection", "close"))
        out = self._http.send(h11.Response(status_code=page.status, headers=headers)) or b""
        if not self._head:
            out += self._http.send(h11.Data(data=page.body)) or b""
        out += self._http.send(h11.EndOfMessage()) or b""
        self._server.answered(page.status)
        await self._send(out)

    async def _answer_stream(self, stream: Stream) -> None:
        """Send a stream; if making a piece fails, the body ends before its end, which every HTTP/1.1 client notices."""
        with closing(stream.pieces) as pieces:
            headers = [("Content-Type", stream.content_type), ("Cache-Control", "no-store")]
            self._server.answered(200)
            await self._send(self._http.send(h11.Response(status_code=200, headers=headers)) or b"")
            for piece in () if self._head else pieces:
                for low in range(0, len(piece), SEND_BYTES):
                    await self._send(self._http.send(h11.Data(data=piece[low : low + SEND_BYTES])) or b"")
            await self._send(self._http.send(h11.EndOfMessage()) or b"")

    async def _send(self, out: bytes) -> None:
        with trio.move_on_after(self._server.request_seconds) as scope:
            await self._stream.send_all(out)
        if scope.cancelled_caught:
            raise Misbehaviour("timeout", 0, "the answer was not taken in time")

    async def _linger(self) -> None:
        """Take what is still coming for a moment: closing on unread bytes resets the connection and may lose the answer."""
        taken = 0
        with trio.move_on_after(_LINGER_SECONDS):
            await self._stream.send_eof()
            while taken < _LINGER_BYTES_MAX:
                chunk = await self._stream.receive_some(_RECEIVE_BYTES)
                if not chunk:
                    return
                taken += len(chunk)
