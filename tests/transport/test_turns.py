"""A turn ends once for everything that was runnable, and nothing is sent after a bug."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from transport.turns import Turns


async def test_many_wakes_of_one_batch_are_one_turn() -> None:
    handled: list[int] = []
    seen: list[int] = []
    turns = Turns(lambda: seen.append(len(handled)))

    async def reader(number: int) -> None:
        handled.append(number)
        turns.wake()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        await wait_all_tasks_blocked()
        for number in range(20):
            nursery.start_soon(reader, number)
        await wait_all_tasks_blocked()
        assert seen == [20]
        turns.wake()
        await wait_all_tasks_blocked()
        assert seen == [20, 20]
        nursery.cancel_scope.cancel()
    assert turns.ended == 2


async def test_ending_in_place_answers_an_earlier_wake() -> None:
    turns = Turns(lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        turns.wake()
        turns.end_now()
        await wait_all_tasks_blocked()
        assert turns.ended == 1
        turns.wake()
        await wait_all_tasks_blocked()
        assert turns.ended == 2
        nursery.cancel_scope.cancel()


async def test_a_wake_from_inside_the_end_makes_another_turn() -> None:
    def end() -> None:
        if turns.ended < 3:
            turns.wake()

    turns = Turns(end)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        turns.wake()
        await wait_all_tasks_blocked()
        assert turns.ended == 3
        nursery.cancel_scope.cancel()


async def test_what_the_end_raises_ends_the_nursery() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    turns = Turns(fail)
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.run)
            turns.wake()
            await trio.sleep(20)
    assert caught.group_contains(ZeroDivisionError)


async def test_the_turn_is_protected_from_ctrl_c() -> None:
    protected: list[bool] = []
    turns = Turns(lambda: protected.append(trio.lowlevel.currently_ki_protected()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        turns.wake()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert protected == [True]
