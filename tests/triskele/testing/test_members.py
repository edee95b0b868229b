"""Members of a cluster in memory come and go, by the replicas' own changes, whoever dies meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from replica.core.reconfiguration import ChangeRefused
from replica.peering import LONELY_SECONDS
from triskele.testing import cluster, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from replica.core.reconfiguration import Reconfiguration
    from triskele.testing import Cluster


def voters(c: Cluster) -> tuple[int, ...]:
    """Return who votes as the leader has it."""
    assert c.leader is not None
    return c.servers[c.leader].core.node.configuration.voters


async def test_who_is_added_votes_when_it_has_caught_up(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, durability="disk") as c, c.store() as store:
        await store.put(b"k", b"1")
        member = await c.add_replica()
        assert (member, c.alive) == (3, [0, 1, 2, 3])
        await c.ready()
        assert voters(c) == (0, 1, 2, 3)
        await store.put(b"k", b"2")
        await store.flush()
        await c.kill(3)
        await c.restart(3)
        await c.ready()
        assert c.servers[3].core.node.store.get_entry(b"k")[0] == b"2"


async def test_who_is_removed_is_gone_and_another_leads_if_it_did(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c, c.store() as store:
        await c.remove_replica(0)
        assert c.alive == [1, 2]
        assert c.leader in c.alive
        assert (voters(c), c.addresses, c.tasks["r0"]) == ((1, 2), ["memory:r1", "memory:r2"], [])
        await store.put(b"k", b"v")
        async with c.store() as other:
            assert await other.get(b"k") == b"v"


async def test_a_new_replica_takes_the_place_of_a_dead_one_and_ids_are_never_used_again(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, durability="disk") as c, c.store() as store:
        await store.put(b"k", b"v")
        for leaves, comes in ((2, 3), (3, 4), (0, 5), (1, 6)):
            await c.kill(leaves)
            assert await c.replace_replica(leaves) == comes
        assert (voters(c), c.alive) == ((4, 5, 6), [4, 5, 6])
        async with c.store() as other:
            assert await other.get(b"k") == b"v"


async def test_a_change_that_a_leader_took_with_it_is_asked_for_again(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, durability="disk") as c, c.store() as store:
        await store.put(b"k", b"v")
        c.fabric.partition(["r0"], ["r1", "r2", "client0"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(c.remove_replica, 2)
            await trio.sleep(0.01)
            assert c.servers[0].core.node.configuration.number == 2, "logged where it cannot be committed"
            await c.kill(0)
            c.fabric.heal()
            await c.restart(0)
        assert voters(c) == (0, 1)
        assert await store.get(b"k") == b"v"


async def test_what_cannot_be_is_refused_with_the_reason(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(2) as c:
        with pytest.raises(ChangeRefused, match="replica 7 is no member"):
            await c.remove_replica(7)
        with pytest.raises(ChangeRefused, match="replica 7 is no voter: there is nobody to replace"):
            await c.replace_replica(7)


async def change(c: Cluster, begin: Callable[[Reconfiguration], None]) -> None:
    """Let the leader log a change, and wait until it is committed."""
    assert c.leader is not None
    leader = c.servers[c.leader]
    assert leader.core.reconfiguration is not None
    begin(leader.core.reconfiguration)
    leader.turns.wake()
    with trio.fail_after(10):
        while leader.core.reconfiguration.obstacle():  # noqa: ASYNC110 - no event tells it
            await trio.sleep(0.1)


async def test_an_address_in_the_configuration_that_is_none_ends_nobody_and_can_be_removed(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster(3, durability="disk") as c, c.store() as store:
        for member, address in ((7, "replica7..example.com:7407"), (8, "nonsense")):
            await change(c, lambda told, member=member, address=address: told.add(member, address))  # type: ignore[misc]
        await c.kill(1)
        await c.kill(2)
        caplog.set_level("INFO", "triskele.transport")
        await trio.sleep(2 * LONELY_SECONDS)  # a lonely replica dials everybody
        for address in ("replica7..example.com:7407", "nonsense"):
            assert f"dialing {address}: dial_failed: " in caplog.text
        await c.restart(1)
        await c.restart(2)
        await c.ready()
        await store.put(b"k", b"v")
        async with c.store() as other:
            assert await other.get(b"k") == b"v"
        for member in (7, 8):
            await change(c, lambda told, member=member: told.remove(member))  # type: ignore[misc]
        assert c.leader is not None
        told = c.servers[c.leader].core.node.configuration
        assert (told.members, told.removed, told.addresses) == ((0, 1, 2), (7, 8), ())


async def test_a_change_that_nobody_can_commit_is_given_up(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3) as c:
        await c.kill(1)
        await c.kill(2)
        with pytest.raises(trio.TooSlowError):
            await c.add_replica()
        assert c.alive == [0]


async def test_what_ended_a_replica_before_it_left_is_told_at_the_end(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with pytest.raises(BaseExceptionGroup, match="nobody asked why"):
        async with cluster(3) as c:
            c.fail_at("turn.end", replica=2, exception=RuntimeError("planted"))
            await c.seats[2].ended.wait()
            await c.replace_replica(2)


async def eventful(seed: int) -> int:
    """Let members come and go; return the digest of all frames."""
    async with cluster(3, seed=seed) as c, c.store() as store:
        await c.replace_replica(1)
        await store.put(b"k", b"v")
        await c.remove_replica(0)
        return c.fabric.digest


def test_the_same_seed_gives_the_same_run_with_changes_too() -> None:
    assert run(eventful, 7, seed=7) == run(eventful, 7, seed=7) != run(eventful, 8, seed=8)
