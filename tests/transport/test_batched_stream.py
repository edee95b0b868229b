"""What is written in pieces leaves together; the stream never blocks a writer and says why it broke."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
import trio

from tests.transport.link_pairs import connected_sockets
from transport.batched_stream import HANDLING_SECONDS, PIECE_BYTES_MIN, RECEIVE_BYTES, BatchedStream

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ends:
    def __init__(self, limit: int = 1_000_000) -> None:
        near, self.far = connected_sockets()
        self.told: list[str] = []
        self.stream = BatchedStream(near, limit, lambda: self.told.append("blocked"), lambda: self.told.append("end"))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.far.close()


async def test_corked_pieces_leave_in_one_send(ends: Ends) -> None:
    ends.stream.corked = True
    for piece in (b"one ", b"two ", b"three"):
        await ends.stream.send_all(piece)
    with pytest.raises(BlockingIOError):
        ends.far.recv(100)
    ends.stream.corked = False
    ends.stream.flush()
    assert ends.far.recv(100) == b"one two three"
    assert ends.stream.sends == 1
    assert ends.stream.messages_per_send[2] == 1
    await ends.stream.aclose()


async def test_uncorked_pieces_leave_at_once(ends: Ends) -> None:
    await ends.stream.wait_send_all_might_not_block()
    await ends.stream.send_all(b"pong")
    assert ends.far.recv(100) == b"pong"
    ends.stream.close()


async def test_what_a_full_socket_refuses_is_drained_later(ends: Ends) -> None:
    big = Ends(limit=10_000_000)
    data = bytes(8_000_000)
    await big.stream.send_all(data)
    assert big.told == ["blocked"]
    received = bytearray()

    async def read() -> None:
        while len(received) < len(data):
            await trio.lowlevel.wait_readable(big.far)
            received.extend(big.far.recv(1 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await big.stream.drain()
    assert len(received) == len(data)
    assert big.stream.queued_bytes == 0
    big.stream.close()
    big.far.close()
    ends.stream.close()


async def test_a_queue_over_its_limit_breaks_the_stream(ends: Ends) -> None:
    ends.stream.corked = True
    with pytest.raises(trio.BrokenResourceError, match="out_queue_full"):
        await ends.stream.send_all(bytes(1_000_001))
    assert ends.told == ["end"]
    with pytest.raises(trio.BrokenResourceError):
        await ends.stream.receive_some()
    ends.stream.close()


async def test_receiving_waits_and_takes_what_is_there(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.batched_stream.monotonic", lambda: 0.0)  # handling takes no time
    ends.far.send(b"hello")
    assert await ends.stream.receive_some(1) == b"hello"
    ends.far.send(bytes(RECEIVE_BYTES + 10))
    await trio.sleep(0.01)
    assert len(await ends.stream.receive_some()) == RECEIVE_BYTES
    waits = ends.stream.waits
    assert len(await ends.stream.receive_some()) == 10
    assert ends.stream.waits == waits  # a full buffer promised more
    ends.stream.close()


async def test_the_end_is_told_and_is_not_an_error(ends: Ends) -> None:
    ends.far.close()
    assert await ends.stream.receive_some() == b""
    assert (ends.stream.broken, ends.told) == ("closed_by_peer", ["end"])
    ends.stream.close()


async def test_a_reset_is_told(ends: Ends) -> None:
    ends.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.far.close()
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await ends.stream.receive_some()
    assert ends.stream.error == "Connection reset by peer"
    ends.stream.close()


async def test_sending_after_a_reset_is_told(ends: Ends) -> None:
    ends.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.far.close()
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await ends.stream.send_all(b"x")
    assert ends.stream.error in {"Connection reset by peer", "Broken pipe"}
    ends.stream.close()


async def test_more_bytes_than_allowed_break_the_stream(ends: Ends) -> None:
    ends.stream.bytes_in_max = 100
    ends.far.send(bytes(100))
    await ends.stream.receive_some()
    ends.far.send(b"x")
    with pytest.raises(trio.BrokenResourceError, match="frame_too_large"):
        await ends.stream.receive_some()
    ends.stream.close()


async def test_closing_wakes_who_waits(ends: Ends) -> None:
    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await ends.stream.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await ends.stream.aclose()
    await ends.stream.aclose()
    assert ends.told == ["end"]
    with pytest.raises(trio.ClosedResourceError):
        await ends.stream.send_all(b"late")


async def test_what_takes_long_to_handle_comes_in_smaller_pieces_and_others_run_in_between(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    now, others = 0.0, 0
    monkeypatch.setattr("transport.batched_stream.monotonic", lambda: now)

    async def run_too() -> None:
        nonlocal others
        while True:
            await trio.lowlevel.checkpoint()
            others += 1

    assert ends.far.send(bytes(3 * RECEIVE_BYTES)) == 3 * RECEIVE_BYTES
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_too)
        while not others:
            await trio.lowlevel.checkpoint()
        before, seen = len(await ends.stream.receive_some()), others
        for _ in range(10):
            now += 2 * HANDLING_SECONDS
            size = len(await ends.stream.receive_some())
            assert size <= max(before, PIECE_BYTES_MIN)
            before = size
        assert before == PIECE_BYTES_MIN
        assert others >= seen + 9  # once a piece; who of those that are ready runs first is Trio's dice
        grown = [len(await ends.stream.receive_some()) for _ in range(3)]
        assert grown == [2 * PIECE_BYTES_MIN, 4 * PIECE_BYTES_MIN, 8 * PIECE_BYTES_MIN]
        nursery.cancel_scope.cancel()
    ends.stream.close()
