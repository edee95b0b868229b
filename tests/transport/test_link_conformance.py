"""What every link promises, whatever carries it (the list is in transport/link.py)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio

from tests.transport.link_pairs import KINDS, open_pair
from transport.batch import FixedPolicy
from transport.errors import LocalMisuse
from transport.frame import encode
from transport.limits import Limits

if TYPE_CHECKING:
    from tests.transport.link_pairs import End

pytestmark = pytest.mark.parametrize("kind", KINDS)
TIGHT = Limits(frame_bytes_max=20_000, hello_bytes_max=20_000, out_queue_bytes_max=100_000)


def payloads(seed: int, sizes: list[int]) -> list[bytes]:
    return [random.Random(seed + place).randbytes(size) for place, size in enumerate(sizes)]


def send_all(end: End, frames: list[bytes]) -> None:
    for frame in frames:
        assert end.link.send([frame])
    end.link.flush()


async def test_frames_arrive_whole_and_in_order_both_ways(kind: str) -> None:
    there = payloads(1, [1, 150, 0, 65_536, 100, 1_000_000, 3, 65_528, 16_384])
    back = payloads(2, [100] * 500)
    async with open_pair(kind) as pair:
        send_all(pair.left, there)
        send_all(pair.right, back)
        assert await pair.right.until_frames(len(there)) == there
        assert await pair.left.until_frames(len(back)) == back


async def test_parts_are_one_frame(kind: str) -> None:
    async with open_pair(kind) as pair:
        pair.left.link.send([b"one ", b"", b"frame"])
        pair.left.link.flush()
        assert await pair.right.until_frames(1) == [b"one frame"]


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_frame_encoded_once_goes_over_any_link(kind: str, size: int) -> None:
    payload = bytes(size)
    async with open_pair(kind) as pair:
        pair.left.link.send_encoded(encode([payload]))
        pair.left.link.flush()
        assert await pair.right.until_frames(1) == [payload]


async def test_partial_sends_and_full_sockets_lose_nothing(kind: str) -> None:
    frames = payloads(3, [200_000, 10, 70_000, 1, 30_000] * 8)
    async with open_pair(kind, small=True) as pair:
        send_all(pair.left, frames)
        assert await pair.right.until_frames(len(frames)) == frames
        statistics = pair.left.link.statistics()
        assert pair.left.link.queued_bytes == 0
        if kind != "memory":
            assert statistics.blocked > 0
        assert statistics.frames_out == len(frames)


async def test_nothing_leaves_before_the_flush(kind: str) -> None:
    async with open_pair(kind) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        pair.left.link.send([b"queued"])
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert pair.left.link.queued_bytes >= len(b"queued")
        assert pair.right.frames == [b"up"]


async def test_a_thousand_small_frames_leave_in_few_sends(kind: str) -> None:
    frames = payloads(4, [100] * 1000)
    async with open_pair(kind) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        before = pair.left.link.statistics()
        send_all(pair.left, frames)
        assert (await pair.right.until_frames(1001))[1:] == frames
        sent = pair.left.link.statistics() - before
        assert sent.frames_out == 1000
        assert sum(sent.frames_per_send) <= 3
        assert sent.syscalls.send <= 5


async def test_a_full_queue_drops_whole_frames_and_counts_them(kind: str) -> None:
    async with open_pair(kind, limits=TIGHT, small=True) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        pair.right.link.pause_reading()
        accepted: list[bytes] = []
        dropped = 0
        for frame in payloads(5, [9_000] * 400):
            if pair.left.link.send([frame]):
                accepted.append(frame)
            else:
                dropped += 1
            pair.left.link.flush()
            assert pair.left.link.queued_bytes <= TIGHT.out_queue_bytes_max + TIGHT.frame_bytes_max
            await trio.lowlevel.checkpoint()
        assert dropped > 0
        assert pair.left.link.dropped == dropped
        pair.right.link.resume_reading()
        assert (await pair.right.until_frames(1 + len(accepted)))[1:] == accepted


async def test_a_slow_reader_does_not_block_others(kind: str) -> None:
    async with open_pair(kind, limits=TIGHT, small=True) as slow, open_pair(kind) as quick:
        slow.right.link.pause_reading()
        for _ in range(400):
            slow.left.link.send([bytes(9_000)])
            slow.left.link.flush()
            await trio.lowlevel.checkpoint()
        assert slow.left.link.dropped > 0
        for n in range(20):
            send_all(quick.left, [b"%d" % n])
            await quick.right.until_frames(n + 1)


async def test_a_link_of_many_with_a_long_queue_is_not_read(kind: str) -> None:
    limits = Limits(frame_bytes_max=20_000, hello_bytes_max=20_000, out_queue_bytes_max=4_000_000)
    async with open_pair(kind, limits=limits, small=True) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        pair.left.link.pause_above_bytes = 100_000
        pair.right.link.pause_reading()
        while pair.left.link.queued_bytes < 200_000:
            pair.left.link.send([bytes(9_000)])
            pair.left.link.flush()
            await trio.lowlevel.checkpoint()
        pair.left.link.flush()
        send_all(pair.right, payloads(6, [10] * 100))
        await trio.testing.wait_all_tasks_blocked(0.02)
        seen = len(pair.left.frames)
        assert seen < 100
        pair.right.link.resume_reading()
        await pair.left.until_frames(100)


async def test_reading_can_be_paused_and_resumed(kind: str) -> None:
    async with open_pair(kind) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        pair.right.link.pause_reading()
        for n in range(50):
            send_all(pair.left, [b"%d" % n])
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(pair.right.frames) <= 3  # what was under way
        pair.right.link.resume_reading()
        assert (await pair.right.until_frames(51))[1:] == [b"%d" % n for n in range(50)]


async def test_closing_sends_what_is_queued_and_both_ends_learn_of_it(kind: str) -> None:
    frames = payloads(7, [100] * 50)
    async with open_pair(kind) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        for frame in frames:
            pair.left.link.send([frame])
        pair.left.link.close("done")
        assert pair.left.closed == ["done"]
        assert await pair.right.until_closed() == "closed_by_peer"
        assert pair.right.frames[1:] == frames
        assert await pair.right.link.wait_closed() == "closed_by_peer"


async def test_a_closed_link_drops_and_never_raises(kind: str) -> None:
    async with open_pair(kind) as pair:
        pair.left.link.abort("first")
        pair.left.link.close("second")
        assert not pair.left.link.send([b"late"])
        pair.left.link.flush()
        pair.left.link.pause_reading()
        pair.left.link.resume_reading()
        assert pair.left.closed == ["first"]
        assert pair.left.link.dropped == 1
        assert pair.left.link.queued_bytes == 0
        await pair.right.until_closed()


async def test_a_receiver_may_close_its_link(kind: str) -> None:
    """Nothing of the same burst or later is handed up behind the close (``End`` asserts it)."""
    async with open_pair(kind) as pair:
        pair.right.on_burst = lambda _: pair.right.link.close("enough")
        for n in range(100):
            pair.left.link.send([b"%d" % n])
            pair.left.link.flush()
            await trio.lowlevel.checkpoint()
        assert await pair.right.until_closed() == "enough"
        await pair.left.until_closed()


async def test_cancelling_in_the_middle_of_a_frame_closes_the_link(kind: str) -> None:
    """The other end gets whole frames of what was sent, then the end; never a piece taken for a frame."""
    frames = payloads(8, [300_000] * 4)
    async with open_pair(kind, small=True) as pair:
        pair.right.link.pause_reading()
        send_all(pair.left, frames)
        await trio.testing.wait_all_tasks_blocked(0.01)
        pair.left.scope.cancel()
        assert await pair.left.until_closed() == "cancelled"
        pair.right.link.resume_reading()
        await pair.right.until_closed()
        assert pair.right.frames == frames[: len(pair.right.frames)]


async def test_a_frame_over_the_senders_limit_is_our_own_mistake(kind: str) -> None:
    async with open_pair(kind, limits=TIGHT) as pair:
        with pytest.raises(LocalMisuse, match="frame_bytes_max = 20000"):
            pair.left.link.send([bytes(20_001)])
        send_all(pair.left, [bytes(20_000)])
        assert await pair.right.until_frames(1) == [bytes(20_000)]


async def test_a_frame_over_the_receivers_limit_closes_the_link(kind: str) -> None:
    async with open_pair(kind) as pair:
        pair.right.link.set_frame_bytes_max(1000)
        send_all(pair.left, [b"small", bytes(1001), b"behind"])
        assert await pair.right.until_closed() == "frame_too_large"
        assert pair.right.frames == [b"small"]
        await pair.left.until_closed()


async def test_a_fixed_delay_gathers_several_turns(kind: str) -> None:
    async with open_pair(kind, policy=FixedPolicy(0.05)) as pair:
        send_all(pair.left, [b"up"])
        await pair.right.until_frames(1)
        before = pair.left.link.statistics()
        for n in range(5):
            send_all(pair.left, [b"%d" % n])
            await trio.lowlevel.checkpoint()
        assert len(pair.right.frames) == 1
        await pair.right.until_frames(6)
        assert sum((pair.left.link.statistics() - before).frames_per_send) == 1


async def test_a_bug_of_the_receiver_leaves_its_nursery(kind: str) -> None:
    def fail(_: list[bytes]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async with open_pair(kind) as pair:
            pair.right.on_burst = fail
            send_all(pair.left, [b"poison"])
            await trio.sleep(20)
    assert caught.group_contains(ZeroDivisionError)


async def test_statistics_count_what_happened(kind: str) -> None:
    async with open_pair(kind) as pair:
        pair.left.link.send([b"12345"], commands=3)
        pair.left.link.flush()
        await pair.right.until_frames(1)
        pair.right.link.count_commands(3)
        out, into = pair.left.link.statistics(), pair.right.link.statistics()
        assert (out.frames_out, out.commands_out, into.frames_in, into.commands_in) == (1, 3, 1, 3)
        assert out.bytes_out == into.bytes_in >= 5
        assert (out.syscalls.send > 0) == (kind != "memory")
        assert "left" in repr(pair.left.link)
