from __future__ import annotations

import json
import os
import random
import re
import resource
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from replica.admin import AdminServer, AdminStatistics, Page, admin_routes, json_page, serve_admin, text_page
from replica.listening import open_socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

GET = b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: h\r\n%b\r\n"


class Running:
    """A server on a free port, and raw clients of it."""

    def __init__(self, server: AdminServer, address: tuple[str, int]) -> None:
        self.server = server
        self.address = address

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.address)

    async def until(self, happened: Callable[[AdminStatistics], bool]) -> None:
        """Wait for what shows in the server's statistics alone."""
        with trio.fail_after(10):
            while not happened(self.server.statistics()):  # noqa: ASYNC110 - nobody sets an event for it
                await trio.sleep(0.01)

    async def ask(self, request: bytes) -> bytes:
        """Send bytes, end, and return all that comes back."""
        async with await self.dial() as stream:
            await stream.send_all(request)
            await stream.send_eof()
            return b"".join([chunk async for chunk in stream])


def failing(_query: Mapping[str, str]) -> Page:
    raise RuntimeError("planted")


@asynccontextmanager
async def running(reasons: list[str] | None = None, **limits: Any) -> AsyncIterator[Running]:
    routes = admin_routes(status=lambda: {"id": 1, "role": "leader"}, ready=lambda: reasons or [], metrics=lambda: "triskele_view 1\n")
    routes["/failing"] = failing
    routes["/large"] = lambda query: text_page("x" * int(query["bytes"]))
    actions = {"/act": lambda query: json_page(query, 200 if query else 409), "/failing-act": failing}
    server = AdminServer(routes, actions, **limits)
    listening = open_socket("127.0.0.1:0")
    address = listening.getsockname()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, [trio.SocketListener(trio.socket.from_stdlib_socket(listening))])
        yield Running(server, address)
        nursery.cancel_scope.cancel()


def status_and_body(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_what_comes_behind_a_head_and_is_malformed_is_refused_with_words() -> None:
    async with running() as admin:
        answers = await admin.ask(b"HEAD /status HTTP/1.1\r\nHost: h\r\n\r\nGET /status\r\n\r\n")
        assert answers.count(b"HTTP/1.1 ") == 2
        assert answers.endswith(b"\n")
        assert admin.server.statistics().reasons == {"malformed": 1}


async def test_a_head_with_a_body_is_refused_without_one() -> None:
    async with running() as admin:
        answer = await admin.ask(b"HEAD /status HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        assert status_and_body(answer) == (400, b"")
        assert admin.server.statistics().reasons == {"body": 1}


async def test_every_page_is_served() -> None:
    async with running() as admin:
        assert status_and_body(await admin.ask(GET % b"/healthz")) == (200, b"ok\n")
        assert status_and_body(await admin.ask(GET % b"/readyz")) == (200, b"ready\n")
        assert status_and_body(await admin.ask(GET % b"/metrics?x=1")) == (200, b"triskele_view 1\n")
        status, body = status_and_body(await admin.ask(GET % b"/status"))
        assert (status, json.loads(body)) == (200, {"id": 1, "role": "leader"})


async def test_a_head_is_answered_as_a_get_without_its_body() -> None:
    async with running(["no leader is known"]) as admin:
        head, get = await admin.ask(b"HEAD /readyz HTTP/1.1\r\nHost: h\r\n\r\n"), await admin.ask(GET % b"/readyz")
        assert get.partition(b"\r\n\r\n")[2] == b"no leader is known\n"
        assert (status_and_body(head), len(head)) == ((503, b""), len(get) - len(b"no leader is known\n"))


async def test_readyz_tells_the_reasons_why_not() -> None:
    async with running(["no leader is known", "behind by 7"]) as admin:
        assert status_and_body(await admin.ask(GET % b"/readyz")) == (503, b"no leader is known\nbehind by 7\n")


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (GET % b"/nothing", 404, b"no such page; there are /healthz"),
        (b"POST /status HTTP/1.1\r\nHost: h\r\n\r\n", 405, b"only GET"),
        (b"HEAD /act HTTP/1.1\r\nHost: h\r\n\r\n", 405, b""),
        (b"GET /status HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 400, b"a request has no body here"),
        (b"GET /status\r\n\r\n", 400, b"illegal request line"),
        (b"GET /status HTTP/1.1\r\n\r\n", 400, b"Missing mandatory Host: header"),
        (b"\x00\x01\x02\x03", 400, b"illegal request line"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431, b"Receive buffer too long"),
        (GET % b"/failing", 500, b"the replica's log says why"),
        (GET % b"/act", 405, b"only POST"),
        (POST % (b"/failing-act", b""), 500, b"the replica's log says why"),
        (POST % (b"/act", b"Origin: http://elsewhere.example\r\n"), 403, b"not for web pages"),
        (POST % (b"/act", b"Content-Length: 3\r\n") + b"abc", 400, b"a request has no body here"),
    ],
)
async def test_what_is_wrong_gets_a_clean_answer(request_: bytes, status: int, text: bytes) -> None:
    async with running() as admin:
        answer = await admin.ask(request_)
        assert status_and_body(answer)[0] == status
        assert text in answer
        assert status_and_body(await admin.ask(GET % b"/healthz")) == (200, b"ok\n")


async def test_malformed_requests_are_counted_by_reason() -> None:
    async with running() as admin:
        await admin.ask(b"\x00")
        await admin.ask(b"GET /\r\n\r\n")
        await admin.ask(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 40_000)
        await admin.ask(GET % b"/healthz")
        told = admin.server.statistics()
        assert told.reasons == {"malformed": 2, "header_too_large": 1}
        assert told.statuses == {400: 2, 431: 1, 200: 1}
        assert told.accepted == 4


async def test_a_405_says_what_is_allowed_and_answers_are_not_cached() -> None:
    async with running() as admin:
        head = await admin.ask(b"DELETE /status HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"\r\nallow: GET, HEAD\r\n" in head.replace(b"Allow", b"allow")
        assert b"no-store" in head


async def test_an_action_is_posted_with_its_query_and_without_a_body() -> None:
    async with running() as admin:
        assert status_and_body(await admin.ask(POST % (b"/act?to=2", b"Content-Length: 0\r\n"))) == (200, b'{"to": "2"}\n')
        assert status_and_body(await admin.ask(POST % (b"/act", b""))) == (409, b"{}\n")
        assert b"\r\nallow: POST\r\n" in (await admin.ask(GET % b"/act")).replace(b"Allow", b"allow")
        assert b"/metrics /failing /large /act /failing-act" in await admin.ask(GET % b"/nothing")


async def test_a_connection_serves_many_requests_also_pipelined() -> None:
    async with running() as admin:
        answer = await admin.ask(GET % b"/healthz" + GET % b"/readyz" + GET % b"/nothing" + GET % b"/healthz")
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"404", b"200"]
        assert admin.server.statistics().accepted == 1


async def test_a_request_that_never_ends_is_ended(autojump_clock: object) -> None:  # noqa: ARG001 - in-memory time
    listener = trio.testing.memory_stream_pair()
    server = AdminServer({}, request_seconds=5.0)
    ours, theirs = listener
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server._connection, theirs)
        await ours.send_all(b"GET / HT")
        begin = trio.current_time()
        answer = b"".join([chunk async for chunk in ours])
    assert status_and_body(answer)[0] == 408
    assert trio.current_time() - begin <= 6.0
    assert server.statistics().reasons == {"timeout": 1}


async def test_an_idle_connection_is_closed_in_silence(autojump_clock: object) -> None:  # noqa: ARG001 - in-memory time
    ours, theirs = trio.testing.memory_stream_pair()
    server = AdminServer({}, request_seconds=5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server._connection, theirs)
        assert b"".join([chunk async for chunk in ours]) == b""
    assert server.statistics().reasons == {}


async def test_a_client_that_does_not_read_is_closed() -> None:
    async with running(request_seconds=0.2) as admin, await admin.dial() as stream:
        await stream.send_all(GET % b"/large?bytes=50000000")
        await admin.until(lambda told: bool(told.reasons))
        assert admin.server.statistics().reasons == {"timeout": 1}


async def test_connections_beyond_the_limit_are_closed_at_once_and_the_rest_lives() -> None:
    async with running(connections_max=2) as admin, await admin.dial() as first, await admin.dial():
        await first.send_all(GET % b"/healthz")
        assert b"200" in await first.receive_some()
        assert await admin.ask(b"") == b""
        await first.send_all(GET % b"/healthz")
        assert b"200" in await first.receive_some()
        assert admin.server.statistics().reasons == {"connections_max": 1}


async def test_a_client_that_resets_disturbs_nobody() -> None:
    async with running() as admin:
        for _ in range(20):
            stream = await admin.dial()
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            await stream.send_all(GET % b"/large?bytes=5000000")
            await trio.aclose_forcefully(stream)
        assert status_and_body(await admin.ask(GET % b"/healthz"))[0] == 200


async def test_running_out_of_descriptors_is_survived() -> None:
    async with running() as admin:
        stream = await admin.dial()
        await stream.send_all(GET % b"/healthz")
        assert b"200" in await stream.receive_some()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = trio.socket.socket()
        used = os.dup(0)
        os.close(used)
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            await waiting.connect(admin.address)
            await admin.until(lambda told: "descriptors" in told.reasons)
            await stream.send_all(GET % b"/healthz")
            assert b"200" in await stream.receive_some()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await admin.until(lambda told: told.accepted == 2)
        await waiting.send(GET % b"/healthz")
        assert b"200" in await waiting.recv(1000)
        waiting.close()
        await stream.aclose()
        assert admin.server.statistics().reasons == {"descriptors": 1}


async def test_noise_is_answered_or_closed_and_never_our_failure() -> None:
    noise = random.Random(7)
    words = [b"GET ", b"/status ", b"HTTP/1.1", b"\r\n", b"Host: h", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"\0\xff", b":", b"TSK1"]
    server = AdminServer(admin_routes(status=dict, ready=list, metrics=str))
    async with trio.open_nursery() as nursery:
        for _ in range(500):
            ours, theirs = trio.testing.memory_stream_pair()
            await ours.send_all(b"".join(noise.choices(words, k=noise.randrange(12))) + noise.randbytes(noise.randrange(40)))
            await ours.send_eof()
            nursery.start_soon(server._connection, theirs)
    assert "internal" not in server.statistics().reasons
    assert server.statistics().connections == 0


async def test_serve_admin_gives_its_server_and_closes_its_listeners() -> None:
    listening = open_socket("127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))

        async def serve(task_status: trio.TaskStatus[AdminServer]) -> None:
            await serve_admin([listener], status=dict, ready=list, metrics=str, task_status=task_status)

        server: AdminServer = await nursery.start(serve)
        assert set(server.routes) == {"/healthz", "/readyz", "/status", "/metrics"}
        nursery.cancel_scope.cancel()
    assert listening.fileno() == -1 or listener.socket.fileno() == -1


async def test_a_parameter_that_a_page_does_not_know_is_named_and_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    acted: list[object] = []
    async with running(parameters={"/act": frozenset({"to", "by"}), "/large": frozenset()}) as admin:
        monkeypatch.setitem(admin.server.actions, "/act", lambda query: json_page(acted.append(query)))  # type: ignore[func-returns-value]
        answer = await admin.ask(b"POST /act?to=1&bogus=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (*status_and_body(answer), acted) == (400, b"bogus: no such parameter; /act takes by, to\n", [])
        assert status_and_body(await admin.ask(b"GET /large?x HTTP/1.1\r\nHost: h\r\n\r\n")) == (400, b"x: no such parameter; /large takes none\n")
        assert status_and_body(await admin.ask(b"POST /act?to=1 HTTP/1.1\r\nHost: h\r\n\r\n"))[0] == 200
        assert status_and_body(await admin.ask(b"GET /healthz?at=noon HTTP/1.1\r\nHost: h\r\n\r\n"))[0] == 200, "which looks at nothing"
        assert acted == [{"to": "1"}]
