"""Strikes at a cluster of small programs: what is done to processes is seen on real ones."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from replica.config import Settings
from triskele.chaos.network import Effect, Network
from triskele.chaos.schedule import Fault
from triskele.chaos.striking import Striker
from triskele.cluster import LocalCluster, local_cluster
from triskele.supervision import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAKE = (sys.executable, str(Path(__file__).parent.parent / "fake_replica.py"))


@asynccontextmanager
async def striker_at(*faults: Fault) -> AsyncIterator[tuple[Striker, LocalCluster, Network]]:
    network = Network()
    with trio.fail_after(30):
        async with local_cluster(3, Settings(), program=FAKE, restarts=RestartPolicy(first_seconds=0.05), say=lambda _: None) as cluster:
            striker = Striker(cluster, network, faults, 1, lambda _: None)
            async with trio.open_nursery() as nursery:
                for replica in cluster.keepers:
                    nursery.start_soon(striker.watch, replica)
                yield striker, cluster, network
                nursery.cancel_scope.cancel()


def fault(nemesis: str, target: str, number: int = 1, *, at: float = 0.0, lasts: float = 0.3, strength: float = 0.05) -> Fault:
    return Fault(number=number, at=at, lasts=lasts, nemesis=nemesis, target=target, strength=strength)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_killed_replica_is_dead_for_the_time_and_then_started_again_and_its_end_explained() -> None:
    async with striker_at(fault("kill", "leader")) as (striker, cluster, _):
        leader = cluster.file.leader
        assert leader is not None
        before = cluster.children[leader].pid
        await striker.run()
        assert (await cluster.restarted(leader)).pid != before
        (strike,) = striker.strikes
        assert (strike.hit, strike.touched) == ((leader,), 1)
        assert strike.ended - strike.began >= 0.29
        assert [(ending.replica, ending.words, ending.expected) for ending in striker.endings] == [(leader, "was killed by SIGKILL", True)]


async def test_an_end_that_no_fault_explains_is_noted() -> None:
    async with striker_at(fault("pause", "0")) as (striker, cluster, _):
        await striker.run()
        cluster.children[1].process.kill()
        while not striker.endings:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert [(ending.replica, ending.expected) for ending in striker.endings] == [(1, False)]


async def test_an_end_is_put_down_to_the_last_fault_that_can_explain_it() -> None:
    async with striker_at(fault("disk-full", "0", lasts=0.05), fault("disk-full", "0", 2, at=0.1, lasts=60.0)) as (striker, cluster, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(striker.run)
            while len(striker.strikes) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
            cluster.children[0].process.kill()
            while not striker.endings:
                await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        assert striker.endings[0].expected
        assert [strike.touched for strike in striker.strikes] == [0, 1]


async def test_paused_replicas_stand_still_until_it_is_over_also_when_the_run_is_cut_short() -> None:
    async with striker_at(fault("pause", "0,2", lasts=60.0)) as (striker, cluster, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(striker.run)
            while state(cluster.children[2].pid) != "T":
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert [state(cluster.children[replica].pid) == "T" for replica in range(3)] == [True, False, True]
            nursery.cancel_scope.cancel()
        while state(cluster.children[0].pid) == "T":
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert striker.strikes[0].touched == 2


async def test_what_a_fault_does_to_the_network_is_lifted_with_it() -> None:
    felt: list[float] = []

    async def feel(network: Network) -> None:
        while not felt or felt[-1]:
            felt.append(network.delay((0, 1), 0.0))
            await trio.testing.wait_all_tasks_blocked(0.01)

    async with striker_at(fault("slow-net", "all", strength=0.5)) as (striker, _, network), trio.open_nursery() as nursery:
        network.put(9, {(0, 1): Effect(delay_seconds=1.0)})
        nursery.start_soon(striker.run)
        await trio.testing.wait_all_tasks_blocked()
        assert network.delay((0, 1), 0.0) == 1.25
        network.lift(9)
        nursery.start_soon(feel, network)
    assert felt[0] == 0.25
    assert striker.strikes[0].touched == len(felt)


async def test_faults_strike_at_their_times_and_may_overlap() -> None:
    async with striker_at(fault("flaky", "all"), fault("reorder", "1", 2, at=0.1), fault("bridge", "2", 3, at=0.2)) as (striker, _, _network):
        await striker.run()
        assert [strike.fault.number for strike in striker.strikes] == [1, 2, 3]
        assert all(strike.began >= strike.fault.at for strike in striker.strikes)
        first, second, third = striker.strikes
        assert first.ended > third.began > second.began, "all three at once"
        assert [strike.touched for strike in striker.strikes] == [0, 0, 0]  # nobody speaks here: the report will say so


async def test_leader_and_follower_are_those_of_the_moment() -> None:
    async with striker_at(fault("bridge", "follower"), fault("bridge", "leader", 2)) as (striker, cluster, _):
        cluster.file = attrs.evolve(cluster.file, leader=2)  # since the striker was made
        await striker.run()
        follower, leader = (strike.hit for strike in sorted(striker.strikes, key=lambda strike: strike.fault.number))
        assert leader == (2,)
        assert follower[0] in {0, 1, 2} - set(leader)
