"""What bad input gets: its link closed with a named reason that is counted, and nothing else notices."""

from __future__ import annotations

import resource
import socket
import struct
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

import triskele
from replica.config import Settings
from replica.core import messages as m
from replica.hello import Hello, encode_hello
from replica.storage.disk import OsDisk
from replica.storage.snapshots import snapshot_indexes
from replica.wire import encode
from tests.loopback.conftest import addresses_of, counters_of, resident, status_of
from tests.loopback.connections import descriptors_of, greeted
from tests.loopback.garbage import BAD_HELLOS, BAD_PAYLOADS, GREETED, NATIVE, PREAMBLE, REASONS, framed, hello
from tests.triskele.conftest import Said
from triskele.cluster import local_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from replica.cluster_file import ClusterFile

LIMITED = """
import resource, runpy, sys
allowed = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
sys.argv[0] = "triskele"
runpy.run_module("triskele", run_name="__main__")
"""


def dial(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=5)


def closes(address: str, *parts: bytes) -> bool:
    """Send, each part when something was answered to the one before, and wait until the other side closes; True if it did within 5 s."""
    with dial(address) as link:
        try:
            for part in parts[:-1]:
                link.sendall(part)
                assert link.recv(65536)
            link.sendall(parts[-1])
            while link.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass  # closed before it had read everything
    return True


async def until(found: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what only the replica's own pages tell."""
    with trio.fail_after(seconds):
        while not await trio.to_thread.run_sync(found):  # noqa: ASYNC110 - asked from outside
            await trio.sleep(0.02)


@asynccontextmanager
async def closed_by(file: ClusterFile, replica: int, reason: str, count: int = 1) -> AsyncIterator[None]:
    """Wait at the end of the block until a replica has closed so many links for this very reason since its beginning."""

    def closed() -> int:
        return int(counters_of(file, replica)["links_closed"].get(reason, 0))

    before = closed()
    yield
    await until(lambda: closed() >= before + count)
    assert closed() == before + count


async def test_garbage_on_the_native_port_closes_its_own_link_by_name(whole: ClusterFile) -> None:
    async with triskele.connect(addresses_of(whole)) as store:
        for what, parts in NATIVE.items():
            async with closed_by(whole, 0, REASONS.get(what, what.split()[0])):
                assert await trio.to_thread.run_sync(closes, whole.replica(0).address, *parts), what
            await store.put(what.encode(), b"still here")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library's client leaves its socket to the collector
async def test_the_same_garbage_on_the_websocket_port_closes_its_own_link_by_name(whole: ClusterFile) -> None:
    async def refused(reason: str, *messages: str | bytes) -> None:
        with trio.fail_after(10):
            async with closed_by(whole, 1, reason), trio_websocket.open_websocket_url(whole.replica(1).websocket) as link:
                for message in messages:
                    await link.send_message(message)
                with pytest.raises(trio_websocket.ConnectionClosed):
                    while True:
                        await link.get_message()

    async with triskele.connect(",".join(whole.addresses("websocket"))) as store:
        for what, payload in BAD_HELLOS.items():
            await refused(REASONS[what], payload)
        for what, payload in BAD_PAYLOADS.items():
            await refused(REASONS.get(what, what), hello(), payload)
            await store.put(b"k", b"still here")
        await refused("text_message", "text")


async def test_what_is_no_websocket_closes_its_own_connection_by_name(whole: ClusterFile) -> None:
    address = whole.replica(0).websocket.removeprefix("ws://").rstrip("/")
    for data in (b"\xff" * 1000 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000):
        async with closed_by(whole, 0, "bad_websocket_handshake"):
            assert await trio.to_thread.run_sync(closes, address, data)
    async with closed_by(whole, 0, "handshake_timeout"):  # the native protocol has no end of a line: more might come
        assert await trio.to_thread.run_sync(closes, address, PREAMBLE + framed(hello()))
    async with triskele.connect(",".join(whole.addresses("websocket"))) as store:
        await store.put(b"k", b"v")


async def test_a_stranger_who_says_it_is_a_replica_is_refused_by_name(whole: ClusterFile) -> None:
    known = {"cluster_id": whole.cluster_id, "mode": "ho", "role": "replica", "voters": (0, 1, 2)}
    for changes, why in (({"id": 7}, "unknown_replica"), ({"id": 1, "voters": (0, 1, 9)}, "wrong_voters"), ({"id": 0}, "own_id")):
        data = PREAMBLE + framed(hello(**{**known, "config": 1, **changes}))
        async with closed_by(whole, 0, f"handshake_refused:{why}"):
            assert await trio.to_thread.run_sync(closes, whole.replica(0).address, data)


async def test_an_empty_replica_does_not_come_back_under_its_id(whole: ClusterFile) -> None:
    """It has forgotten what it acknowledged; the others keep it out, by name."""
    again = Hello(cluster_id=str(whole.cluster_id), mode="ho", role="replica", id=2, incarnation=1, config=1, voters=(0, 1, 2))
    async with closed_by(whole, 1, "handshake_refused:forgotten_state"):
        assert await trio.to_thread.run_sync(closes, whole.replica(1).address, PREAMBLE + framed(encode_hello(again)))


async def test_a_truncated_frame_is_counted_when_its_link_ends(whole: ClusterFile) -> None:
    async with closed_by(whole, 0, "truncated"):
        with dial(whole.replica(0).address) as link:
            link.sendall(GREETED + struct.pack("<II", 100, 0) + b"only a part")
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass


async def test_who_never_says_hello_is_closed_by_name(whole: ClusterFile) -> None:
    for address in (whole.replica(2).address, whole.replica(2).websocket.removeprefix("ws://").rstrip("/")):
        async with closed_by(whole, 2, "handshake_timeout", 50):
            silent = [dial(address) for _ in range(50)]
        for link in silent:
            link.close()


async def test_a_request_bomb_on_the_admin_port_is_refused_and_the_next_one_served(whole: ClusterFile) -> None:
    admin = whole.replica(0).admin.removeprefix("http://")
    assert await trio.to_thread.run_sync(closes, admin, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000)
    assert await trio.to_thread.run_sync(closes, admin, b"\0\0\0\0 nonsense\r\n\r\n")
    assert status_of(whole, 0)["role"] == "leader"


async def test_a_peers_message_from_a_client_is_refused_by_name(whole: ClusterFile) -> None:
    accept = m.Accept(1, 1, 0, 0, 5, 1, [])
    with dial(whole.replica(1).address) as link:
        link.sendall(GREETED + framed(encode(0, [accept, m.Ping(7)])))
        link.recv(4)
        await until(lambda: counters_of(whole, 1)["drops"].get("unexpected_Accept") == 1)


async def test_keys_and_values_over_their_limits_are_refused_with_the_limit(whole: ClusterFile) -> None:
    async with triskele.connect(addresses_of(whole)) as store:
        with pytest.raises(triskele.Refused, match="4096"):
            await store.put(b"k" * 4097, b"v")
        with pytest.raises(triskele.Refused, match="1048576"):
            await store.put(b"k", b"v" * (1 << 20) + b"v")
        await store.put(b"k" * 4096, b"v" * (1 << 20))
        assert await store.get(b"k" * 4096) == b"v" * (1 << 20)


async def test_memory_stays_bounded_under_a_flood_of_garbage_connections(whole: ClusterFile) -> None:
    kinds = [parts for parts in NATIVE.values() if len(parts) == 1]

    def flood(count: int) -> None:
        address = whole.replica(1).address
        for number in range(count):
            closes(address, *kinds[number % len(kinds)])

    await trio.to_thread.run_sync(flood, 300)  # what the first ones leave behind is not what grows
    before = resident(whole, 1)
    await trio.to_thread.run_sync(flood, 1500)
    # Frames announced and never sent cost nothing either.
    announced = [greeted(whole.replica(1).address) for _ in range(100)]
    for link in announced:
        link.sendall(struct.pack("<II", 16 << 20, 0) + b"a little")
    async with triskele.connect(addresses_of(whole)) as store:
        await store.put(b"k", b"v")
    assert resident(whole, 1) - before < 16 << 20
    async with closed_by(whole, 1, "truncated", len(announced)):  # they were all there
        for link in announced:
            link.shutdown(socket.SHUT_WR)
    for link in announced:
        link.close()


async def test_running_out_of_descriptors_is_survived() -> None:
    """Connections wait in the backlog; those that are there go on, and new ones come in when others leave."""
    said = Said()
    async with local_cluster(3, Settings(), say=said, restarts=None) as running:
        place, pid = running.file.replica(1), running.children[1].pid
        for address in (place.address, place.websocket.removeprefix("ws://").rstrip("/")):
            async with triskele.connect(addresses_of(running.file)) as store:
                await store.put(b"k", b"before")
                _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors_of(pid) + 5, hard))
                crowd = [dial(address) for _ in range(30)]
                await said.until(f"cannot accept on port {address.rpartition(':')[2]}")
                await store.put(b"k", b"crowded")
                assert await store.get(b"k") == b"crowded"
                for link in crowd:
                    link.close()
        (await trio.to_thread.run_sync(greeted, place.address)).close()
        assert (running.alive, running.children[1].pid) == ([0, 1, 2], pid)


async def test_a_crowd_of_connections_leaves_a_replica_the_descriptors_for_its_disk() -> None:
    """Fewer are allowed than the crowd wants; each snapshot and each segment of the log needs one all the same."""
    program = [sys.executable, "-c", LIMITED, "200", "replica"]
    settings = Settings().changed("here", log_on_disk_bytes_max=1 << 20, handshake_seconds=60.0)
    async with local_cluster(1, settings, restarts=None, say=lambda _line: None, program=program) as running:
        place = running.file.replica(0)
        async with triskele.connect(place.address) as store:
            await store.put(b"k", b"before")
            crowd = [dial(at) for at in (place.address, place.websocket.removeprefix("ws://").rstrip("/")) for _ in range(150)]
            await until(lambda: counters_of(running.file, 0)["links_closed"].get("too_many_connections", 0) > 100)
            snapshots = newest_snapshot(place.data_dir)
            for number in range(4):
                await store.put(b"k", bytes([number]) * (1 << 19))
            await until(lambda: newest_snapshot(place.data_dir) > snapshots)
            assert await store.get(b"k") == bytes([3]) * (1 << 19)
            for link in crowd:
                link.close()
        assert len(running.alive) == 1


def newest_snapshot(data_dir: str) -> int:
    return max(snapshot_indexes(OsDisk(Path(data_dir))), default=0)
