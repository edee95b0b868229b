"""The admin HTTP server: health, readiness, status, metrics and the operators' actions on a listener of their own.

A small HTTP/1.1 server over h11 and Trio: GET (or HEAD) shows, POST acts, none takes a body.  It shares a process with a replica whose turns must not
wait, so it does little: pages are made by plain functions, in one go, and streams piece by piece.  Connections are counted; one that breaks a
rule (``admin_http``) is closed for a named reason and counted.  Whatever one connection does, the others and the replica go on.

An action with an ``Origin`` is refused: a browser sends it with every POST, and no web page that an operator looks at shall act on a replica
that trusts whoever reaches its loopback address.

Rejected: an ASGI server (an event loop of its own, and more code than all of this project's transport), ``http.server`` (threads).
"""

from __future__ import annotations

import errno
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import attrs
import trio

from replica.admin_http import Conversation, Later, Misbehaviour, Page, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import h11

    Query = Mapping[str, str]

__all__ = ["AdminServer", "AdminStatistics", "Later", "Page", "Stream", "admin_routes", "json_page", "serve_admin", "text_page"]

_LOG = logging.getLogger(__name__)

HEADER_BYTES_MAX = 16 * 1024
CONNECTIONS_MAX = 64
REQUEST_SECONDS = 10.0
_NO_DESCRIPTOR_PAUSE_SECONDS = 0.1
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
FAILED = "this page failed; the replica's log says why\n"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


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


def text_page(text: str, status: int = 200, content_type: str = TEXT) -> Page:
    """Make a page of text."""
    return Page(status, content_type, text.encode())


def json_page(value: object, status: int = 200) -> Page:
    """Make a page of JSON."""
    return Page(status, JSON, json.dumps(value).encode() + b"\n")


@attrs.define(eq=False)
class AdminServer:
    """The pages, their limits and what has happened so far.

    Attributes:
        routes: ``{path: function of the query that makes the page or the stream, now or later}``, for GET and HEAD; one that raises is answered 500,
            and logged.
        actions: ``{path: function of the query that acts and tells}``, for POST; likewise. So an action first looks at whatever may forbid it, then
            notes what is wanted, in one step: one that raises has begun nothing, or all of it.
        parameters: ``{path: names that its query may have}``: any other is refused, for a misspelt one would be left out in silence. A path that is
            not here takes whatever comes and looks at nothing.
        header_bytes_max: A request that has come to more without being complete is refused.
        connections_max: One more is closed at once.
        request_seconds: A request that is not complete by then closes the connection, and so does an answer, or 64 KiB of a stream, that is not
            taken by then.
    """

    routes: Mapping[str, Callable[[Query], Page | Stream | Later]]
    actions: Mapping[str, Callable[[Query], Page]] = attrs.field(factory=dict)
    parameters: Mapping[str, frozenset[str]] = attrs.field(factory=dict, kw_only=True)
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
            await Conversation(self, stream).run()
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

    def answer(self, request: h11.Request) -> Page | Stream | Later:
        """Make the answer to a request: the page it asks for, or what came of the action."""
        path, _, query = request.target.decode("ascii").partition("?")
        route: Callable[[Query], Page | Stream | Later] | None = self.routes.get(path)
        action = self.actions.get(path)
        made = route or action
        if made is None:
            return text_page("no such page; there are " + " ".join([*self.routes, *self.actions]) + "\n", 404)
        allowed = ("GET", "HEAD") if route is not None else ("POST",)
        if request.method.decode("ascii") not in allowed:
            return attrs.evolve(text_page(f"only {' and '.join(allowed)}\n", 405), headers={"Allow": ", ".join(allowed)})
        if made is action and any(name == b"origin" for name, _ in request.headers):
            return text_page("not for web pages\n", 403)
        given = parse_qsl(query, keep_blank_values=True)
        known = self.parameters.get(path)
        unknown = next((name for name, _ in given if known is not None and name not in known), None)
        if unknown is not None:
            return text_page(f"{unknown}: no such parameter; {path} takes {', '.join(sorted(known or ())) or 'none'}\n", 400)
        try:
            return made({name: value for name, value in given if value})
        except Exception:  # noqa: BLE001 - the same; an action may fail so too, since it only notes what the next turn does, whose error ends the replica
            _LOG.exception("admin: %s failed", path)
            return text_page(FAILED, 500)

    async def answer_later(self, later: Later) -> Page | Stream:
        """Make an answer that takes its time."""
        try:
            return await later.make()
        except Exception:  # noqa: BLE001 - the same
            _LOG.exception("admin: a page failed")
            return text_page(FAILED, 500)


def admin_routes(
    *, status: Callable[[], Mapping[str, object]], ready: Callable[[], Sequence[str]], metrics: Callable[[], str]
) -> dict[str, Callable[[Query], Page | Stream | Later]]:
    """Return the pages every replica has.

    Args:
        status: What ``/status`` shows, JSON values.
        ready: Why the replica cannot serve; nothing if it can.
        metrics: Prometheus text.
    """

    def readyz(_query: Query) -> Page:
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
