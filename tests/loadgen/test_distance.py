"""Places that are apart hear each other late; the clients' home does not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest
import trio

from loadgen import cli
from loadgen.distance import HOME, apart
from loadgen.runner import LoadFailed
from loadgen.settings import add_load_flags, load_settings
from replica.cluster_file import ClusterFile, ReplicaPlace

if TYPE_CHECKING:
    from pathlib import Path

DELAY_SECONDS = 0.03


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def round_trip(address: str) -> float:
    """Return the seconds of a round trip over a connection that is open."""
    host, port = address.rsplit(":", 1)
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"x")
        assert await stream.receive_some(1) == b"x"
        begun = trio.current_time()
        await stream.send_all(b"y")
        assert await stream.receive_some(1) == b"y"
        return trio.current_time() - begun


async def test_a_round_trip_takes_the_delay_twice_but_to_the_home() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            listeners = [(await nursery.start(trio.serve_tcp, echo, 0))[0] for _ in range(3)]
            addresses = [f"127.0.0.1:{listener.socket.getsockname()[1]}" for listener in listeners]
            places = tuple(ReplicaPlace(id=number, address=address, websocket="", admin="") for number, address in enumerate(addresses))
            async with apart(DELAY_SECONDS, 3) as proxies:
                await proxies.seen_by(ClusterFile(cluster_id="c", mode="ho", durability="memory", replicas=places))
                seen = proxies.clients.addresses()
                assert [number for number in range(3) if seen[number] == addresses[number]] == [HOME]
                assert await round_trip(seen[0]) >= 2 * DELAY_SECONDS
                assert await round_trip(seen[2]) >= 2 * DELAY_SECONDS
            with pytest.raises(OSError, match=r".*"):
                await round_trip(seen[0])  # the proxies end with the block
            nursery.cancel_scope.cancel()


async def test_what_fails_meanwhile_comes_out_as_it_is() -> None:
    with pytest.raises(LoadFailed, match="no leader"):
        async with apart(DELAY_SECONDS, 3):
            raise LoadFailed("no leader")


async def test_strong_commands_of_a_cluster_take_a_long_round_trip_and_causal_ones_do_not(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_load_flags(parser)
    words = "--local 3 --durability memory --delay-ms 30 --clients 1 --threads 2 --pendings 2 --operations 100 --warmup-seconds 0.5 --quiet"
    settings, cluster_settings = load_settings(parser.parse_args(words.split()), {})
    with trio.fail_after(60):
        result = await cli.measure(settings, cluster_settings, tmp_path)
    assert (result["failed"], result["unknown"], result["settings"]["delay_ms"]) == (0, 0, 30.0)
    strong, causal = result["latency_ms"]["strong"], result["latency_ms"]["causal"]
    assert strong["p50"] >= 60.0
    assert causal["p50"] < strong["p50"] / 2
