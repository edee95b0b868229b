"""The client library under cancellation: at every checkpoint of every call, the session goes on, nothing acknowledged is lost, and no room leaks."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio

import triskele
from replica.config import Settings
from tests.runtime.checkpoints import cancelled_at, open_descriptors
from transport.errors import EndedEarly
from triskele.testing import cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from triskele import Store

KEY, OTHER = b"key", b"other"


async def pipelined(store: Store, value: bytes) -> None:
    async with store.pipeline() as batch:
        batch.put(OTHER, value)
        batch.get(KEY)
        batch.put(KEY, value)


async def in_a_session_of_its_own(store: Store, value: bytes) -> None:
    async with store.session() as other:
        await other.put(KEY, value)


async def after_a_flush(store: Store, value: bytes) -> None:
    await store.put(KEY, value, consistency=triskele.CAUSAL)
    await store.flush()


async def compared(store: Store, value: bytes) -> None:
    assert await store.cas(KEY, value, expected=await store.get(KEY))


WRITES: dict[str, Callable[[Store, bytes], Awaitable[None]]] = {
    "strong put": lambda store, value: store.put(KEY, value),
    "causal put": lambda store, value: store.put(KEY, value, consistency=triskele.CAUSAL),
    "flush": after_a_flush,
    "cas": compared,
    "pipeline": pipelined,
    "session": in_a_session_of_its_own,
}


@pytest.mark.parametrize("write", WRITES)
async def test_a_cancelled_write_is_there_or_not_and_its_session_goes_on(autojump_clock: MockClock, write: str) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        c.fabric.delay(0.001, 0.002)
        await store.put(KEY, b"0")
        acknowledged = 0
        for checkpoint in count(1):
            value = b"%d" % checkpoint
            struck = await cancelled_at(checkpoint, lambda value=value: WRITES[write](store, value))  # type: ignore[misc]
            found = int(await store.get(KEY, timeout=5) or b"0")
            assert acknowledged <= found <= checkpoint
            assert struck or found == checkpoint
            await store.put(KEY, value, timeout=5)
            assert await store.get(KEY) == value
            acknowledged = checkpoint
            if not struck:
                break
        assert checkpoint > 20
        await store.flush(timeout=5)
        room = store._live.room
        assert (room.commands, room.bytes) == (0, 0)


async def reads(store: Store) -> None:
    assert await store.get(KEY) == b"value"
    assert await store.get(KEY, consistency=triskele.CAUSAL) == b"value"
    assert (await store.get(KEY, with_version=True))[0] == b"value"
    assert await store.scan() == [(KEY, b"value")]


async def test_a_cancelled_read_leaves_nothing_behind(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        c.fabric.delay(0.001, 0.002)
        await store.put(KEY, b"value")
        for checkpoint in count(1):
            if not await cancelled_at(checkpoint, lambda: reads(store)):
                break
        assert checkpoint > 20
        await reads(store)
        room = store._live.room
        assert (room.commands, room.bytes) == (0, 0)


async def test_connecting_can_be_cancelled_at_any_checkpoint_without_a_leak(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        c.fabric.delay(0.001, 0.002)

        async def visit() -> None:
            async with c.connect() as store:
                await store.put(KEY, b"value")

        descriptors = open_descriptors()
        for checkpoint in count(1):
            if not await cancelled_at(checkpoint, visit):
                break
            assert {name: tasks for name, tasks in c.tasks.items() if name.startswith("client") and tasks} == {}
            assert open_descriptors() == descriptors
        assert checkpoint > 20
        async with c.store() as store:
            assert await store.get(KEY) == b"value"


async def test_sessions_of_cancelled_visits_do_not_fill_the_cluster(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    settings = Settings(sessions_max=6)
    async with cluster(3, settings=settings) as c, c.store() as store:
        for checkpoint in range(40):
            await cancelled_at(3 * checkpoint + 1, lambda: in_a_session_of_its_own(store, b"v"))
            await trio.sleep(0.5)
        async with store.session() as other:
            await other.put(KEY, b"still")
        assert await store.get(KEY) == b"still"


async def test_a_client_whose_own_tasks_end_says_so(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """Its block must not seem to have come to its end."""
    async with cluster(3) as c:
        with pytest.raises(EndedEarly):
            async with c.driver() as driver:
                nursery = trio.lowlevel.current_task().child_nurseries[-1]
                assert driver.mesh.links
                nursery.cancel_scope.cancel()
                await trio.sleep_forever()
