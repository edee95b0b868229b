"""The fabric: order without faults, the named faults and no others with them, the same ones for the same seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from transport.errors import AddressInUse, DialFailed
from transport.fabric import BACKLOG_MAX, Conduit, Fabric
from transport.sockets import SILENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = [b"%d" % n for n in range(200)]


async def connect(fabric: Fabric, left: str = "left", right: str = "right") -> tuple[Conduit, Conduit]:
    listener = fabric.listen(right)
    near = await fabric.dial(right, left)
    far, name = await listener.accept()
    assert name == left
    listener.close()
    return near, far


def put_all(conduit: Conduit, frames: list[bytes] = NUMBERS) -> None:
    for frame in frames:
        conduit.put(frame)


def take_all(conduit: Conduit, at: float = math.inf) -> list[bytes]:
    return conduit.take(at, 100_000)[0]


async def test_without_faults_everything_arrives_at_once_and_in_order() -> None:
    near, far = await connect(Fabric())
    put_all(near)
    assert near.queued_bytes == sum(map(len, NUMBERS))
    assert take_all(far, trio.current_time()) == NUMBERS
    assert near.queued_bytes == 0


async def test_taking_stops_at_its_budget() -> None:
    near, far = await connect(Fabric())
    put_all(near)
    assert far.take(math.inf, 7) == (NUMBERS[:7], False)
    assert take_all(far) == NUMBERS[7:]


async def test_dropped_frames_are_gone_and_the_rest_keeps_its_order() -> None:
    fabric = Fabric(1)
    near, far = await connect(fabric)
    fabric.drop(0.3)
    put_all(near)
    taken = take_all(far)
    assert 100 < len(taken) < 180
    assert taken == [number for number in NUMBERS if number in set(taken)]


async def test_duplicated_frames_come_twice() -> None:
    fabric = Fabric(1)
    near, far = await connect(fabric)
    fabric.duplicate(0.3)
    put_all(near)
    taken = take_all(far)
    assert 220 < len(taken) < 300
    assert list(dict.fromkeys(taken)) == NUMBERS


async def test_reordered_frames_come_late_but_come() -> None:
    fabric = Fabric(1)
    near, far = await connect(fabric)
    fabric.reorder(0.3)
    put_all(near)
    taken = take_all(far)
    assert taken != NUMBERS
    assert sorted(taken) == sorted(NUMBERS)


async def test_the_first_frame_of_each_end_comes_once_and_first_whatever_happens_to_the_others() -> None:
    for seed in range(20):
        fabric = Fabric(seed)
        near, far = await connect(fabric)
        fabric.duplicate(1.0)
        fabric.reorder(1.0)
        fabric.delay(0.0, 1.0)
        for end, other in ((near, far), (far, near)):
            put_all(end)
            taken = take_all(other)
            assert (taken[0], taken.count(NUMBERS[0])) == (NUMBERS[0], 1)
            assert taken.count(NUMBERS[1]) == 2
        fabric.drop(1.0)
        near, far = await connect(fabric, "third", "fourth")
        put_all(near)
        assert take_all(far) == NUMBERS[:1]


async def test_delay_keeps_order_and_stays_in_its_range(mock_clock: MockClock) -> None:
    fabric = Fabric(1)
    near, far = await connect(fabric)
    fabric.delay(0.01, 0.05)
    put_all(near)
    now = trio.current_time()
    assert take_all(far, now + 0.009) == []
    assert now + 0.01 <= far.next_due() <= now + 0.05
    assert take_all(far, now + 0.051) == NUMBERS
    assert mock_clock.current_time() == now


async def test_the_same_seed_meets_the_same_faults(mock_clock: MockClock) -> None:
    assert mock_clock.rate == 0  # real time would be one more source of chance

    async def run(seed: int) -> list[bytes]:
        fabric = Fabric(seed)
        near, far = await connect(fabric)
        fabric.drop(0.2)
        fabric.duplicate(0.2)
        fabric.reorder(0.2)
        put_all(near)
        return take_all(far)

    assert await run(7) == await run(7)
    assert await run(7) != await run(8)


async def test_faults_may_be_one_pairs_own() -> None:
    fabric = Fabric(1)
    near, far = await connect(fabric)
    other, other_far = await connect(fabric, "left", "third")
    fabric.drop(1.0, between=("right", "left"))
    put_all(near)
    put_all(other)
    assert take_all(far) == NUMBERS[:1], "the hello"
    assert take_all(other_far) == NUMBERS


async def test_a_partition_loses_what_is_sent_and_what_is_under_way() -> None:
    fabric = Fabric(guests="third")
    near, far = await connect(fabric)
    near.put(b"under way")
    fabric.partition({"left"}, {"right", "third"})
    near.put(b"lost")
    assert near.queued_bytes == 0
    far.put(b"lost too")
    fabric.heal()
    near.put(b"after")
    assert (take_all(far), take_all(near)) == ([b"after"], [])


async def test_a_dial_across_a_partition_waits_for_its_end() -> None:
    fabric = Fabric(guests="left")
    fabric.listen("right")
    fabric.partition({"left"}, {"right"})
    dialed: list[Conduit] = []

    async def dial() -> None:
        dialed.append(await fabric.dial("right", "left"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        await wait_all_tasks_blocked()
        assert dialed == []
        fabric.heal()
    assert len(dialed) == 1


async def test_a_close_across_a_partition_is_noticed_as_silence_only(mock_clock: MockClock) -> None:
    fabric = Fabric()
    near, far = await connect(fabric)
    fabric.partition({"left"}, {"right"})
    near.close()
    fabric.heal()
    assert far.next_due() == SILENCE_SECONDS
    mock_clock.jump(SILENCE_SECONDS)
    assert far.take(trio.current_time(), 10) == ([], True)


async def test_a_partition_swallows_a_close_under_way_but_not_for_ever() -> None:
    fabric = Fabric()
    near, far = await connect(fabric)
    near.close()
    fabric.partition({"left"}, {"right"})
    assert far.take(trio.current_time(), 10) == ([], False)
    assert far.take(trio.current_time() + SILENCE_SECONDS, 10) == ([], True)


async def test_a_clogged_pair_queues_one_way_and_loses_nothing() -> None:
    fabric = Fabric()
    near, far = await connect(fabric)
    fabric.clog("left", "right")
    put_all(near)
    put_all(far)
    assert take_all(far) == []
    assert near.queued_bytes > 0
    assert take_all(near) == NUMBERS
    arrivals: list[bool] = []
    far.on_arrival = lambda: arrivals.append(True)
    fabric.unclog("left", "right")
    assert arrivals
    assert take_all(far) == NUMBERS


async def test_half_open_is_known_at_one_end_and_noticed_as_silence_at_the_other(mock_clock: MockClock) -> None:
    fabric = Fabric()
    near, far = await connect(fabric)
    near.put(b"under way")
    fabric.half_open("left", "right")
    near.put(b"vanishes")
    assert near.queued_bytes == 0
    assert far.take(trio.current_time(), 10) == ([], True)
    assert near.take(trio.current_time(), 10) == ([], False)
    mock_clock.jump(SILENCE_SECONDS)
    assert near.take(trio.current_time(), 10) == ([], True)
    far.close()
    near.close()


async def test_a_close_comes_behind_what_was_sent() -> None:
    fabric = Fabric()
    near, far = await connect(fabric)
    put_all(near)
    near.close()
    near.close()
    assert far.take(math.inf, 1000) == (NUMBERS, True)


async def test_what_is_sent_to_a_closed_end_is_nobodys() -> None:
    near, far = await connect(Fabric())
    near.put(b"unread")
    far.close()
    near.put(b"late")
    assert near.queued_bytes == 0


async def test_an_endpoint_listens_once() -> None:
    fabric = Fabric()
    listener = fabric.listen("right")
    with pytest.raises(AddressInUse, match="memory:right"):
        fabric.listen("right")
    listener.close()
    fabric.listen("right").close()


async def test_nobody_listens() -> None:
    with pytest.raises(DialFailed, match="nobody listens at memory:right"):
        await Fabric().dial("right", "left")


async def test_a_backlog_is_bounded_and_closed_with_its_listener() -> None:
    fabric = Fabric()
    listener = fabric.listen("right")
    waiting = [await fabric.dial("right", "left") for _ in range(BACKLOG_MAX)]
    with pytest.raises(DialFailed, match="full"):
        await fabric.dial("right", "left")
    listener.close()
    assert waiting[0].take(math.inf, 1) == ([], True)


async def test_faults_that_could_not_strike_are_refused() -> None:
    fabric = Fabric()
    await connect(fabric)
    refused: list[tuple[Callable[[], None], str]] = [
        (lambda: fabric.partition(["left"], ["left", "right"]), "left on both sides"),
        (lambda: fabric.partition(["left"], ["rihgt"]), "'rihgt'"),
        (lambda: fabric.clog("left", "rihgt"), "'rihgt'"),
        (lambda: fabric.unclog("left", "rihgt"), "'rihgt'"),
        (lambda: fabric.half_open("left", "rihgt"), "'rihgt'"),
        (lambda: fabric.drop(0.5, between=("left", "rihgt")), "'rihgt'"),
        (lambda: fabric.drop(50), "50 is no share"),
        (lambda: fabric.duplicate(-0.1), "-0.1 is no share"),
        (lambda: fabric.reorder(math.nan), "nan is no share"),
        (lambda: fabric.delay(2, 1), "cannot take from 2 to 1 s"),
    ]
    for fault, why in refused:
        with pytest.raises(ValueError, match=why):
            fault()
    fabric.partition(["left"], ["right"])
    assert fabric.parted("left", "right")
