"""What bad input gets: its link closed with a named reason that is counted, and nothing else notices."""

from __future__ import annotations

import socket
import struct
import zlib
from typing import TYPE_CHECKING

import cbor2
import pytest
import trio
import trio_websocket

import triskele
from replica.core import messages as m
from replica.hello import Hello, encode_hello
from replica.wire import encode
from tests.loopback.conftest import addresses_of, status_of

if TYPE_CHECKING:
    from triskele.cluster import LocalCluster

PREAMBLE = b"TSK1"


def framed(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def hello(**changes: object) -> bytes:
    known: dict[str, object] = {"cluster_id": "", "mode": "", "role": "client", "id": 0, "incarnation": 0, "config": 0, "voters": ()}
    return encode_hello(Hello(**{**known, **changes}))  # type: ignore[arg-type]


GREETED = PREAMBLE + framed(hello())
NATIVE = {
    "bad_preamble": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad_checksum": PREAMBLE + struct.pack("<II", 3, 1) + b"abc",
    "frame_too_large": PREAMBLE + struct.pack("<II", 1 << 31, 0),
    "wrong_cluster": PREAMBLE + framed(hello(cluster_id="another")),
    "wrong_mode": PREAMBLE + framed(hello(mode="paxos")),
    "wrong_magic": PREAMBLE + framed(cbor2.dumps(["etcd", 1])),
    "wrong_version": PREAMBLE + framed(cbor2.dumps(["triskele", 99, "", "", "client", 0, 0, 0, []])),
    "unknown_replica": PREAMBLE + framed(hello(role="replica", id=7, cluster_id="?")),
    "unknown_tag": GREETED + framed(cbor2.dumps([0, [99, 1]])),
    "wrong_type": GREETED + framed(cbor2.dumps([0, [10, "nonce"]])),
    "malformed_cbor": GREETED + framed(b"\x9f\xff\x00"),
    "absurd_count": GREETED + framed(cbor2.dumps([0, [6, [1], [1], [1 << 40], [0], [b"k"]]])),
    "huge_declared_array": GREETED + framed(b"\x9b" + b"\xff" * 8),
}


def closes(address: str, data: bytes) -> bool:
    """Send and wait until the other side closes; True if it did within 5 s."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(data)
        try:
            while link.recv(65536):
                pass
        except ConnectionResetError:
            pass
    return True


async def test_garbage_on_the_native_port_closes_its_own_link_by_name(cluster: LocalCluster) -> None:
    leader = cluster.file.replica(0).address
    async with triskele.connect(addresses_of(cluster)) as store:
        for what, data in NATIVE.items():
            if what == "unknown_replica":
                data = PREAMBLE + framed(hello(role="replica", id=7, cluster_id=cluster.file.cluster_id, mode="ho", voters=(0, 1, 2)))  # noqa: PLW2901
            assert await trio.to_thread.run_sync(closes, leader, data), what
            await store.put(what.encode(), b"still here")
    closed = status_of(cluster, 0)["counters"]["links_closed"]
    for reason in ("bad_preamble", "bad_checksum", "frame_too_large", "unknown_tag", "wrong_type"):
        assert closed.get(reason), (reason, closed)
    for reason in ("wrong_cluster", "wrong_mode", "wrong_magic", "wrong_version", "unknown_replica"):
        assert any(reason in name for name in closed), (reason, closed)


async def test_a_truncated_frame_is_counted_when_its_link_ends(cluster: LocalCluster) -> None:
    host, port = cluster.file.replica(0).address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(GREETED + struct.pack("<II", 100, 0) + b"only a part")
        link.shutdown(socket.SHUT_WR)
        while link.recv(65536):
            pass
    with trio.fail_after(5):
        while "truncated" not in status_of(cluster, 0)["counters"]["links_closed"]:
            await trio.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library's client leaves its socket to the collector
@pytest.mark.parametrize("message", ["text", b"\xff\xff", cbor2.dumps({"a": 1})])
async def test_garbage_on_the_websocket_port_closes_its_own_link(cluster: LocalCluster, message: str | bytes) -> None:
    place = cluster.file.replica(0)
    with trio.fail_after(10):
        async with trio_websocket.open_websocket_url(place.websocket) as socket_:
            await socket_.send_message(message)
            with pytest.raises(trio_websocket.ConnectionClosed):
                while True:
                    await socket_.get_message()
        async with triskele.connect(addresses_of(cluster)) as store:
            await store.put(b"k", b"v")


async def test_a_request_bomb_on_the_admin_port_is_refused_and_the_next_one_served(cluster: LocalCluster) -> None:
    admin = cluster.file.replica(0).admin.removeprefix("http://")
    assert await trio.to_thread.run_sync(closes, admin, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000)
    assert await trio.to_thread.run_sync(closes, admin, b"\0\0\0\0 nonsense\r\n\r\n")
    assert status_of(cluster, 0)["role"] == "leader"


async def test_a_peers_message_from_a_client_is_refused_by_name(cluster: LocalCluster) -> None:
    accept = m.Accept(1, 1, 0, 0, 5, 1, [])
    host, port = cluster.file.replica(1).address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(GREETED + framed(encode(0, [accept, m.Ping(7)])))
        link.recv(4)
        with trio.fail_after(5):
            while not status_of(cluster, 1)["counters"]["drops"]:
                await trio.sleep(0.01)
    assert status_of(cluster, 1)["counters"]["drops"] == {"unexpected_Accept": 1}


async def test_keys_and_values_over_their_limits_are_refused_with_the_limit(cluster: LocalCluster) -> None:
    async with triskele.connect(addresses_of(cluster)) as store:
        with pytest.raises(triskele.Refused, match="4096"):
            await store.put(b"k" * 4097, b"v")
        with pytest.raises(triskele.Refused, match="1048576"):
            await store.put(b"k", b"v" * (1 << 20) + b"v")
        await store.put(b"k" * 4096, b"v" * (1 << 20))
        assert await store.get(b"k" * 4096) == b"v" * (1 << 20)
