from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from replica.listening import ListenError
from tests.triskele.conftest import Said
from triskele.child import Child, start_child
from triskele.supervision import AS_ASKED, Backoff, Keeper, LeftDead, RestartPolicy, stop_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVES = """echo '{"id": 0}'; exec cat"""
REFUSES = "echo 'the folder is somebody else'\\''s' >&2; exit 2"
STUBBORN = """trap '' 15; echo '{"id": 0}'; exec cat"""
QUICK = RestartPolicy(first_seconds=0.01, most_seconds=0.02)
SLOW = RestartPolicy(first_seconds=1000.0, most_seconds=1000.0)


class Stand:
    """A keeper of a program of one's choice, and what it told."""

    def __init__(self, script: str, policy: RestartPolicy | str = QUICK) -> None:
        self.script = script
        self.failure: Exception | None = None
        self.starts = 0
        self.said = Said()
        self.keeper = Keeper(0, self.start, policy, lambda _line: None, self.changed)

    async def start(self, replica_id: int) -> Child:
        self.starts += 1
        if self.failure is not None:
            raise self.failure
        return await start_child(("/bin/sh", "-c", self.script), replica_id, [], {}, lambda _: None)

    def changed(self, line: str) -> None:
        if line:
            self.said(line)


@asynccontextmanager
async def running(stand: Stand) -> AsyncIterator[Keeper]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stand.keeper.run)
        try:
            with trio.fail_after(20):
                yield stand.keeper
        finally:
            with trio.CancelScope(shield=True):
                await stop_all([stand.keeper], 0.1)


# ------------------------------------------------------------------------------------------------------------------------- when


def test_pauses_double_up_to_the_longest_and_are_short_again_after_a_while_of_service() -> None:
    backoff = Backoff(RestartPolicy())
    assert [backoff.pause(-signal.SIGKILL, 1.0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert [backoff.pause(-signal.SIGKILL, 10.0), backoff.pause(1, 0.0)] == [1, 2]


def test_five_refusals_in_a_row_are_enough() -> None:
    backoff = Backoff(RestartPolicy())
    assert [backoff.pause(2, 0.0) for _ in range(5)] == [1, 2, 4, 8, None]
    backoff.reset()
    assert backoff.pause(2, 0.0) == 1


def test_one_whose_disk_fails_is_tried_for_ever() -> None:
    backoff = Backoff(RestartPolicy())
    assert [backoff.pause(1, 0.0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(("status", "served"), [(1, 0.0), (-signal.SIGKILL, 0.0), (None, 0.0), (0, 0.0), (2, 60.0)])
def test_other_deaths_are_never_enough_and_break_the_row(status: int | None, served: float) -> None:
    backoff = Backoff(RestartPolicy())
    for _ in range(3):
        assert None not in [backoff.pause(2, 0.0) for _ in range(4)]
        assert backoff.pause(status, served) is not None


# ------------------------------------------------------------------------------------------------------------------------- keeping


async def test_a_replica_that_dies_is_started_again() -> None:
    stand = Stand(SERVES)
    async with running(stand) as keeper:
        first = await keeper.listening()
        os.kill(first.pid, signal.SIGKILL)
        assert await stand.said.until("replica 0") == "replica 0 was killed by SIGKILL; it is started again in 0.01 s"
        second = await keeper.listening()
        assert (second.pid != first.pid, second.alive, first.alive) == (True, True, False)
        assert keeper.child is second


async def test_after_a_kill_only_another_process_counts_as_listening() -> None:
    stand = Stand(SERVES)
    async with running(stand) as keeper:
        pids = []
        for _ in range(3):
            pids.append((await keeper.listening()).pid)
            keeper.kill()
        assert len(set(pids)) == 3


async def test_a_kill_may_leave_it_dead_until_somebody_restarts_it() -> None:
    stand = Stand(SERVES)
    async with running(stand) as keeper:
        first = await keeper.listening()
        keeper.kill(restart=False)
        with pytest.raises(LeftDead, match=r"^replica 0 does not run: it is left dead, as asked$"):
            await keeper.listening()
        assert (keeper.alive, keeper.left_dead, stand.starts) == (False, AS_ASKED, 1)
        keeper.restart()
        assert (await keeper.listening()).pid != first.pid
        assert keeper.left_dead == ""


@pytest.mark.parametrize("policy", [SLOW, "it is never started again"])
async def test_a_restart_right_after_a_kill_waits_for_the_death_and_for_no_pause(policy: RestartPolicy | str) -> None:
    stand = Stand(SERVES, policy)
    async with running(stand) as keeper:
        first = await keeper.listening()
        keeper.kill(restart=False)
        keeper.restart()
        assert (await keeper.listening()).pid != first.pid
        assert stand.said.lines == ["replica 0 was killed by SIGKILL; it is started again"]


async def test_a_restart_cuts_a_pause_short_and_does_nothing_to_one_that_lives() -> None:
    stand = Stand(SERVES, SLOW)
    async with running(stand) as keeper:
        first = await keeper.listening()
        keeper.restart()
        assert await keeper.listening() is first
        keeper.kill()
        await stand.said.until("started again in 1000 s")
        keeper.restart()
        assert (await keeper.listening()).pid != first.pid


async def test_a_replica_in_its_pause_can_be_left_dead() -> None:
    stand = Stand(SERVES, SLOW)
    async with running(stand) as keeper:
        await keeper.listening()
        keeper.kill()
        await stand.said.until("started again in 1000 s")
        keeper.kill(restart=False)
        assert await stand.said.until("left dead") == "replica 0: it is left dead, as asked"
        with pytest.raises(LeftDead):
            await keeper.listening()


async def test_one_that_is_never_started_again_can_be_asked_for_all_the_same() -> None:
    stand = Stand(SERVES, "it stays dead (so it was said)")
    async with running(stand) as keeper:
        await keeper.listening()
        keeper.kill()
        with pytest.raises(LeftDead, match="it stays dead"):
            await keeper.listening()
        assert stand.said.lines == ["replica 0 was killed by SIGKILL; it stays dead (so it was said)"]
        keeper.restart()
        await keeper.listening()


async def test_one_that_refuses_to_run_is_left_dead_with_its_last_line() -> None:
    stand = Stand(REFUSES)
    async with running(stand) as keeper:
        with pytest.raises(LeftDead):
            await keeper.listening()
        refused = "replica 0 ended with status 2 (the folder is somebody else's); "
        assert stand.said.lines[0] == refused + "it is started again in 0.01 s"
        assert stand.said.lines[4:] == [refused + "it is left dead after 5 such ends in a row"]
        assert stand.starts == 5
        stand.script = SERVES
        keeper.restart()
        assert (await keeper.listening()).alive


async def test_a_start_that_fails_is_tried_again() -> None:
    stand = Stand(SERVES)
    stand.failure = ListenError("127.0.0.1:1", "the port is in use by another program", taken=True)
    async with running(stand) as keeper:
        line = await stand.said.until("cannot be started")
        assert (
            line == "replica 0 cannot be started: cannot listen at 127.0.0.1:1: the port is in use by another program; it is started again in 0.01 s"
        )
        stand.failure = None
        assert (await keeper.listening()).alive


async def test_a_kill_while_the_process_is_being_started_reaches_it() -> None:
    stand = Stand(SERVES)
    starting, go_on = trio.Event(), trio.Event()

    async def start(replica_id: int) -> Child:
        starting.set()
        await go_on.wait()
        return await stand.start(replica_id)

    stand.keeper = Keeper(0, start, SLOW, lambda _line: None, stand.changed)
    async with running(stand) as keeper:
        await starting.wait()
        keeper.kill()
        go_on.set()
        assert "was killed by SIGKILL" in await stand.said.until("replica 0")


# ------------------------------------------------------------------------------------------------------------------------- ending


async def test_stopping_ends_a_process_and_starts_no_other() -> None:
    stand = Stand(SERVES)
    async with running(stand) as keeper:
        child = await keeper.listening()
        await stop_all([keeper], 10.0)
        assert child.ending() == "was killed by SIGTERM"
    assert (stand.starts, stand.said.lines) == (1, [])


async def test_stopping_does_not_wait_for_a_pause() -> None:
    stand = Stand(SERVES, SLOW)
    async with running(stand) as keeper:
        await keeper.listening()
        keeper.kill()
        await stand.said.until("started again in 1000 s")
        await stop_all([keeper], 10.0)
    assert stand.starts == 1


async def test_a_process_that_was_being_started_when_the_stop_came_is_ended() -> None:
    stand = Stand(SERVES)
    starting, go_on = trio.Event(), trio.Event()

    async def start(replica_id: int) -> Child:
        starting.set()
        await go_on.wait()
        return await stand.start(replica_id)

    stand.keeper = Keeper(0, start, QUICK, lambda _line: None, stand.changed)
    async with running(stand) as keeper, trio.open_nursery() as nursery:
        await starting.wait()
        nursery.start_soon(stop_all, [keeper], 10.0)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert keeper.child is not None
    assert keeper.child.ending() == "was killed by SIGTERM"


async def test_processes_that_ignore_the_request_are_killed_after_the_grace() -> None:
    stand = Stand(STUBBORN)
    async with running(stand) as keeper:
        child = await keeper.listening()
        await stop_all([keeper], 0.1)
        assert child.ending() == "was killed by SIGKILL"


async def test_a_cancelled_keeper_in_its_pause_is_over() -> None:
    stand = Stand(SERVES, SLOW)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stand.keeper.run)
        await stand.keeper.listening()
        stand.keeper.kill()
        await stand.said.until("started again in 1000 s")
        nursery.cancel_scope.cancel()
    with trio.fail_after(1):
        await stand.keeper.over()
