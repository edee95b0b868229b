"""The admin HTTP server: health, readiness, status and metrics on a listener of their own.

A small HTTP/1.1 server over h11 and Trio, GET only.  It shares a process with a replica whose turns must not wait, so it does little: pages
are made by plain functions, in one go.  What comes in is not trusted: a request has limits in bytes and in time, connections are counted, a
malformed request is answered, its connection closed for a named reason and counted.  Whatever one connection does, the others and the
replica go on.

Rejected: an ASGI server (an event loop of its own, and more code than all of this project's transport), ``http.server`` (threads).
"""

from __future__ import annotations

import errno
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import attrs
import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LOG = logging.getLogger(__name__)

HEADER_BYTES_MAX = 16 * 1024
CONNECTIONS_MAX = 64
REQUEST_SECONDS = 10.0
_LINGER_SECONDS = 0.5
_LINGER_BYTES_MAX = 1 << 20
_RECEIVE_BYTES = 4 * 1024
_NO_DESCRIPTOR_PAUSE_SECONDS = 0.1
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@attrs.frozen
class Page:
    """One answer: its HTTP status, content type and body."""

    status: int
    content_type: str
    body: bytes


@attrs.frozen
class AdminStatistics:
    """What an admin server has done since it started."""

    connections: int = 0
    """Open now."""
    accepted: int = 0
    statuses: Mapping[int, int] = attrs.field(factory=dict)
    """``{HTTP status: answers}``."""
    reasons: Mapping[str, int] = attrs.field(factory=dict)
    """``{reason: connections closed for it}``: malformed, header_too_large, body, timeout, connections_max, descriptors, internal."""


class Misbehaviour(Exception):
    """The client broke a rule of ours; its connection is closed for ``reason``."""

    def __init__(self, reason: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status


def text_page(text: str, status: int = 200, content_type: str = TEXT) -> Page:
    """Make a page of text."""
    return Page(status, content_type, text.encode())


def json_page(value: object) -> Page:
    """Make a page of JSON."""
    return Page(200, JSON, json.dumps(value).encode() + b"\n")


@attrs.define(eq=False)
class AdminServer:
    """The pages, their limits and what has happened so far.

    Attributes:
        routes: ``{path: function of the query that makes the page}``; a page that raises is answered 500 and logged.
        header_bytes_max: A request that has come to more without being complete is refused.
        connections_max: One more is closed at once.
        request_seconds: A request that is not complete by then, or an answer not taken by then, closes the connection.
    """

    routes: Mapping[str, Callable[[Mapping[str, str]], Page]]
    header_bytes_max: int = HEADER_BYTES_MAX
    connections_max: int = CONNECTIONS_MAX
    request_seconds: float = REQUEST_SECONDS
    _connections: int = 0
    _accepted: int = 0
    _statuses: dict[int, int] = attrs.field(factory=dict)  # {HTTP status: answers}
    _reasons: dict[str, int] = attrs.field(factory=dict)  # {reason: connections}
    _out_of_descriptors: bool = False  # said once, not ten times a second

    def statistics(self) -> AdminStatistics:
        """Return what has happened so far."""
        return AdminStatistics(self._connections, self._accepted, dict(self._statuses), dict(self._reasons))

    async def serve(self, listeners: Sequence[trio.SocketListener], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the listeners are closed at the end."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)
            task_status.started()

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _OUT_OF_DESCRIPTORS:
                        raise
                    if not self._out_of_descriptors:
                        self._close_reason("descriptors", "admin: cannot accept connections: %s", error.strerror)
                    self._out_of_descriptors = True
                    await trio.sleep(_NO_DESCRIPTOR_PAUSE_SECONDS)
                    continue
                self._out_of_descriptors = False
                self._accepted += 1
                nursery.start_soon(self._connection, stream)

    async def _connection(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection to its end, whatever happens on it."""
        self._connections += 1
        try:
            if self._connections > self.connections_max:
                self._close_reason("connections_max", "admin: closed a connection beyond %d", self.connections_max)
                return
            await _Conversation(self, stream).run()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away
        except Misbehaviour as error:
            self._close_reason(error.reason, "admin: closed a connection: %s (%s)", error.reason, error)
        except Exception:  # noqa: BLE001 - a page must never end the replica; logged with its traceback
            self._reasons["internal"] = self._reasons.get("internal", 0) + 1
            _LOG.exception("admin: a connection failed")
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    def _close_reason(self, reason: str, text: str, *details: object) -> None:
        self._reasons[reason] = self._reasons.get(reason, 0) + 1
        _LOG.warning(text, *details)

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._statuses[status] = self._statuses.get(status, 0) + 1

    def page(self, request: h11.Request) -> Page:
        """Make the page that a request asks for."""
        path, _, query = request.target.decode("ascii").partition("?")
        route = self.routes.get(path)
        if route is None:
            return text_page("no such page; there are " + " ".join(self.routes) + "\n", 404)
        if request.method != b"GET":
            return text_page("only GET\n", 405)
        try:
            return route(dict(parse_qsl(query)))
        except Exception:  # noqa: BLE001 - the same
            _LOG.exception("admin: %s failed", path)
            return text_page("this page failed; the replica's log says why\n", 500)


class _Conversation:
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
                request = await self._request()
                if request is None:
                    return
                self._head = request.method == b"HEAD"
                await self._answer(self._server.page(request))
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except Misbehaviour as error:
            if error.status and self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await self._answer(text_page(f"{error}\n", error.status))
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
                elif isinstance(event, h11.EndOfMessage):
                    return request
                elif isinstance(event, h11.Data):
                    raise Misbehaviour("body", 400, "a request has no body here")
                else:  # the connection is over, or in a state that no GET reaches
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

    async def _answer(self, page: Page) -> None:
        headers = [("Content-Type", page.content_type), ("Content-Length", str(len(page.body))), ("Cache-Control", "no-store")]
        if page.status == 405:  # noqa: PLR2004 - RFC 9110: says what is allowed
            headers.append(("Allow", "GET"))
        if page.status in (400, 408, 431) or self._http.their_state is h11.ERROR:
            headers.append(("Connection", "close"))
        out = self._http.send(h11.Response(status_code=page.status, headers=headers)) or b""
        if not self._head:
            out += self._http.send(h11.Data(data=page.body)) or b""
        out += self._http.send(h11.EndOfMessage()) or b""
        self._server.answered(page.status)
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


def admin_routes(
    *, status: Callable[[], Mapping[str, object]], ready: Callable[[], Sequence[str]], metrics: Callable[[], str]
) -> dict[str, Callable[[Mapping[str, str]], Page]]:
    """Return the pages every replica has.

    Args:
        status: What ``/status`` shows, JSON values.
        ready: Why the replica cannot serve; nothing if it can.
        metrics: Prometheus text.
    """

    def readyz(_query: Mapping[str, str]) -> Page:
        reasons = ready()
        return text_page("".join(f"{reason}\n" for reason in reasons), 503) if reasons else text_page("ready\n")

    return {
        "/healthz": lambda _query: text_page("ok\n"),
        "/readyz": readyz,
        "/status": lambda _query: json_page(status()),
        "/metrics": lambda _query: text_page(metrics(), content_type=PROMETHEUS),
    }


async def serve_admin(
    listeners: Sequence[trio.SocketListener],
    *,
    status: Callable[[], Mapping[str, object]],
    ready: Callable[[], Sequence[str]],
    metrics: Callable[[], str],
    task_status: trio.TaskStatus[AdminServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the pages every replica has until cancelled; ``started`` gives the server, for its statistics.

    Args:
        listeners: Open listeners; closed at the end.
        status: What ``/status`` shows, JSON values.
        ready: Why the replica cannot serve; nothing if it can.
        metrics: Prometheus text.
        task_status: As ``trio.Nursery.start`` gives it.
    """
    server = AdminServer(admin_routes(status=status, ready=ready, metrics=metrics))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listeners)
        task_status.started(server)
