from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from transport.fault_points import reach
from triskele.testing.place import Fault, Gate, Place, here, listen_to_fault_points, raising


def test_a_fault_strikes_the_nth_time_once_and_only_its_own_place() -> None:
    listen_to_fault_points()
    fault = Fault("turn.end", raising(ValueError("planted")), 2)
    struck, other = Place("r0", 0, faults=[fault]), Place("r1", 1)
    for _ in range(3):
        with here(other):
            reach("turn.end")
    with here(struck):
        reach("turn.end")
        reach("turn.begin")
        with pytest.raises(ValueError, match="planted"):
            reach("turn.end")
        assert fault.struck
        reach("turn.end")
    assert struck.reached == {"turn.end": 3, "turn.begin": 1}


def test_a_fault_that_was_withdrawn_does_not_strike() -> None:
    fault = Fault("turn.end", raising(ValueError("planted")))
    place = Place("r0", 0, faults=[fault])
    fault.withdraw()
    place.reach("turn.end")
    assert not fault.struck


def test_times_at_which_it_must_not_happen_do_not_count() -> None:
    leads, done = [False], list[str]()
    fault = Fault("turn.end", lambda: done.append("struck"), 2, when=lambda: leads[0])
    place = Place("r0", 0, faults=[fault])
    for leading in (False, False, True, False):
        leads[0] = leading
        place.reach("turn.end")
        assert not fault.struck
    leads[0] = True
    place.reach("turn.end")
    assert fault.struck
    assert (done, place.faults) == (["struck"], [])


async def test_tasks_belong_to_the_place_that_started_them() -> None:
    listen_to_fault_points()
    place = Place("r0", 0)

    async def task() -> None:
        await trio.lowlevel.checkpoint()
        reach("turn.end")

    async with trio.open_nursery() as nursery:
        with here(place):
            nursery.start_soon(task)
        nursery.start_soon(task)
    assert place.reached == {"turn.end": 1}


async def test_a_clock_jumps_ahead_of_trio_s(mock_clock: MockClock) -> None:
    place = Place("r0", 0)
    mock_clock.jump(5)
    place.jumped += 10
    assert place.clock() == 15


async def test_a_closed_gate_holds_tasks_even_when_they_are_cancelled() -> None:
    gate, passed = Gate(), []

    async def task(name: int) -> None:
        class Turnstile:
            __await__ = gate.wait

        await Turnstile()
        passed.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task, 1)
        nursery.start_soon(task, 2)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        assert passed == []
        gate.open()
    assert sorted(passed) == [1, 2]
