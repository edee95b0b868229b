"""Starts that must not come to anything: wiped folders, files that contradict each other, and memory that nobody has any more. Real processes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

import triskele
from replica.cluster_file import read_cluster_file, write_cluster_file
from replica.config import Settings
from replica.storage.disk import OsDisk
from replica.storage.folder import LOCK, read_identity
from tests.loopback.conftest import addresses_of
from tests.triskele.conftest import Said, start_up
from triskele.child import child_environment
from triskele.cluster import ClusterFailed, local_cluster
from triskele.supervision import RestartPolicy

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from triskele.cluster import LocalCluster

ONCE = RestartPolicy(refusals_max=1)
resumed = partial(local_cluster, None, Settings(), restarts=ONCE)
LEFT_DEAD = "it is left dead after 1 such ends in a row"


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cluster of three that holds one key, and is not running."""
    folder = tmp_path_factory.mktemp("founded") / "data"

    async def found() -> None:
        async with local_cluster(3, Settings(), data_dir=folder, say=lambda _line: None) as cluster:
            await put(cluster, b"before")

    trio.run(found)
    return folder


@pytest.fixture
def data(founded: Path, tmp_path: Path) -> Path:
    """A copy of it, for one test."""
    return shutil.copytree(founded, tmp_path / "data")


async def put(cluster: LocalCluster, key: bytes) -> None:
    async with triskele.connect(addresses_of(cluster.file), timeout=20) as store:
        await store.put(key, b"v")
        assert await store.get(b"before") == b"v"


def wipe(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def contents(folder: Path) -> dict[str, bytes]:
    """Everything but the lock file, which has the number of the last process."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != LOCK}


@pytest.mark.parametrize("wiped", [0, 2])
async def test_a_wiped_replica_ends_in_one_line_that_says_what_to_do_and_leaves_nothing_behind(data: Path, wiped: int) -> None:
    """Replica 2 dials the others and is told; replica 0 is dialed by them, and has to ask back."""
    folder, said = data / f"replica-{wiped}", Said()
    wipe(folder)
    async with resumed(data_dir=data, say=said) as cluster:
        line = await said.until(LEFT_DEAD)
        assert f"replica {wiped} ended with status 2 (triskele: {folder}: not what replica {wiped} had before: replica" in line
        assert f"triskele members replace {wiped} NEWID ADDRESS" in line
        assert list(folder.iterdir()) == []
        await put(cluster, b"after")
        assert len(cluster.alive) == 2


@pytest.mark.parametrize(("wiped", "whole"), [((1, 2), 0), ((0, 1), 2)])
async def test_two_wiped_replicas_do_not_go_on_as_a_new_cluster(data: Path, wiped: tuple[int, ...], whole: int) -> None:
    """They are a majority, and take each other: the one that has the data is heard all the same, be it after they have begun to serve."""
    said = Said()
    for replica in wiped:
        wipe(data / f"replica-{replica}")
    with pytest.raises(ClusterFailed):
        async with resumed(data_dir=data, say=said) as cluster:
            for replica in wiped:
                await said.until(f"replica {replica} ended with status 2")
            raise ClusterFailed(f"{cluster.alive} are left")
    (line, *_) = [line for line in said.lines if "ended with status 2" in line]
    assert f"had before: replica {whole} knew it with another folder" in line


@pytest.mark.parametrize(
    ("replica", "changes", "line"),
    [
        (2, {"mode": "ht"}, "mode ht: replicas 0 and 1 refused this replica for it: mode 'ht'; here it is 'ho'\n"),
        (0, {"cluster_id": "x"}, "cluster_id x: replicas 1 and 2 refused this replica for it: cluster 'x'; here it is "),
    ],
)
async def test_a_replica_whose_files_contradict_the_others_ends_and_they_go_on(data: Path, replica: int, changes: dict[str, Any], line: str) -> None:
    """Replica 2 dials the others; replica 0 is dialed by them, and dials them when that comes to nothing."""
    folder, other = data / "new", data / "other.toml"
    folder.mkdir()
    async with resumed(data_dir=data, say=Said()) as cluster:
        dying = cluster.children[replica]
        cluster.kill(replica, restart=False)
        await dying.ended.wait()
        write_cluster_file(attrs.evolve(cluster.file, **changes), other)
        command = [sys.executable, "-m", "replica", "--id", str(replica), "--cluster", str(other), "--data-dir", str(folder)]
        with trio.fail_after(30):
            ended = await trio.run_process(command, capture_stderr=True, check=False, env=child_environment())
        assert ended.returncode == 2
        assert ended.stderr.decode().splitlines(keepends=True)[-1].startswith(f"triskele: {line}")
        assert list(folder.iterdir()) == []
        await put(cluster, b"after")
        assert len(cluster.alive) == 2


async def test_a_folder_belongs_to_its_mode_and_a_refused_start_counts_for_nothing(data: Path) -> None:
    write_cluster_file(attrs.evolve(read_cluster_file(data / "cluster.toml"), mode="paxos"), data / "cluster.toml")
    before = {number: contents(data / f"replica-{number}") for number in range(3)}
    with pytest.raises(ClusterFailed, match=r"^replica \d ended with status 2 \(triskele: --mode paxos: .*replica-\d was made for ho; give that\)"):
        async with resumed(data_dir=data, say=Said()):
            pytest.fail("it serves")
    assert {number: contents(data / f"replica-{number}") for number in range(3)} == before
    identity = read_identity(OsDisk(data / "replica-0"))
    assert identity is not None
    assert identity.incarnation == 1


def test_a_cluster_in_memory_of_which_a_majority_died_says_what_is_lost_and_ends(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path, "--durability", "memory", "--election-seconds", "0.4")
    file = read_cluster_file(ready)
    for place in file.replicas:
        if place.id != file.leader:
            assert place.pid is not None
            os.kill(place.pid, signal.SIGKILL)
    assert process.wait(30) == 1
    log = (tmp_path / "up.log").read_text()
    one, other = (place.id for place in file.replicas if place.id != file.leader)
    forgot = f"triskele: replicas {one} and {other} forgot what the cluster had acknowledged (memory durability)"
    assert f"{forgot}, and what replica {file.leader} still has is no majority's: it is lost, and the cluster cannot serve again\n" in log
    assert f"{one} | " in log
    assert f"WARNING replica {one}: this replica forgot what it had acknowledged" in log
