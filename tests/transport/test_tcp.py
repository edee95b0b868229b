"""The native link: bursts, budgets, full sockets, and the ends a socket can come to."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.transport.link_pairs import End, connected_sockets, open_pair
from transport.adaptive import SMOOTHING, AdaptivePolicy
from transport.batch import TurnPolicy
from transport.frame import PREAMBLE, encode
from transport.limits import Limits
from transport.tcp import RECEIVE_BYTES, TcpLink

if TYPE_CHECKING:
    from collections.abc import Iterator


def framed(payload: bytes) -> bytes:
    return b"".join(encode([payload]))


@pytest.fixture
def raw() -> Iterator[tuple[End, TcpLink, socket.socket]]:
    """A link without a running hub, to be driven by hand, and the bare socket at its other end."""
    near, far = connected_sockets()
    end = End()
    end.link = link = TcpLink(
        near, "link", end.hub, end.on_frames, end.on_closed, TurnPolicy(), Limits(burst_bytes_max=4 * RECEIVE_BYTES, burst_frames_max=10)
    )
    far.setblocking(True)
    far.settimeout(5)
    try:
        yield end, link, far
    finally:
        far.close()
        link.abort("test over")
        end.hub.close()


Raw = tuple[End, TcpLink, socket.socket]


async def test_one_receive_takes_all_frames_that_are_there(raw: Raw) -> None:
    end, link, far = raw
    far.sendall(PREAMBLE + framed(b"one") + framed(b"two") + framed(b"three")[:-1])
    link.on_readable()
    assert end.bursts == [2]
    assert link.receives == 1
    far.sendall(b"e")
    link.on_readable()
    assert end.frames == [b"one", b"two", b"three"]


async def test_a_burst_reads_on_while_the_buffer_comes_back_full(raw: Raw) -> None:
    end, link, far = raw
    far.sendall(PREAMBLE + framed(bytes(2 * RECEIVE_BYTES + 1000)))
    await trio.sleep(0.01)
    link.on_readable()
    assert end.frames == [bytes(2 * RECEIVE_BYTES + 1000)]
    assert link.receives == 3
    assert link.empty_receives == 0


async def test_a_burst_ends_at_its_budget_of_bytes(raw: Raw) -> None:
    end, link, far = raw
    frame = bytes(RECEIVE_BYTES // 2)
    data = PREAMBLE + framed(frame) * 12
    far.setblocking(False)
    sent = far.send(data)
    assert sent > 5 * RECEIVE_BYTES
    bursts = []
    while link.bytes_in < sent:
        before = link.bytes_in
        link.on_readable()
        bursts.append(link.bytes_in - before)
    assert max(bursts) <= 4 * RECEIVE_BYTES
    assert set(end.frames) == {frame}


async def test_a_turn_takes_its_budget_of_frames_and_the_rest_waits_in_order() -> None:
    limits = Limits(burst_frames_max=10)
    frames = [b"%d" % n for n in range(95)]
    async with open_pair("native", limits=limits) as pair:
        for frame in frames:
            pair.left.link.send([frame])
        pair.left.link.flush()
        assert await pair.right.until_frames(95) == frames
        assert max(pair.right.bursts) == 10
        assert pair.right.turns.ended >= 10


async def test_a_backlog_waits_while_reading_is_paused() -> None:
    async with open_pair("native", limits=Limits(burst_frames_max=10)) as pair:
        pair.right.on_burst = lambda _: pair.right.link.pause_reading()
        for n in range(35):
            pair.left.link.send([b"%d" % n])
        pair.left.link.flush()
        await pair.right.until_frames(10)
        await wait_all_tasks_blocked(0.01)
        assert len(pair.right.frames) == 10
        pair.right.link.resume_reading()
        await pair.right.until_frames(20)
        pair.right.on_burst = lambda _: None
        pair.right.link.resume_reading()
        assert await pair.right.until_frames(35) == [b"%d" % n for n in range(35)]


async def test_frames_before_garbage_are_handed_up(raw: Raw) -> None:
    end, link, far = raw
    far.sendall(PREAMBLE + framed(b"fine") + struct.pack("<II", 1, 0) + b"x")
    link.on_readable()
    assert (end.frames, end.closed) == ([b"fine"], ["bad_checksum"])


async def test_garbage_in_a_long_burst_keeps_the_frames_before_it(raw: Raw) -> None:
    end, link, far = raw
    large = bytes(RECEIVE_BYTES)
    far.sendall(PREAMBLE + framed(large) + framed(large) + struct.pack("<II", 1, 0) + b"x")
    await trio.sleep(0.01)
    link.on_readable()
    assert (end.frames, end.closed) == ([large, large], ["bad_checksum"])


async def test_a_spurious_wake_up_does_no_harm(raw: Raw) -> None:
    end, link, _ = raw
    link.on_readable()
    assert (end.frames, end.closed, link.empty_receives) == ([], [], 1)


async def test_a_reset_while_reading_is_named(raw: Raw) -> None:
    end, link, far = raw
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    link.on_readable()
    assert end.closed == ["reset"]
    assert link.ending == "reset: Connection reset by peer"


async def test_a_reset_behind_a_full_buffer_is_named(raw: Raw) -> None:
    """The system says it once, in the midst of a burst; what comes next looks like an orderly end."""
    end, link, far = raw
    payload = bytes(RECEIVE_BYTES - len(PREAMBLE + framed(b"")))
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.sendall(PREAMBLE + framed(payload))
    far.close()
    link.on_readable()
    assert end.frames == [payload]
    link.on_readable()
    assert end.closed == ["reset"]
    assert link.ending == "reset: Connection reset by peer"


async def test_a_reset_while_sending_is_named(raw: Raw) -> None:
    end, link, far = raw
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    link.send([b"into the void"])
    link.flush()
    assert end.closed == ["reset"]
    assert link.ending in {"reset: Connection reset by peer", "reset: Broken pipe"}


async def test_what_the_socket_does_not_take_goes_out_when_it_is_writable(raw: Raw) -> None:
    _, link, far = raw
    payload = bytes(8_000_000)
    link.send([payload])
    link.flush()
    assert 0 < link.queued_bytes < len(payload)
    sends = link.sends
    link.flush()  # blocked: not even tried
    assert link.sends == sends
    received = 0
    while received < len(PREAMBLE) + 8 + len(payload):
        received += len(far.recv(1 << 20))
        if link.queued_bytes:
            link.on_writable()
    assert link.queued_bytes == 0
    link.send([b"more"])
    link.flush()
    assert far.recv(100) == framed(b"more")


async def test_closing_a_blocked_link_does_not_try_again(raw: Raw) -> None:
    end, link, _ = raw
    link.send([bytes(8_000_000)])
    link.flush()
    sends = link.sends
    link.close("enough")
    assert (link.sends, end.closed) == (sends, ["enough"])


async def test_the_preamble_is_not_a_frame_in_the_statistics(raw: Raw) -> None:
    _, link, far = raw
    link.send([b"hello"], commands=2)
    link.flush()
    assert far.recv(100) == PREAMBLE + framed(b"hello")
    statistics = link.statistics()
    assert (statistics.frames_out, statistics.commands_out, statistics.bytes_out) == (1, 2, 17)
    assert statistics.frames_per_send[1] == sum(statistics.frames_per_send) == 1


async def test_a_peer_that_vanishes_is_noticed_though_reading_is_paused() -> None:
    async with open_pair("native") as pair:
        pair.left.link.send([b"up"])
        pair.left.link.flush()
        await pair.right.until_frames(1)
        pair.right.link.pause_reading()
        pair.left.link._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # type: ignore[attr-defined]
        pair.left.link.abort("killed")
        assert await pair.right.until_closed() == "reset"


async def test_a_link_tells_its_policy_of_its_sends() -> None:
    near, far = connected_sockets()
    end, policy = End(), AdaptivePolicy()
    end.link = link = TcpLink(near, "link", end.hub, end.on_frames, end.on_closed, policy, Limits())
    with far:
        link.flush()
        before = policy.gap_seconds
        for _ in range(100):
            link.send([b"frame"])
            link.flush()
        assert policy.gap_seconds < before
        link.abort("test over")
    end.hub.close()


async def test_a_link_that_would_not_hold_reads_the_clock_for_one_send_of_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = 0.0, 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now

    monkeypatch.setattr("transport.tcp.monotonic", clock)
    near, far = connected_sockets()
    end, policy = End(), AdaptivePolicy()
    end.link = link = TcpLink(near, "link", end.hub, end.on_frames, end.on_closed, policy, Limits())
    with far:
        link.flush()
        looks = 0
        for _ in range(10 * SMOOTHING):
            now += 0.001
            link.send([b"frame"])
            link.flush()
        assert looks == 10 * 4  # queued, asked for a hold, before the send, after it
        assert policy.gap_seconds == pytest.approx(0.001)
        for _ in range(3 * SMOOTHING):
            now += 0.00002
            link.send([b"frame"])
            link.flush()
        assert policy.gap_seconds == pytest.approx(0.00002)
        link.abort("test over")
    end.hub.close()


async def test_releasing_a_link_that_holds_nothing_or_is_blocked_sends_nothing(raw: Raw) -> None:
    _, link, _ = raw
    link.flush()
    assert link.sends == 1
    link.release()
    assert link.sends == 1
    while not link.blocked_sends:
        link.send([bytes(100_000)])
        link.flush()
    sends = link.sends
    link.release()
    assert link.sends == sends
