from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from triskele.chaos.network import CLIENTS, Effect, Network, ways_between


@attrs.define(eq=False)
class Line:
    """A connection that notes what is done to it."""

    near: int
    far: int
    holed: bool = False
    done: list[str] = attrs.Factory(list)

    def cut(self) -> None:
        self.done.append("cut")

    def strand(self, *, near: bool) -> None:
        self.done.append("near" if near else "far")


def test_ways_go_both_ways_and_never_to_oneself() -> None:
    assert ways_between([0], [1, 2]) == {(0, 1), (1, 0), (0, 2), (2, 0)}
    assert ways_between([0, 1], [0, 1]) == {(0, 1), (1, 0)}


def test_delays_of_several_faults_add_up_and_are_felt_by_each() -> None:
    network = Network()
    network.put(1, {(0, 1): Effect(delay_seconds=0.5)})
    network.put(2, {(0, 1): Effect(delay_seconds=1.0, spread_seconds=2.0)})
    assert network.delay((0, 1), 0.25) == 2.0
    assert network.delay((1, 0), 0.25) == 0.0
    assert network.touched == {1: 1, 2: 1}
    network.lift(1)
    assert network.delay((0, 1), 0.0) == 1.0
    network.lift(1)  # a second time: nothing


async def test_a_stalled_way_is_passable_when_every_fault_on_it_is_lifted() -> None:
    network = Network()
    for fault in (1, 2):
        network.put(fault, {(0, 1): Effect(stalled=True)})
    passed = trio.Event()

    async def pass_it() -> None:
        await network.passable((1, 0), (0, 1))
        passed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pass_it)
        await trio.testing.wait_all_tasks_blocked()
        network.lift(1)
        await trio.testing.wait_all_tasks_blocked()
        assert not passed.is_set()
        network.lift(2)
        await passed.wait()
    assert network.touched[1]
    assert network.touched[2]


@pytest.mark.usefixtures("autojump_clock")
async def test_bytes_may_be_written_to_a_deaf_side_but_no_connection_is_opened_to_it() -> None:
    network = Network()
    network.put(1, {(0, 1): Effect(swallowed=True)})
    await network.passable((0, 1))
    assert network.swallows((0, 1))
    assert not network.swallows((1, 0))
    with trio.move_on_after(1) as waiting:
        await network.passable((0, 1), also_swallowed=True)
    assert waiting.cancelled_caught


def test_a_connection_that_lost_bytes_ends_when_the_last_fault_that_swallows_is_lifted() -> None:
    network = Network()
    holed, whole = Line(1, 0, holed=True), Line(1, 0)
    network.connections |= {holed, whole}
    network.put(1, {(0, 1): Effect(swallowed=True)})
    network.put(2, {(1, 0): Effect(swallowed=True)})
    network.lift(1)
    assert holed.done == []
    network.lift(2)
    assert holed.done == ["cut"]
    assert whole.done == []


def test_cutting_and_stranding_hit_the_connections_between_two_places_whoever_dialed() -> None:
    network = Network()
    lines = [Line(0, 1), Line(1, 0), Line(CLIENTS, 1), Line(0, 2)]
    network.connections |= set(lines)
    network.cut(5, [(0, 1)])
    network.strand(6, [(1, CLIENTS)], lambda: True)
    assert [line.done for line in lines] == [["cut"], ["cut"], ["near"], []]
    assert network.touched == {5: 2, 6: 1}
