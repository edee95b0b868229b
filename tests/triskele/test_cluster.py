from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from replica.address import split_address
from replica.cluster_file import read_cluster_file
from replica.config import SettingError, Settings, resolve
from replica.listening import ListenError, bound_address, open_socket
from tests.triskele.conftest import FAKE, Said, is_gone
from triskele.cluster import ClusterFailed, LocalCluster, local_cluster
from triskele.supervision import RestartPolicy

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

MEMORY = Settings().changed("--durability", durability="memory")


def running(said: Said, replicas: int = 3, settings: Settings = MEMORY, **more: Any) -> AbstractAsyncContextManager[LocalCluster]:
    return local_cluster(replicas, settings, program=FAKE, say=said, **more)


def refused(address: str) -> bool:
    try:
        socket.create_connection(split_address(address), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_inside_the_block_a_leader_serves_and_after_it_nothing_is_left(said: Said, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        told = read_cluster_file(ready)
        assert told == cluster.file
        assert told.leader == 0
        assert [child.pid for child in cluster.children.values()] == [place.pid for place in told.replicas]
        assert not any(refused(place.address) or refused(place.admin) or refused(place.websocket) for place in told.replicas)
        folders = [Path(place.data_dir) for place in told.replicas]
        assert all(folder.is_dir() for folder in folders)
    assert all(is_gone(child.pid) for child in cluster.children.values())
    assert all(refused(place.address) for place in told.replicas)
    assert not any(folder.exists() for folder in folders)
    assert [place.pid for place in read_cluster_file(ready).replicas] == [None, None, None]
    assert read_cluster_file(ready).leader is None


async def test_a_replica_that_is_left_dead_is_told_and_the_rest_go_on(said: Said, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready, restarts=None) as cluster:
        cluster.kill(2)
        assert await said.until("replica 2 was killed") == "replica 2 was killed by SIGKILL; it is left dead (--no-restart), 2 of 3 go on"
        assert cluster.alive == [0, 1]
        assert [place.pid is None for place in read_cluster_file(ready).replicas] == [False, False, True]
        assert refused(cluster.file.replicas[2].address)
        cluster.kill(1)
        assert "1 of 3 are no majority: nothing commits" in await said.until("replica 1 was killed")


async def test_the_death_of_the_leader_shows_in_the_ready_file(said: Said, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    async with running(said, ready_file=ready) as cluster:
        cluster.kill(0)
        await said.until("replica 0 was killed")
        assert read_cluster_file(ready).leader is None


async def test_the_end_of_all_replicas_can_be_waited_for(said: Said) -> None:
    async with running(said, 1) as cluster:
        cluster.kill(0)
        with trio.fail_after(10):
            await cluster.wait_over()
        assert cluster.alive == []


@pytest.mark.parametrize("error", [KeyError("planted"), SystemExit(3), KeyboardInterrupt()], ids=repr)
async def test_what_the_block_raises_comes_out_as_it_is(said: Said, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        async with running(said, 1) as cluster:
            raise error
    assert raised.value is error
    assert is_gone(cluster.children[0].pid)


async def test_a_cancelled_block_leaves_nothing(said: Said) -> None:
    with trio.CancelScope() as scope:
        async with running(said, 1) as cluster:
            scope.cancel()
            await trio.sleep_forever()
    assert is_gone(cluster.children[0].pid)


async def test_a_replica_that_dies_at_the_start_is_named(said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE", "1:dies")
    with pytest.raises(ClusterFailed, match=r"^replica 1 ended with status 2 \(planted death\) before a leader served$"):
        async with running(said, ready_file=tmp_path / "ready.json", restarts=RestartPolicy(first_seconds=0.01, most_seconds=0.02)):
            pytest.fail("no leader serves")
    assert "1 | planted death" in said.lines
    assert not (tmp_path / "ready.json").exists()


async def test_a_leader_that_never_serves_is_given_up(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "0:silent")
    with pytest.raises(ClusterFailed, match=r"^no leader served within 1\.5 s; 2 of 3 replicas listened$"):
        async with running(said, ready_seconds=1.5):
            pytest.fail("no leader serves")


async def test_a_replica_that_does_not_want_to_end_is_killed(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "0:stubborn")
    monkeypatch.setattr("triskele.cluster.GRACE_SECONDS", 0.5)
    async with running(said, 1) as cluster:
        begin = trio.current_time()
    assert trio.current_time() - begin < 5
    assert cluster.children[0].process.returncode == -signal.SIGKILL


async def test_what_replicas_write_is_passed_on_with_their_id(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "0:noisy")
    async with running(said, 1, resolve({"mode": "curp", "durability": "memory"}, {"TRISKELE_FORWARD_SECONDS": "4"})):
        pass
    assert {"0 | to stdout", "0 | mode curp, forwards after 4.0", "0 | no end"} <= set(said.lines)
    assert sum(line.count("x") for line in said.lines if line.startswith("0 | xxx")) == 100_000


async def test_replicas_die_with_their_parent_however_it_dies(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    program = (
        "import sys, trio\nfrom pathlib import Path\nfrom replica.config import Settings\nfrom triskele.cluster import local_cluster\n"
        "async def main():\n"
        f"    places = {{'ready_file': Path({str(ready)!r}), 'data_dir': Path({str(tmp_path / 'data')!r})}}\n"
        f"    async with local_cluster(3, Settings(), program={FAKE!r}, **places):\n"
        "        print('up', flush=True)\n        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:  # noqa: ASYNC220 - ends when killed
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        pids = [place.pid for place in read_cluster_file(ready).replicas]
        parent.kill()
    deadline = time.monotonic() + 10
    while not all(is_gone(pid) for pid in pids if pid):
        assert time.monotonic() < deadline, "a replica outlived its parent"
        await trio.sleep(0.02)


async def test_a_port_that_is_taken_is_named_before_anything_starts(said: Said) -> None:
    with open_socket("127.0.0.1:0") as taken:
        port = int(bound_address(taken).rpartition(":")[2])
        with pytest.raises(ListenError, match=f"^cannot listen at 127.0.0.1:{port}: the port is in use by another program$"):
            async with running(said, port=port):
                pytest.fail("a port is taken")
    assert said.lines == []


async def test_a_ready_file_that_cannot_be_written_is_named(said: Said, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^--ready-file .*: its folder is missing or cannot be written$"):
        async with running(said, 1, ready_file=tmp_path / "none" / "ready.json"):
            pytest.fail("nobody would learn of it")


async def test_an_old_ready_file_is_gone_before_the_start(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "0:dies")
    (tmp_path / "ready.json").write_text("{}")
    with pytest.raises(ClusterFailed):
        async with running(said, 1, ready_file=tmp_path / "ready.json"):
            pytest.fail("no leader serves")
    assert not (tmp_path / "ready.json").exists()
