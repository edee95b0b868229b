"""The experiment of ``wan`` itself, short: its numbers are those of the lines it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.chaos.proxy import Proxy
from tests.chaos.wan import LOAD, measure, verdict

if TYPE_CHECKING:
    from pathlib import Path

DELAY_SECONDS = 0.02


async def test_causal_commands_stay_near_and_strong_ones_take_one_long_round_trip(tmp_path: Path) -> None:
    with trio.fail_after(60):
        result = await measure(DELAY_SECONDS, [*LOAD, "--seconds", "2", "--warmup-seconds", "1", "--quiet"], tmp_path)
    assert result["failed"] == result["unknown"] == 0
    causal, strong = verdict(result, DELAY_SECONDS)
    assert causal < 0.5, causal
    assert 0.9 < strong < 1.7, strong


async def test_the_proxy_delays_each_way_and_keeps_the_order_and_the_end() -> None:
    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        port = listeners[0].socket.getsockname()[1]
        near = await nursery.start(Proxy("127.0.0.1", port, 0.05).serve)
        with trio.fail_after(10):
            stream = await trio.open_tcp_stream("127.0.0.1", near)
            begun = trio.current_time()
            await stream.send_all(bytes(range(256)))
            await stream.send_all(b"end")
            await stream.send_eof()
            received = b"".join([data async for data in stream])
        assert received == bytes(range(256)) + b"end"
        assert trio.current_time() - begun >= 0.1
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_the_proxy_closes_who_it_cannot_connect() -> None:
    async with trio.open_nursery() as nursery:
        near = await nursery.start(Proxy("127.0.0.1", 1, 0.0).serve)
        with trio.fail_after(10):
            async with await trio.open_tcp_stream("127.0.0.1", near) as stream:
                assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()
