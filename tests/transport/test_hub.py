"""One task serves all links: one turn for all that is ready, in place, without spinning, and no turn after a bug."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.transport.link_pairs import End, connected_sockets, open_pair
from transport.adaptive import AdaptivePolicy
from transport.batch import FixedPolicy, TurnPolicy
from transport.errors import LocalMisuse
from transport.limits import Limits
from transport.statistics import LinkStatistics
from transport.tcp import TcpLink

if TYPE_CHECKING:
    from transport.batch import BatchPolicy


def native(end: End, policy: BatchPolicy | None = None) -> tuple[TcpLink, TcpLink]:
    """Connect two links to the hub of one end, the second only echoing into its records."""
    near, far = connected_sockets()
    limits, used = Limits(), policy or TurnPolicy()
    return (
        TcpLink(near, "near", end.hub, end.on_frames, end.on_closed, used, limits),
        TcpLink(far, "far", end.hub, end.on_frames, end.on_closed, used, limits),
    )


async def test_all_links_that_are_ready_are_one_turn() -> None:
    end = End()
    seen: list[int] = []
    end.on_turn = lambda: seen.append(len(end.frames))
    senders = [native(end)[0] for _ in range(10)]
    for link in senders:
        link.send([b"frame"])
        link.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await end.until_frames(10)
        nursery.cancel_scope.cancel()
    assert seen == [10]


async def test_the_turn_ends_in_place_before_any_other_task_runs() -> None:
    end = End()
    order: list[str] = []
    end.on_burst = lambda _: order.append("frames")
    end.on_turn = lambda: order.append("end")
    link, _ = native(end)

    async def other() -> None:
        while "end" not in order:
            order.append("other")
            await trio.lowlevel.checkpoint()

    link.send([b"frame"])
    link.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        nursery.start_soon(other)
        await end.until_frames(1)
        nursery.cancel_scope.cancel()
    place = order.index("frames")
    assert order[place : place + 2] == ["frames", "end"]


async def test_what_others_send_while_they_are_offered_the_processor_is_one_turn_without_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    end = End()
    seen: list[int] = []
    end.on_turn = lambda: seen.append(len(end.frames))
    first, *others = [native(end)[0] for _ in range(4)]
    waits: list[int] = []

    def offer() -> None:
        waits.append(end.hub.statistics().waits)
        while others:
            link = others.pop()
            link.send([b"frame"])
            link.flush()

    monkeypatch.setattr(os, "sched_yield", offer)
    first.send([b"frame"])
    first.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await end.until_frames(4)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == [1, 4]
    assert waits == [0, 0], "offered after each turn and at no other time"


async def test_what_comes_while_a_turn_gathers_is_in_that_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    end = End()
    end.hub.gathers = True
    seen: list[int] = []
    end.on_turn = lambda: seen.append(len(end.frames))
    links = [native(end)[0] for _ in range(4)]
    offered: list[int] = []

    def offer() -> None:
        """Send one frame: after the first turn, in the middle of the second, after it; then no more."""
        offered.append(len(seen))
        if links:
            send(links.pop())

    def send(link: TcpLink) -> None:
        link.send([b"frame"])
        link.flush()

    monkeypatch.setattr(os, "sched_yield", offer)
    send(links.pop())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await end.until_frames(4)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == [1, 3, 4]
    assert offered == [1, 1, 2, 2, 3]


async def test_an_idle_hub_sleeps() -> None:
    async with open_pair("native") as pair:
        pair.left.link.send([b"up"])
        pair.left.link.flush()
        await pair.right.until_frames(1)
        before, cpu = pair.right.hub.statistics(), time.process_time()
        await trio.sleep(0.2)
        assert (pair.right.hub.statistics() - before).syscalls.total == 0
        assert time.process_time() - cpu < 0.1


def answer(end: End, frames: list[bytes]) -> None:
    for frame in frames:
        end.link.send([frame])
    end.link.flush()


async def test_unbroken_turns_let_other_tasks_run() -> None:
    """Two links that answer each other for ever do not starve a timer."""
    async with open_pair("native") as pair:
        for end in (pair.left, pair.right):
            end.on_burst = partial(answer, end)
        pair.left.link.send([b"ping"])
        pair.left.link.flush()
        with trio.fail_after(5):
            for _ in range(20):
                await trio.sleep(0.001)
        assert len(pair.left.frames) > 20


async def test_a_bug_in_the_end_of_a_turn_stops_the_hub_and_sends_nothing_more() -> None:
    def fail() -> None:
        link.send([b"half done"])
        raise ZeroDivisionError

    end = End()
    end.on_turn = fail
    link, far = native(end)
    far.send([b"poison"])
    far.flush()
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end.hub.run)
            await trio.sleep(20)
    assert caught.group_contains(ZeroDivisionError)
    assert end.closed == ["hub_stopped", "hub_stopped"]
    assert link.bytes_out == 0


async def test_a_stopped_hub_takes_no_links() -> None:
    end = End()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    near, far = connected_sockets()
    with near, far, pytest.raises(LocalMisuse, match="stopped"):
        TcpLink(near, "late", end.hub, end.on_frames, end.on_closed, TurnPolicy(), Limits())


@pytest.mark.parametrize("delay_seconds", [0.0005, 0.02])
async def test_a_held_link_is_flushed_when_it_is_due_also_from_another_task(delay_seconds: float) -> None:
    end = End()
    link, _ = native(end, FixedPolicy(delay_seconds))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await wait_all_tasks_blocked()
        started = time.monotonic()
        link.send([b"held"])
        link.flush()
        assert link.sends == 0
        await end.until_frames(1)
        assert time.monotonic() - started >= delay_seconds
        assert end.hub.statistics().links.frames_per_send[1] == 1
        nursery.cancel_scope.cancel()


def holding_long() -> AdaptivePolicy:
    """Give a policy that has learnt to hold, for longer than any test lasts."""
    policy = AdaptivePolicy(3600.0)
    policy.delay_seconds = 3600.0
    return policy


async def test_what_is_held_only_while_busy_leaves_when_nothing_else_is_to_do() -> None:
    end = End()
    link, _ = native(end, holding_long())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await wait_all_tasks_blocked()
        link.send([b"held"])
        link.flush()
        assert link.sends == 0
        assert end.hub.batch_delay_seconds == 3600.0
        await end.until_frames(1)
        nursery.cancel_scope.cancel()
    assert link.sends == 1


async def test_what_is_held_only_while_busy_gathers_over_turns_that_follow_each_other() -> None:
    end = End()
    link, _ = native(end, holding_long())
    _, other = native(end)
    sends: list[int] = []

    def one_more() -> None:
        if len(sends) < 5:
            link.send([b"frame"])
            link.flush()
            sends.append(link.sends)
            end.hub.again(other)  # the next turn is due at once

    end.on_turn = one_more
    end.hub.again(other)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await end.until(lambda: end.frames.count(b"frame") == 5)
        nursery.cancel_scope.cancel()
    assert sends == [0] * 5
    assert link.sends == 1


async def test_a_held_link_that_closes_is_forgotten() -> None:
    end = End()
    link, _ = native(end, FixedPolicy(0.01))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        link.send([b"held"])
        link.flush()
        link.abort("gone")
        await trio.sleep(0.03)
        nursery.cancel_scope.cancel()
    assert end.frames == []


async def test_a_link_closed_by_an_earlier_one_of_the_same_turn_is_left_alone() -> None:
    """Both have frames waiting; whichever is handled first closes the other."""
    end = End()
    links = [native(end) for _ in range(2)]

    def close_the_other(_frames: list[bytes]) -> None:
        for _near, far in links:
            if far.frames_in == 0:
                far.abort("closed by its neighbour")

    end.on_burst = close_the_other
    for near, _ in links:
        near.send([b"frame"])
        near.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        await end.until(lambda: len(end.closed) == 2)
        nursery.cancel_scope.cancel()
    assert len(end.frames) == 1


async def test_links_come_and_go_without_leaving_anything() -> None:
    end = End()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        for _ in range(50):
            link, _ = native(end)
            link.send([b"x"])
            link.close("done")
            await trio.lowlevel.checkpoint()
        await end.until(lambda: len(end.closed) == 100)
        statistics = end.hub.statistics()
        assert (statistics.links_open, statistics.links_closed) == (0, 100)
        assert statistics.links.frames_out == statistics.links.frames_in == 50
        assert statistics.syscalls.send == 50
        nursery.cancel_scope.cancel()


async def test_the_hub_counts_its_turns_and_the_longest() -> None:
    end = End()
    end.on_burst = lambda _: time.sleep(0.02)  # a slow core
    link, _ = native(end)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        link.send([b"x"])
        link.flush()
        await end.until_frames(1)
        await wait_all_tasks_blocked()
        longest = end.hub.longest_turns()
        assert 0.02 <= longest["turn_seconds_max"] < 1
        assert 0 < longest["turn_cpu_seconds_max"] < 0.02  # it slept
        assert end.hub.statistics().turns == end.turns.ended == 1
        nursery.cancel_scope.cancel()


async def test_longest_turns_since_a_mark_forget_what_was_before_and_those_since_the_start_do_not() -> None:
    end = End()
    pauses = [0.02, 0.0, 0.01]
    end.on_burst = lambda _: time.sleep(pauses[end.turns.ended])
    link, _ = native(end)
    seconds: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        for number, pause in enumerate(pauses):
            assert end.hub.turns_since_mark() == {"turn_marks": number, "turn_seconds_since_mark": 0.0, "turn_cpu_seconds_since_mark": 0.0}
            link.send([b"x"])
            link.flush()
            await end.until_frames(number + 1)
            await wait_all_tasks_blocked()
            since, longest = end.hub.turns_since_mark(), end.hub.longest_turns()
            assert since["turn_seconds_since_mark"] >= max(pause, since["turn_cpu_seconds_since_mark"]) > 0
            seconds.append(since["turn_seconds_since_mark"])
            assert longest["turn_seconds_max"] == max(seconds)
            assert longest["turn_cpu_seconds_max"] >= since["turn_cpu_seconds_since_mark"]
            end.hub.mark_turns()
            assert end.hub.longest_turns() == longest
        nursery.cancel_scope.cancel()


async def test_the_turn_is_protected_from_ctrl_c() -> None:
    end = End()
    protected: list[bool] = []
    end.on_burst = lambda _: protected.append(trio.lowlevel.currently_ki_protected())
    link, _ = native(end)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        link.send([b"x"])
        link.flush()
        await end.until_frames(1)
        nursery.cancel_scope.cancel()
    assert protected == [True]


async def test_two_hubs_in_one_process_do_not_meet() -> None:
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(open_pair("native")) for _ in range(3)]
        for number, pair in enumerate(pairs):
            pair.left.link.send([b"%d" % number])
            pair.left.link.flush()
        for number, pair in enumerate(pairs):
            assert await pair.right.until_frames(1) == [b"%d" % number]


async def test_a_hub_that_never_ran_closes_its_links() -> None:
    end = End()
    native(end)
    end.hub.close()
    end.hub.close()
    assert end.closed == ["hub_stopped", "hub_stopped"]


async def test_the_hub_adds_up_what_its_links_tell_one_by_one() -> None:
    end = End()
    links = [link for _ in range(5) for link in native(end)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.hub.run)
        for count, link in enumerate(links):
            for _ in range(count):
                link.send([b"frame"], commands=2)
            link.count_commands(count)
            link.flush()
        await end.until_frames(45)
        links.pop().abort("one has closed")
        expected = LinkStatistics()
        for link in links:
            expected = expected + link.statistics()
        assert end.hub._open_statistics() == expected
        assert end.hub.statistics().links.commands_out == 90
        nursery.cancel_scope.cancel()
