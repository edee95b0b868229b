"""A cluster whose replicas come back: what its file, its ready file and its user are told of deaths, starts and leaders."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from replica.cluster_file import read_cluster_file
from replica.config import Settings
from replica.listening import open_socket
from tests.triskele.conftest import FAKE, Said, is_gone
from triskele.cluster import ClusterFailed, LocalCluster, local_cluster
from triskele.supervision import LeftDead, RestartPolicy

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

DISK = Settings().changed("--durability", durability="disk")
QUICK = RestartPolicy(first_seconds=0.01, most_seconds=0.02, refusals_max=2)
SLOW = RestartPolicy(first_seconds=1000.0, most_seconds=1000.0)


@pytest.fixture(autouse=True)
def leaders_are_followed_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LEADING_POLL_SECONDS", "_LEADERLESS_POLL_SECONDS", "_START_POLL_SECONDS"):
        monkeypatch.setattr(f"triskele.cluster.{name}", 0.01)


class Leaders:
    """Who says that it leads which view, ``id@view``, from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.are("0@1")

    def are(self, words: str) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(words)
        partial.rename(self._file)


@pytest.fixture
def leaders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leaders:
    monkeypatch.setenv("FAKE_LEADERS", str(tmp_path / "leaders"))
    return Leaders(tmp_path / "leaders")


def running(said: Said, replicas: int | None = 3, **more: Any) -> AbstractAsyncContextManager[LocalCluster]:
    return local_cluster(replicas, DISK, program=FAKE, say=said, **{"restarts": QUICK, **more})


async def test_a_replica_that_dies_comes_back_at_its_addresses_under_another_pid(said: Said, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        before = read_cluster_file(ready)
        cluster.kill(2)
        with trio.fail_after(20):
            child = await cluster.restarted(2)
        after = read_cluster_file(ready)
        assert (after.replica(2).pid, after.replica(0).pid) == (child.pid, before.replica(0).pid)
        assert child.pid != before.replica(2).pid
        assert after.addresses() == before.addresses()
        assert "replica 2 was killed by SIGKILL; it is started again in 0.01 s, 2 of 3 go on" in said.lines
    assert is_gone(child.pid)


async def test_the_cluster_file_stays_as_it_is_during_restarts(said: Said, tmp_path: Path) -> None:
    async with running(said, 1, data_dir=tmp_path / "data") as cluster:
        file = tmp_path / "data" / "cluster.toml"
        before = (file.read_text(), file.stat().st_ino)
        cluster.kill(0)
        with trio.fail_after(20):
            await cluster.restarted(0)
        assert (file.read_text(), file.stat().st_ino) == before


async def test_a_kill_without_restart_shows_in_the_ready_file_until_a_script_restarts_it(said: Said, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        cluster.kill(1, restart=False)
        with trio.fail_after(20):
            with pytest.raises(LeftDead, match=r"^replica 1 does not run: it is left dead, as asked$"):
                await cluster.restarted(1)
            assert (cluster.alive, read_cluster_file(ready).replica(1).pid) == ([0, 2], None)
            child = await cluster.restart(1)
        assert read_cluster_file(ready).replica(1).pid == child.pid
        assert cluster.alive == [0, 1, 2]


async def test_without_restarts_the_dead_are_left_dead(said: Said) -> None:
    async with running(said, 1, restarts=None) as cluster:
        cluster.kill(0)
        with trio.fail_after(20):
            await cluster.wait_over()
        assert said.lines[-1] == "replica 0 was killed by SIGKILL; it is left dead (--no-restart), 0 of 1 are no majority: nothing commits"


async def test_a_cluster_whose_replicas_will_come_back_has_not_ended(said: Said) -> None:
    async with running(said, 1, restarts=SLOW) as cluster:
        cluster.kill(0)
        await said.until("started again in 1000 s")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.wait_over)
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            nursery.cancel_scope.cancel()


async def test_a_port_that_somebody_took_meanwhile_is_told_and_tried_again(said: Said) -> None:
    async with running(said) as cluster:
        cluster.kill(2, restart=False)
        await said.until("left dead")
        with open_socket(cluster.file.replica(2).address), trio.move_on_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cluster.restart, 2)
                assert "the port is in use by another program; it is started again in" in await said.until("replica 2 cannot be started")
                nursery.cancel_scope.cancel()
        with trio.fail_after(20):
            assert (await cluster.restarted(2)).alive


async def test_a_replica_that_refuses_to_run_on_its_return_is_given_up_and_the_rest_go_on(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(said) as cluster:
        monkeypatch.setenv("FAKE", "1:dies")
        cluster.kill(1)
        with trio.fail_after(30), pytest.raises(LeftDead):
            await cluster.restarted(1)
        line = "replica 1 ended with status 2 (planted death); it is left dead after 2 such ends in a row, 2 of 3 go on"
        assert said.lines[-1] == line
        monkeypatch.setenv("FAKE", "")
        with trio.fail_after(20):
            await cluster.restart(1)


# ------------------------------------------------------------------------------------------------------------------------- the start


async def test_a_death_before_a_leader_serves_is_survived(said: Said, leaders: Leaders) -> None:
    leaders.are("")

    def kill_once(line: str) -> None:
        first = not any(heard.startswith("replica 2: process") for heard in said.lines)
        said(line)
        if first and line.startswith("replica 2: process"):
            os.kill(int(line.rpartition(" ")[2]), signal.SIGKILL)
            leaders.are("0@1")

    async with local_cluster(3, DISK, program=FAKE, say=kill_once, restarts=QUICK) as cluster:
        assert cluster.alive == [0, 1, 2]
        assert "replica 2 was killed by SIGKILL; it is started again in 0.01 s" in said.lines


async def test_a_new_cluster_whose_replica_refuses_to_run_does_not_come_up(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "1:dies")
    with pytest.raises(ClusterFailed, match=r"^replica 1 ended with status 2 \(planted death\) before a leader served$"):
        async with running(said):
            pytest.fail("a replica of three has never run")


async def test_a_resumed_cluster_comes_up_with_a_majority(said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running(said, data_dir=tmp_path / "data"):
        pass
    monkeypatch.setenv("FAKE", "1:dies")
    async with running(said, None, data_dir=tmp_path / "data", restarts=SLOW) as cluster:
        assert len(cluster.file.replicas) == 3
        await said.until("replica 1 ended with status 2")
    monkeypatch.setenv("FAKE", "1:dies,2:dies")
    with pytest.raises(ClusterFailed, match=r"^replica [12] ended with status 2 \(planted death\) before a leader served$"):
        async with running(said, None, data_dir=tmp_path / "data"):
            pytest.fail("one of three is no majority")


async def test_a_resumed_cluster_gets_the_time_it_needs(said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, leaders: Leaders) -> None:
    async with running(said, 1, data_dir=tmp_path / "data"):
        pass
    leaders.are("")
    monkeypatch.setattr("triskele.cluster.READY_SECONDS", 0.05)

    def serve_at_last(line: str) -> None:
        said(line)
        if line.startswith("no leader serves"):
            leaders.are("0@2")

    async with local_cluster(None, DISK, program=FAKE, say=serve_at_last, data_dir=tmp_path / "data") as cluster:
        assert cluster.file.leader == 0
    assert "no leader serves after 0.05 s; replicas may be reading long logs" in said.lines


# ------------------------------------------------------------------------------------------------------------------------- who leads


async def test_another_leader_shows_in_the_ready_file(said: Said, tmp_path: Path, leaders: Leaders) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        assert read_cluster_file(ready).leader == 0
        leaders.are("2@2")
        await said.until("replica 2 leads")
        assert read_cluster_file(ready).leader == cluster.file.leader == 2


async def test_of_two_that_say_they_lead_the_one_of_the_higher_view_does(said: Said, leaders: Leaders) -> None:
    leaders.are("0@1 1@3 2@2")
    async with running(said) as cluster:
        assert cluster.file.leader == 1


async def test_while_nobody_leads_the_ready_file_says_so(said: Said, tmp_path: Path, leaders: Leaders) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        leaders.are("")
        cluster.kill(0)
        with trio.fail_after(20):
            await cluster.restarted(0)
        assert read_cluster_file(ready).leader is None
        leaders.are("1@2")
        await said.until("replica 1 leads")
        assert read_cluster_file(ready).leader == 1


async def test_the_ready_file_is_written_only_when_something_changed(said: Said, tmp_path: Path, leaders: Leaders) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        before = ready.stat().st_ino
        cluster.changed("nothing of importance")
        assert ready.stat().st_ino == before
        leaders.are("1@2")
        await said.until("replica 1 leads")
        assert ready.stat().st_ino != before
