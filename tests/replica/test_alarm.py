from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from replica.alarm import REST_SECONDS, Alarm

if TYPE_CHECKING:
    from trio.testing import MockClock


class Core:
    """Has deadlines, and remembers when it was woken."""

    def __init__(self) -> None:
        self.alarm = Alarm(self.ring, trio.current_time)
        self.rung: list[float] = []
        self.next = math.inf

    def ring(self) -> None:
        self.rung.append(trio.current_time())
        self.alarm.set(self.next)


async def test_it_rings_at_the_deadline_and_not_again(autojump_clock: MockClock) -> None:
    core, begun = Core(), autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.alarm.run)
        core.alarm.set(begun + 5)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert core.rung == [pytest.approx(begun + 5)]
    assert core.alarm.wakes == 1


async def test_a_deadline_may_move_earlier_while_it_sleeps(autojump_clock: MockClock) -> None:
    core, begun = Core(), autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        core.alarm.set(begun + 100)
        nursery.start_soon(core.alarm.run)
        await wait_all_tasks_blocked()
        core.alarm.set(begun + 50)
        core.alarm.set(begun + 2)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert core.rung == [pytest.approx(begun + 2)]
    assert core.alarm.wakes == 1


async def test_a_deadline_that_moves_later_costs_one_wake_at_most(autojump_clock: MockClock) -> None:
    core, begun = Core(), autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.alarm.run)
        await wait_all_tasks_blocked()
        for _ in range(1000):  # turns of a busy replica: each moves its heartbeat on
            core.alarm.set(trio.current_time() + 1.0)
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert core.rung == []
    assert core.alarm.wakes <= (autojump_clock.current_time() - begun) / 0.9


async def test_no_deadline_no_wake(autojump_clock: MockClock) -> None:
    core, begun = Core(), autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.alarm.run)
        core.alarm.set(begun + 1)
        core.alarm.set(math.inf)
        await trio.sleep(1000)
        nursery.cancel_scope.cancel()
    assert core.rung == []
    assert core.alarm.wakes <= 1


async def test_the_next_deadline_may_be_set_by_the_ring(autojump_clock: MockClock) -> None:
    core, begun = Core(), autojump_clock.current_time()
    core.next = begun + 7
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.alarm.run)
        core.alarm.set(begun + 3)
        await trio.sleep(6)
        core.next = math.inf
        await trio.sleep(6)
        nursery.cancel_scope.cancel()
    assert core.rung == [pytest.approx(begun + 3), pytest.approx(begun + 7)]


async def test_a_deadline_that_stays_in_the_past_keeps_no_processor_busy(autojump_clock: MockClock) -> None:
    core, begun = Core(), autojump_clock.current_time()
    core.next = begun
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.alarm.run)
        core.alarm.set(begun)
        await trio.sleep(REST_SECONDS * 50)
        nursery.cancel_scope.cancel()
    assert 40 <= len(core.rung) <= 52


async def test_a_deadline_of_the_past_rings_at_once_in_real_time() -> None:
    core = Core()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.alarm.run)
            core.alarm.set(trio.current_time() - 1)
            while not core.rung:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


async def test_in_real_time_it_is_never_early_and_wakes_once() -> None:
    core = Core()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.alarm.run)
        for ring in range(1, 11):
            due = trio.current_time() + 0.01
            core.alarm.set(due)
            with trio.fail_after(5):
                while len(core.rung) < ring:  # noqa: ASYNC110 - real time is what is tested
                    await trio.sleep(0.002)
            assert core.rung[-1] >= due
        nursery.cancel_scope.cancel()
    assert core.alarm.wakes == core.alarm.rings == 10


async def test_what_the_ring_raises_ends_the_run(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    def ring() -> None:
        raise AssertionError("a bug")

    alarm = Alarm(ring, trio.current_time)
    alarm.set(trio.current_time() + 1)
    with pytest.raises(AssertionError, match="a bug"):
        await alarm.run()
