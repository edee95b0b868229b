"""Listening, accepting and connecting say which address is in trouble, and survive running out of descriptors."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from transport.errors import AddressInUse, DialFailed, TransportError
from transport.sockets import SILENCE_SECONDS, connect_to, listen_on, name_of

if TYPE_CHECKING:
    from transport.sockets import Listener


def assert_silence_ends_it(sock: socket.socket) -> None:
    """Idle or with data under way: where nobody acknowledges any more, the kernel closes the connection in time."""
    idle, pause, probes = (sock.getsockopt(socket.IPPROTO_TCP, option) for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT))
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert 0 < idle + pause * probes <= SILENCE_SECONDS
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE_SECONDS * 1000


async def test_a_free_port_is_bound_and_told() -> None:
    listener = await listen_on("127.0.0.1", 0)
    assert listener.host == "127.0.0.1"
    assert listener.port > 0
    with await connect_to("127.0.0.1", listener.port) as near:
        far, name = await listener.accept()
        with far:
            assert name == name_of(near.getsockname())
            for sock in (near, far):
                assert not sock.getblocking()
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert_silence_ends_it(sock)
    listener.close()


async def test_a_port_in_use_is_named() -> None:
    listener = await listen_on("127.0.0.1", 0)
    with pytest.raises(AddressInUse, match=f"127.0.0.1:{listener.port} is in use"):
        await listen_on("127.0.0.1", listener.port)
    listener.close()


async def test_a_port_can_be_taken_again_at_once() -> None:
    """The connections of a former life (TIME_WAIT) do not matter."""
    listener = await listen_on("127.0.0.1", 0)
    near = await connect_to("127.0.0.1", listener.port)
    far, _ = await listener.accept()
    far.close()  # the side that closes first is the one that waits
    near.close()
    listener.close()
    (await listen_on("127.0.0.1", listener.port)).close()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 1), ("a..b", 1)])
async def test_an_address_that_is_not_ours_is_named(host: str, port: int) -> None:
    with pytest.raises(TransportError, match=f"{host}:{port}") as caught:
        await listen_on(host, port)
    assert caught.value.reason == "bad_listen_address"


async def test_nobody_at_the_address_is_named() -> None:
    listener = await listen_on("127.0.0.1", 0)
    listener.close()
    with pytest.raises(DialFailed, match=f"cannot reach 127.0.0.1:{listener.port}"):
        await connect_to("127.0.0.1", listener.port)
    for host in ("no such host", "a..b", "x" * 64, "\udc80"):
        with pytest.raises(DialFailed, match=f"cannot resolve {host}:1"):
            await connect_to(host, 1)


async def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = await listen_on("127.0.0.1", 0)

    async def two_addresses(*_: object, **__: object) -> list[object]:
        await trio.lowlevel.checkpoint()
        good = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", listener.port))
        return [(-1, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)), (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)), good]

    monkeypatch.setattr(trio.socket, "getaddrinfo", two_addresses)
    (await connect_to("two.addresses", listener.port)).close()
    listener.close()


async def test_cancelling_a_connect_leaves_no_socket() -> None:
    """Leaving one would fail this test with a ResourceWarning."""
    listener = await listen_on("127.0.0.1", 0)
    with trio.CancelScope() as scope:
        scope.cancel()
        await connect_to("127.0.0.1", listener.port)
    assert scope.cancelled_caught
    listener.close()


class AcceptFails:
    """A listening socket that fails for these reasons before it accepts."""

    def __init__(self, listener: Listener, *errors: int) -> None:
        self._sock = listener._sock
        self._errors = list(errors)

    async def accept(self) -> object:
        if self._errors:
            raise OSError(self._errors.pop(0), "no luck")
        return await self._sock.accept()

    def close(self) -> None:
        self._sock.close()


async def test_running_out_of_descriptors_only_delays_accepting(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("transport.sockets.ACCEPT_RETRY_SECONDS", 0.001)
    listener = await listen_on("127.0.0.1", 0)
    listener._sock = AcceptFails(listener, errno.EMFILE, errno.ENFILE, errno.ECONNABORTED)  # type: ignore[assignment]
    with await connect_to("127.0.0.1", listener.port):
        far, _ = await listener.accept()
        far.close()
    assert listener.accept_errors == 2
    assert len(caplog.records) == 1
    listener.close()


async def test_a_broken_listening_socket_is_not_retried() -> None:
    listener = await listen_on("127.0.0.1", 0)
    failing = AcceptFails(listener, errno.EBADF)
    listener._sock = failing  # type: ignore[assignment]
    with pytest.raises(OSError, match="no luck"):
        await listener.accept()
    listener.close()


MISSING_OPTION = 10_000
"""A number that is no option of TCP's."""


async def test_a_connection_whose_options_the_kernel_refuses_is_closed_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listener = await listen_on("127.0.0.1", 0)
    nears = [await connect_to("127.0.0.1", listener.port) for _ in range(2)]
    monkeypatch.setattr(socket, "TCP_USER_TIMEOUT", MISSING_OPTION)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.accept)
            for near in nears:
                await trio.lowlevel.wait_readable(near)
                assert near.recv(1) == b""
            scope.cancel()
    assert listener.option_errors == 2
    [record] = caplog.records
    assert f"to port {listener.port}: cannot set its options: " in record.getMessage()
    assert "Protocol not available" in record.getMessage()
    monkeypatch.undo()
    nears.append(await connect_to("127.0.0.1", listener.port))
    nears.append((await listener.accept())[0])
    for near in nears:
        near.close()
    listener.close()


async def test_a_dial_whose_options_the_kernel_refuses_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = await listen_on("127.0.0.1", 0)
    monkeypatch.setattr(socket, "TCP_USER_TIMEOUT", MISSING_OPTION)
    with pytest.raises(DialFailed, match="Protocol not available"):
        await connect_to("127.0.0.1", listener.port)
    listener.close()


def test_addresses_are_written_as_users_do() -> None:
    assert name_of(("127.0.0.1", 1)) == "127.0.0.1:1"
    assert name_of(("::1", 1, 0, 0)) == "[::1]:1"
